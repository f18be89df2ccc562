"""As process 1 of a container, programs end when they are told to."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
_WAITS = """
import sys, threading, typer
from {module} import {name} as commands
app = typer.Typer(cls=commands)
@app.callback()
def _all() -> None: ...
@app.command()
def wait() -> None:
    print("begun", flush=True)
    threading.Event().wait(60)
app()
"""


@pytest.mark.parametrize(
    ("module", "name"),
    [("accounting.cli.program", "_Commands"), ("hub.program.command", "Commands")],
)
def test_a_command_as_process_one_ends_at_sigterm(module: str, name: str) -> None:
    program = _WAITS.format(module=module, name=name)
    alone = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--as-pid-1", "--proc", "/proc"]
    with subprocess.Popen(
        [*alone, "--", sys.executable, "-c", program, "wait"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n", process.stderr and process.stderr.read()
        os.kill(_child(process.pid), signal.SIGTERM)
        process.wait(20)


def _child(parent: int) -> int:
    """The process that a process has begun, as this machine counts."""
    deadline = time.monotonic() + 20
    file = Path(f"/proc/{parent}/task/{parent}/children")
    while time.monotonic() < deadline:
        if found := file.read_text().split():
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError("it has begun no process")
