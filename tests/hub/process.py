"""A program of the test's own: a log file, a condition to wait for, and an end without remains."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

READY_SECONDS = 240.0
STOP_SECONDS = 20.0
TAIL_BYTES = 8000

running: dict[str, Path] = {}
"""The logs of the programs that run now: a failing test shows their ends (conftest.py)."""


@contextmanager
def program(
    name: str,
    command: Sequence[str],
    log: Path,
    *,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[psutil.Popen]:
    """Run a command until the `with` ends; it and all its descendants are gone afterwards.

    Args:
        name: How a failing test calls it.
        command: The program and its arguments.
        log: What it prints goes here.
        ready: Asked until it is true; a refused connection counts as "not yet".
        environment: Its whole environment; the test's own by default.
        folder: Where it works.

    Raises:
        RuntimeError: It ended before it was ready, or was not ready in time; with the log's end.
    """
    with log.open("ab") as output:
        process = psutil.Popen(
            list(command),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    running[f"{name} {process.pid}"] = log
    try:
        _await(name, process, ready, log)
        yield process
    finally:
        running.pop(f"{name} {process.pid}")
        died = process.poll() is not None
        end(process)
        if died and folder:
            _end_orphans(folder)


def wait_for(
    condition: Callable[[], bool],
    what: str,
    seconds: float = READY_SECONDS,
    *,
    passes_soon: bool = False,
) -> None:
    """Ask until it is true; `what` names the thing that did not happen in time.

    The longer it takes, the less often: an answer of a hub costs more than a wait of its own. What
    passes soon, such as a file that is moved, is asked for without such pauses.
    """
    deadline = time.monotonic() + seconds
    pause, longest = (0.002, 0.002) if passes_soon else (0.05, 0.3)
    while not _true(condition):
        if time.monotonic() > deadline:
            msg = f"waited {seconds:g} s for {what}"
            raise TimeoutError(msg)
        time.sleep(pause)
        pause = min(1.3 * pause, longest)


def end(process: psutil.Process) -> None:
    """Stop a process as its operator would, then whatever it left."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    with suppress(psutil.NoSuchProcess):
        process.terminate()
    psutil.wait_procs([process], timeout=STOP_SECONDS)
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=STOP_SECONDS)


def _end_orphans(folder: Path) -> None:
    """End what a program that died left: it works in the program's folder, which no other has."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder):
                process.kill()


def tail(log: Path) -> str:
    """The end of a log, for a failing test's report."""
    return log.read_bytes()[-TAIL_BYTES:].decode(errors="replace") if log.exists() else ""


def _await(name: str, process: psutil.Popen, ready: Callable[[], bool], log: Path) -> None:
    def ready_or_ended() -> bool:
        if process.poll() is not None:
            msg = f"{name} ended with status {process.returncode}:\n{tail(log)}"
            raise RuntimeError(msg)
        return ready()

    try:
        wait_for(ready_or_ended, f"{name} to be ready")
    except TimeoutError as exc:
        msg = f"{exc}:\n{tail(log)}"
        raise RuntimeError(msg) from exc


def _true(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except httpx.TransportError:
        return False
