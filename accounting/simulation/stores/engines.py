"""A real Prometheus and a real VictoriaMetrics on the loopback, for as long as a `with` lasts."""

import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from accounting.simulation.stores.programs import ProgramError, find_program

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
ATTEMPTS = 3
"""Starts before giving up: another program may take the free port in between."""
_PORTS = range(10_240, 32_768)
"""Linux gives out those from 32,768 on (``net.ipv4.ip_local_port_range``)."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine: base URL of its API, process id, data folder, log file."""

    url: str
    pid: int
    data_dir: Path
    log: Path


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now.

    It is one of those that the kernel gives to nobody by itself: a program that takes seconds to
    listen finds it free still.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def run_prometheus(
    data_dir: Path,
    *,
    scrape_config: str = "",
    log: Path | None = None,
    options: Sequence[str] = (),
    port: int | None = None,
    program: Path | None = None,
) -> Iterator[Engine]:
    """A Prometheus over a data directory, ready to answer; stopped by its process id afterwards.

    Args:
        data_dir: Its storage, with or without blocks; made when missing.
        scrape_config: A whole configuration file (YAML); scrapes nothing by default.
        log: Where its output goes; `prometheus.log` beside the data by default.
        options: More command line options, such as `--query.max-samples=1000`.
        port: A fixed port; a free one by default.
        program: Another release's; the one on PATH by default.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    config = data_dir.parent / f"{data_dir.name}.prometheus.yml"
    config.write_text(scrape_config or "global: {}\n", encoding="utf-8")
    command = [
        str(program or find_program("prometheus")),
        f"--config.file={config}",
        f"--storage.tsdb.path={data_dir}",
        "--storage.tsdb.retention.time=100y",
        "--log.level=warn",
        *options,
    ]
    probe = ("--web.listen-address=127.0.0.1:{port}", "/-/ready")
    log = log or data_dir.parent / f"{data_dir.name}.prometheus.log"
    with _running(command, probe, data_dir, log, port) as engine:
        yield engine


@contextmanager
def run_victoria_metrics(
    data_dir: Path,
    *,
    log: Path | None = None,
    options: Sequence[str] = (),
    port: int | None = None,
) -> Iterator[Engine]:
    """A VictoriaMetrics over a data directory, ready to import and to answer.

    What `import_history` sends is visible when it returns. Arguments as for `run_prometheus`.
    """
    program = find_program("victoria-metrics")
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [
        program,
        f"-storageDataPath={data_dir}",
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-search.disableCache",
        "-loggerLevel=WARN",
        *options,
    ]
    log = log or data_dir.parent / f"{data_dir.name}.victoria-metrics.log"
    probe = ("-httpListenAddr=127.0.0.1:{port}", "/health")
    with _running(command, probe, data_dir, log, port) as engine:
        yield engine


@contextmanager
def _running(
    command: list[str], probe: tuple[str, str], data_dir: Path, log: Path, port: int | None
) -> Iterator[Engine]:
    """Run the command; `probe` has the flag that gives it its port, and the path to ask."""
    process, url = _start(command, probe, log, port)
    try:
        yield Engine(url, process.pid, data_dir, log)
    finally:
        stop(process)


def _start(
    command: list[str], probe: tuple[str, str], log: Path, port: int | None
) -> tuple[subprocess.Popen[bytes], str]:
    flag, ready = probe
    for _ in range(ATTEMPTS):
        chosen = port or free_port()
        url = f"http://127.0.0.1:{chosen}"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - a fixed program with our own arguments
                [*command, flag.format(port=chosen)], stdout=output, stderr=subprocess.STDOUT
            )
        try:
            if _becomes_ready(process, url + ready):
                return process, url
        except BaseException:
            stop(process)
            raise
        stop(process)
    tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ProgramError(f"{command[0]} did not become ready; the end of {log}:\n{tail}")


def _becomes_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).is_success:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process: SIGTERM, and SIGKILL if it does not go in time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
