"""Runs the service: polls, pushes, and answers over HTTP, until stopped."""

import asyncio
import gc
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import HANDLED_SIGNALS

from accounting.api.dependencies import Service
from accounting.app import create_app, doors_of
from accounting.config import Settings
from accounting.errors import AccountingError
from accounting.guard.connections import ACCEPTED_AT_ONCE, QUEUED, connections_of_a_server
from accounting.guard.gate import Doors
from accounting.guard.origin import CURE, SHARED
from accounting.service.jobs import Jobs
from accounting.service.loops import PollLoop, PushLoop, ReconcileLoop, SumsLoop
from accounting.store.engine.database import Database
from accounting.telemetry.metrics import Metrics
from accounting.web import templating
from accounting.wiring.places import places
from accounting.wiring.source import source_of

log = structlog.get_logger(__name__)

HTTP_SECONDS = 5.0
"""Grace period of requests under way when the service stops; then their connections are closed."""

WINDOW_SECONDS = 20.0
"""Least grace period of a poll's window; a message has the longest time of its call."""


NEW_OBJECTS = 10_000
"""After so many, the garbage collector looks through them; Python's 700 are a few rows' worth."""

OPEN_FILES = 4096
"""Connections, ours among them, that the process may have, where the system lets it.

Many systems begin with 1,024, which several clients can use up; then no file can be opened.
"""


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
    # Connections inherit it. Without it, each small answer waits 40 ms until the client has
    # acknowledged its head.
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
    _allow_files()
    with source_of(settings) as source:
        names = [place.name for place in places(settings)]
        metrics = Metrics(version("notebooks-accounting"), names)
        jobs = Jobs(settings, database, metrics, source=source)
        jobs.prepare()
        polling = PollLoop(jobs, interval_seconds=settings.poll.interval)
        pushing = [  # one each, so that a destination that fails delays no other
            PushLoop(jobs, interval_seconds=place.ssm.interval, only=place.name)
            for place in places(settings)
            if place.ssm.interval
        ]
        service = Service(settings, database, metrics, jobs, polling)
        every = settings.portal.interval
        comparing = [ReconcileLoop(jobs, interval_seconds=every)] if every else []
        adding = SumsLoop(service.summaries.refresh)
        loops: list[PollLoop | PushLoop | ReconcileLoop | SumsLoop]
        loops = [polling, *pushing, *comparing, adding]
        threads = [
            threading.Thread(target=loop.run, name=type(loop).__name__, daemon=True)
            for loop in loops
        ]

        def stopping() -> None:
            jobs.stop()
            for loop in loops:
                loop.stop()

        templating.load()
        server, serving = _server(service, listener, stopping)
        with server.stopped_by_signals():
            for thread in threads:
                thread.start()
            try:
                where = listener.getsockname()
                log.info("serving", host=where[0], port=where[1])
                ready(serving)
                # The garbage collector skips what lives as long as the service. Without it, p99 of
                # a month's summary is 133 ms instead of 45 ms (`make bench`, API, 200,000 records).
                gc.collect()
                gc.freeze()
                # It also looks less often at what is new: p99 of a page of the list is 31 ms
                # instead of 36 ms (the same with PostgreSQL, 1,000,000 records).
                gc.set_threshold(NEW_OBJECTS)
                server.run([listener])
            finally:
                stopping()
                _end(service, threads)


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end(service: Service, threads: list[threading.Thread]) -> None:
    """Wait for the loops: a poll ends after its window, a push after its message."""
    until = time.monotonic() + max(WINDOW_SECONDS, service.settings.ssm.total_timeout)
    service.runs.close(until - time.monotonic())
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            log.warning(
                "stopped in the middle",
                loop=thread.name,
                cure="nothing is lost: the next start goes on from what was committed",
            )
    log.info("stopped")


class _Http(uvicorn.Server):
    """Returns after a signal to stop; uvicorn's own raises the signal again and dies of it.

    Args:
        config: uvicorn's.
        stopping: called at once, while requests under way still end.
    """

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; asyncio accepts as many at once as it has the kernel hold for it."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUED)

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        await super().main_loop()
        self._stopping()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests under way end; close those that take too long."""
        asyncio.get_running_loop().call_later(HTTP_SECONDS, self._cut_off)
        await super().shutdown(sockets)

    def _cut_off(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: ``stopped_by_signals`` takes them, for longer."""
        yield

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Treat the signals as requests to stop, however many come, until all has ended."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def http_server(
    app: ASGIApp,
    trusted_proxies: Iterable[str] = (),
    stopping: Callable[[], None] = lambda: None,
) -> _Http:
    """A server over the application, with bounds on what its clients may hold open."""
    config = uvicorn.Config(
        app,
        http=connections_of_a_server(),
        backlog=ACCEPTED_AT_ONCE,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(2 * HTTP_SECONDS),
        forwarded_allow_ips=",".join(sorted(trusted_proxies)),
    )
    return _Http(config, stopping)


def _server(
    service: Service, listener: socket.socket, stopping: Callable[[], None]
) -> tuple[_Http, Serving]:
    doors = doors_of(service)
    if doors.origin.kind == SHARED:
        log.warning("pages show only one's own usage: their address is shared", cure=CURE)
    app = create_app(service, doors)
    server = http_server(app, service.settings.api.trusted_proxies, stopping)

    def stop() -> None:
        server.should_exit = True

    host, port, *_ = listener.getsockname()
    name = f"[{host}]" if ":" in host else host
    return server, Serving(f"http://{name}:{port}", doors, stop)
