"""Asks a URL over and over, in a process of its own.

``python -m bench.health URL`` prints a line after the first answer, ends with its standard input,
and prints the longest answer in seconds and how many there were, as a JSON list.
"""

import http.client
import json
import select
import sys
import time
from urllib.parse import urlsplit

_PAUSE_SECONDS = 0.02
_TIMEOUT_SECONDS = 60.0


def main(url: str) -> None:
    """Ask until there is no more standard input."""
    parts = urlsplit(url)
    longest, asked = 0.0, 0
    while not select.select([sys.stdin], [], [], _PAUSE_SECONDS)[0]:
        began = time.monotonic()
        connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_SECONDS)
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != http.client.OK:
            raise SystemExit(f"{url} answered {answer.status}")
        longest, asked = max(longest, time.monotonic() - began), asked + 1
        if asked == 1:
            print("asking", flush=True)
    print(json.dumps([longest, asked]))


if __name__ == "__main__":
    main(sys.argv[1])
