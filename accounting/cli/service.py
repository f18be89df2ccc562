"""``serve``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from contextlib import ExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from accounting.cli.program import opened, program_of
from accounting.errors import AccountingError, SettingsError

if TYPE_CHECKING:
    from socket import socket

    from accounting.config import Settings

_MOST_AT_ONCE = 200
"""Connections and requests; more are told to come back."""

_RUN_SECONDS = 20
"""What a run that is under way has to end in, when the service stops."""


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
) -> None:
    """Poll, push, and answer over HTTP, until stopped.

    It polls every ACCOUNTING_POLL__INTERVAL (5 min if not set) and pushes every
    ACCOUNTING_SSM__INTERVAL (1 h if not set).

    /healthz: the program lives. /readyz: polls go well, else 503 and why not. All else needs a
    token: the pages at /, the API at /api/v1 with its description at /docs, and /metrics.
    """
    settings = program_of(ctx).settings("info")
    _require_token(settings, host)
    settings.site()  # both are needed, and asked for before anything is made
    settings.scope()
    with ExitStack() as stack:
        _serve(settings, stack.enter_context(_listening(host, port)), stack)


def _require_token(settings: "Settings", host: str) -> None:
    """Where others can reach the service, somebody must be able to show a token."""
    from accounting.app import is_loopback
    from accounting.guard.hub import hub_of
    from accounting.guard.tokens import StaticTokens

    tokens = StaticTokens(settings)
    tokens.check()
    if not tokens and hub_of(settings) is None and not is_loopback(host):
        raise SettingsError(
            f"to listen on {host}, which others can reach, ACCOUNTING_API__TOKEN_FILE is needed",
            "for example ACCOUNTING_API__TOKEN_FILE=/etc/notebooks-accounting/token",
        )


def _serve(settings: "Settings", listener: "socket", stack: ExitStack) -> None:
    import threading

    import structlog
    import uvicorn

    from accounting.api.parts import Service
    from accounting.app import create_app
    from accounting.dispatch import PushLoop
    from accounting.schedule import PollLoop, forgetter_of, poller_of, pusher_of, source_of
    from accounting.telemetry import Metrics

    database = stack.enter_context(opened(settings, create=True))
    source = stack.enter_context(source_of(settings))
    metrics = Metrics(version("notebooks-accounting"))
    loop = PollLoop(
        poller_of(settings, database, source),
        interval_seconds=settings.poll.interval,
        settle_seconds=settings.poll.settle,
        metrics=metrics,
        forget=forgetter_of(settings, database),
    )
    service = Service(settings, database, metrics, loop)
    web = create_app(service)
    server = uvicorn.Server(
        uvicorn.Config(
            web,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_MOST_AT_ONCE,
            forwarded_allow_ips=",".join(sorted(settings.api.trusted_proxies)),
        )
    )
    pushing = PushLoop(
        lambda: pusher_of(settings, database),
        interval_seconds=settings.ssm.interval,
        metrics=metrics,
    )
    threads = [threading.Thread(target=loop.run, name="poll loop")]
    if settings.ssm.interval:
        threads.append(threading.Thread(target=pushing.run, name="push loop"))
    for thread in threads:
        thread.start()
    try:
        where = listener.getsockname()
        structlog.get_logger(__name__).info("serving", host=where[0], port=where[1])
        server.run([listener])
    finally:
        loop.stop()
        pushing.stop()
        service.runs.close(_RUN_SECONDS)
        for thread in threads:
            thread.join()


def _listening(host: str, port: int) -> "socket":
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise AccountingError(
            f"cannot listen on {host} port {port}: {str(exc.strerror).partition(' (')[0]}",
            "choose others with --host and --port, or stop what listens there",
        ) from exc
