"""A stand-in of the broker in a process of its own, which counts messages and forgets them.

``python -m bench.broker FOLDER`` writes certificates into FOLDER, prints one JSON line with the
addresses, and serves until its standard input ends.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ssm.ams import AmsSettings
from ssm.sender import AmsSender
from ssm.testing.authority import Authority
from ssm.testing.broker import Broker
from ssm.testing.standin import AmsStandin

_ROOT = Path(__file__).parent.parent


class Counter(Broker):
    """Answers as the broker does, and keeps no message."""

    count = 0

    def publish(self, messages: Any, now: datetime) -> list[str]:  # noqa: ARG002 - as its base
        """Count."""
        self.count += len(messages)
        return [str(self.count)]


def main(folder: str) -> None:
    """Serve."""
    authority = Authority.create(Path(folder))
    host = authority.issue("bench.example.org")
    standin = AmsStandin(authority)
    standin.broker = Counter("accounting", "eu-egi-cloud-accounting", [])
    with standin:
        addresses = {
            "host": standin.host,
            "port": standin.port,
            "authn_port": standin.authn_port,
            "ca_file": str(authority.ca_file),
            "cert": str(host.cert),
            "key": str(host.key),
        }
        print(json.dumps(addresses), flush=True)
        sys.stdin.read()


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """The broker's addresses while it runs."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "bench.broker", str(folder)],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin  # noqa: S101 - it is a pipe
        assert process.stdout  # noqa: S101 - it is a pipe
        yield json.loads(process.stdout.readline())
        process.stdin.close()


def sender_to(addresses: dict[str, Any]) -> AmsSender:
    """What sends to it."""
    settings = AmsSettings(
        host=addresses["host"],
        port=addresses["port"],
        authn_port=addresses["authn_port"],
        project="accounting",
        topic="eu-egi-cloud-accounting",
        ca_file=Path(addresses["ca_file"]),
    )
    return AmsSender(settings, Path(addresses["cert"]), Path(addresses["key"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
