"""Runs one command and prints what it cost as JSON; started by ``process.run``.

A process of its own with few modules: on Linux the peak memory of a child is at least what its
parent held when it was started.
"""

import json
import os
import subprocess
import sys
import time


def main(command: list[str]) -> None:
    """Print wall and CPU seconds, peak memory in MB, exit code and standard output."""
    begun = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = child.stdout.read() if child.stdout else b""
    _, status, used = os.wait4(child.pid, 0)
    figures = {
        "wall_seconds": time.monotonic() - begun,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1024,
        "exit_code": os.waitstatus_to_exitcode(status),
        "output": output.decode(errors="replace"),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
