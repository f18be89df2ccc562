"""The program ``notebooks-monitor``."""
# ruff: noqa: PLC0415 - help and mistakes answer at once

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from hub.monitor.settings import PREFIX, MonitorSettings
from hub.program.command import program
from hub.program.failure import WrongSetting
from hub.program.settings import load, read_secret

if TYPE_CHECKING:
    from hub.monitor.schedule import Schedule

app = program(
    "Starts a notebook every hour as a monitoring user, and reports the result.\n\n"
    f"Settings: environment {PREFIX}… or one YAML file; see docs/monitoring.md."
)


@app.callback()
def _program(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help=f"YAML file with settings.  [env: {PREFIX}CONFIG]"),
    ] = None,
) -> None:
    ctx.obj = config
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    for noisy in ("httpx", "httpcore"):  # addresses are theirs to log
        logging.getLogger(noisy).setLevel(logging.WARNING)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; JUPYTERHUB_SERVICE_URL's if not given.")
    ] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port.")] = 0,
) -> None:
    """Run the checks by the clock, and serve page, JSON and metrics until stopped."""
    import uvicorn
    from jupyterhub.services.auth import HubOAuth

    from hub.monitor.web.app import create_app
    from hub.monitor.web.login import Doorkeeper
    from hub.program.listening import listening

    settings = load(MonitorSettings, ctx.obj)
    schedule = _schedule(settings)
    if settings.token_file:
        read_secret(settings.token_file, "token_file")
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if not prefix:
        raise WrongSetting(
            "JUPYTERHUB_SERVICE_PREFIX is not set",
            "run it as a service of the hub: docs/monitoring.md",
        )
    auth = HubOAuth(api_url=_api_url(settings), api_token=_token(settings))
    door = Doorkeeper(auth, prefix, settings.token_file)
    web = create_app(schedule, door, open_status=settings.open_status, lifespan=schedule.forever)
    where = urlsplit(os.environ.get("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:8100"))
    address = host or where.hostname or "127.0.0.1"
    with listening(address, port or where.port or 8100) as listener:
        server = uvicorn.Server(uvicorn.Config(web, log_level="warning", access_log=False))
        server.run(sockets=[listener])


@app.command()
def check(ctx: typer.Context) -> None:
    """Run all checks now, keep the results, and write them as JSON; exit code as Nagios has it."""
    from hub.monitor.result import worst
    from hub.monitor.web.app import document

    schedule = _schedule(load(MonitorSettings, ctx.obj))
    asyncio.run(schedule.run_due(all_of_them=True))
    verdicts = schedule.verdicts()
    typer.echo(json.dumps(document(verdicts), indent=1))
    raise typer.Exit(int(worst(verdicts)))


def _schedule(settings: MonitorSettings) -> "Schedule":
    from hub.monitor.checks.binder import BinderCheck
    from hub.monitor.checks.notebook import NotebookCheck
    from hub.monitor.history import History
    from hub.monitor.schedule import Check, Schedule

    checks: list[Check] = [NotebookCheck(settings, _api_url(settings), _token(settings))]
    if settings.binder_url:
        checks.append(BinderCheck(settings.binder_url))
    history = History(settings.history_file, settings.history_days)
    return Schedule(checks, history, settings.interval, settings.stale_seconds)


def _api_url(settings: MonitorSettings) -> str:
    if not settings.hub_url:
        raise WrongSetting(
            f"{PREFIX}HUB_URL is not set: the hub's address as users have it",
            f"for example {PREFIX}HUB_URL=https://notebooks.example.org",
        )
    given = settings.api_url or os.environ.get("JUPYTERHUB_API_URL", "")
    return given or f"{settings.hub_url}/hub/api"


def _token(settings: MonitorSettings) -> str:
    if settings.api_token_file:
        return read_secret(settings.api_token_file, "api_token_file")
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not token:
        raise WrongSetting(
            f"{PREFIX}API_TOKEN_FILE is not set, and the hub gave no token",
            f"for example {PREFIX}API_TOKEN_FILE=/run/secrets/notebooks-monitor/api-token",
        )
    return token


def main() -> None:
    """Run the program."""
    app(prog_name="notebooks-monitor")
