"""``notebooks-accounting`` as a process of its own that is forked, not started: see `run`, `start`.

Python takes a second of processor time to load what a command needs; to fork a process that has
loaded it takes a hundredth of that. ``python -m tests.commands FD`` is that process: it runs no
command itself. Those forked from it have the environment, folder and output that they are told,
and end as any.

What is about signals, or how the program begins, starts it as a user does.
"""

import atexit
import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

_ROOT = Path(__file__).parents[1]
_PROGRAM = Path(sys.executable).with_name("notebooks-accounting")
_START_SECONDS = 60.0
_MOST_BYTES = 100_000
_STREAMS = 3
_LEFT_OUT = ("accounting.demo", "accounting.simulation", "accounting.migrations")
_LOADED_LATE = ("sqlalchemy.dialects.sqlite", "rich.progress")


@dataclass(frozen=True)
class Forked:
    """A command that runs, or has ended.

    Attributes:
        argv: what was typed.
        told: a descriptor: how it ended is read there.
    """

    argv: list[str]
    told: int

    def wait(self) -> int:
        """Its exit code, when it has ended; the test fails if that took too long."""
        with open(self.told, encoding="ascii") as ended:  # noqa: PTH123 - a descriptor
            code = int(ended.read())
        assert code != -signal.SIGKILL, f"{self.argv} took too long"
        return code


def start(
    *arguments: str | Path,
    streams: Sequence[int],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
) -> Forked:
    """Begin ``notebooks-accounting``; without others, it has our environment and folder.

    It is killed after ``timeout`` seconds. ``streams`` are its standard input, output and errors.
    """
    argv = [str(_PROGRAM), *map(str, arguments)]
    order = {
        "argv": argv,
        "env": dict(os.environ if env is None else env),
        "cwd": str(cwd or Path.cwd()),
        "timeout": timeout,
    }
    told, answer = os.pipe()
    try:
        socket.send_fds(_forking(), [json.dumps(order).encode()], [*streams, answer])
    finally:
        os.close(answer)
    return Forked(argv, told)


def run(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
) -> "subprocess.CompletedProcess[str]":
    """The same to its end, with all that it writes."""
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        forked = start(*arguments, streams=streams, env=env, cwd=cwd, timeout=timeout)
        code = forked.wait()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(forked.argv, code, out.read(), err.read())


@cache
def _forking() -> socket.socket:
    """Takes orders for the process that this one forks commands from; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands", str(theirs.fileno())],
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait(_START_SECONDS)

    atexit.register(end)
    return ours


def _load() -> None:
    """What any command loads."""
    import accounting  # noqa: PLC0415 - whoever gives orders has no need of it

    for found in pkgutil.walk_packages(accounting.__path__, "accounting."):
        if not found.name.startswith(_LEFT_OUT):
            import_module(found.name)
    for name in _LOADED_LATE:
        import_module(name)


def _orders(orders: socket.socket) -> None:
    """Returns in each forked process, with all it was told set; ends when no more can come."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch
    while True:
        said, streams, _, _ = socket.recv_fds(orders, _MOST_BYTES, _STREAMS + 1)
        if not said:
            os._exit(0)
        if not os.fork():
            orders.close()
            order: dict[str, Any] = json.loads(said)
            *streams, answer = streams
            if _is_command(answer, order["timeout"]):
                _begin(order, streams)
                return
        for stream in streams:
            os.close(stream)


def _is_command(answer: int, timeout: float) -> bool:
    """True in a forked process; its parent says how it ended, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if not child:
        os.close(answer)
        return True
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, timeout)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(answer, str(code).encode())
    os._exit(0)


def _begin(order: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    time.tzset()
    sys.argv = order["argv"]
    sys.stdout, sys.stderr = _as_begun(sys.stdout), _as_begun(sys.stderr)


def _as_begun(stream: TextIO) -> TextIO:
    """The same of the file that stands there now: whether it is a terminal is asked once."""
    return open(
        stream.fileno(),
        "w",
        buffering=1 if stream is sys.stderr else -1,
        encoding=stream.encoding,
        errors=stream.errors,
        closefd=False,
    )


def _ended() -> int:
    """The exit code, when threads have ended and all is written, as at Python's own end."""
    try:
        import_module("accounting.cli").main()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001 - it is shown, as Python does
        traceback.print_exc()
        code = 1
    else:
        code = 0
    threading._shutdown()  # type: ignore[attr-defined] # nothing public waits as Python does
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _load()
    gc.collect()
    gc.freeze()  # what is never looked at again is never copied
    with socket.socket(fileno=int(sys.argv[1])) as taken:
        _orders(taken)
    os._exit(_ended())  # to take apart all that was loaded takes longer than most commands
