"""Runs the service: polls, pushes, and answers over HTTP, until stopped."""

import gc
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import structlog
import uvicorn

from accounting.api.dependencies import Service
from accounting.app import create_app, doors_of
from accounting.config import Settings
from accounting.errors import AccountingError
from accounting.guard.gate import Doors
from accounting.guard.origin import CURE, SHARED
from accounting.service.jobs import Jobs
from accounting.service.loops import PollLoop, PushLoop
from accounting.store.database import Database
from accounting.telemetry import Metrics
from accounting.wiring import source_of

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 200
"""Connections and requests; more are told to come back."""

RUN_SECONDS = 20
"""What a run that is under way has to end in, when the service stops."""


@dataclass(frozen=True)
class Serving:
    """A service that listens.

    Attributes:
        url: its address on this machine.
        doors: its ways in.
        stop: ends it.
    """

    url: str
    doors: Doors
    stop: Callable[[], None]


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is a free one.

    ``::`` is every address of this machine, of IPv6 and of IPv4; of IPv4 alone where the kernel has
    no IPv6.

    Raises:
        AccountingError: the address is taken, or not this machine's.
    """
    try:
        listener = _bound(host, port)
    except OSError as exc:
        raise AccountingError(
            f"cannot listen on {host} port {port}: {str(exc.strerror).partition(' (')[0]}",
            "choose others with --host and --port, or stop what listens there",
        ) from exc
    # Its connections have it from here: without it, each small answer waits 40 ms for the client's
    # acknowledgement of its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _bound(host: str, port: int) -> socket.socket:
    if host == "::" and socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    if host == "::":
        return socket.create_server(("", port))
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


def serve(
    settings: Settings,
    database: Database,
    listener: socket.socket,
    ready: Callable[[Serving], None] = lambda _: None,
) -> None:
    """Serve until stopped by a signal, or by ``Serving.stop``.

    Args:
        settings: the service's.
        database: the service's; its tables are as they should be.
        listener: where to answer.
        ready: told when it is about to answer.

    Raises:
        SettingsError: a setting that it needs is missing or wrong.
    """
    with source_of(settings) as source:
        metrics = Metrics(version("notebooks-accounting"))
        jobs = Jobs(settings, database, metrics, source=source)
        jobs.prepare()
        polling = PollLoop(jobs, interval_seconds=settings.poll.interval)
        pushing = PushLoop(jobs, interval_seconds=settings.ssm.interval)
        service = Service(settings, database, metrics, jobs, polling)
        loops: list[PollLoop | PushLoop] = [polling]
        if settings.ssm.interval:
            loops.append(pushing)
        threads = [threading.Thread(target=loop.run, name=type(loop).__name__) for loop in loops]
        server, serving = _server(service, listener)
        for thread in threads:
            thread.start()
        try:
            where = listener.getsockname()
            log.info("serving", host=where[0], port=where[1])
            ready(serving)
            # What lives as long as the service is not looked through again. Without it, p99 of a
            # month's summary is 133 ms instead of 45 ms (`make bench`, API, 200,000 records).
            gc.collect()
            gc.freeze()
            server.run([listener])
        finally:
            jobs.stop()
            for loop in loops:
                loop.stop()
            service.runs.close(RUN_SECONDS)
            for thread in threads:
                thread.join()


def _server(service: Service, listener: socket.socket) -> tuple[uvicorn.Server, Serving]:
    doors = doors_of(service)
    if doors.origin.kind == SHARED:
        log.warning("pages show only one's own usage: their address is shared", cure=CURE)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service, doors),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            forwarded_allow_ips=",".join(sorted(service.settings.api.trusted_proxies)),
        )
    )

    def stop() -> None:
        server.should_exit = True

    host, port, *_ = listener.getsockname()
    name = f"[{host}]" if ":" in host else host
    return server, Serving(f"http://{name}:{port}", doors, stop)
