"""``serve``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from accounting.cli.program import opened, program_of
from accounting.errors import SettingsError

if TYPE_CHECKING:
    from accounting.config import Settings


def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
) -> None:
    """Poll, push, and serve HTTP, until stopped.

    It polls every ACCOUNTING_POLL__INTERVAL (5 min if not set) and pushes every
    ACCOUNTING_SSM__INTERVAL (1 h if not set).

    /healthz: the program lives. /readyz: it has its database, else 503 and why not. All else needs
    a token: the pages at /, the API at /api/v1 with its description at /docs, and /metrics.
    """
    with suppress(KeyboardInterrupt):  # a signal before it serves: nothing is under way yet
        _serve(ctx, host, port)


def _serve(ctx: typer.Context, host: str, port: int) -> None:
    settings = program_of(ctx).settings("info")
    _require_token(settings, host)
    settings.site()  # both are needed, and asked for before anything is made
    settings.scope()
    from accounting import server

    with server.listening(host, port) as listener, opened(settings, create=True) as database:
        server.serve(settings, database, listener)


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
