"""The monitor over HTTP: a page for people, JSON for probes, metrics for Prometheus."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from prometheus_client import CONTENT_TYPE_LATEST

from hub.monitor.metrics import rendered
from hub.monitor.result import Run, Verdict, shown_age, worst
from hub.monitor.schedule import Schedule
from hub.monitor.web.chart import step_times
from hub.monitor.web.login import Doorkeeper, HubSilent
from hub.program.failure import Failure

_STRIP = 48
_EARLIER_NAME = "status/"
"""The hub's service whose JSON EGI's earlier probe reads."""
_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self';"
    " frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_TEMPLATES = Environment(
    loader=PackageLoader("hub.monitor.web"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_app(
    schedule: Schedule,
    door: Doorkeeper,
    *,
    open_status: bool,
    lifespan: Callable[[], Awaitable[None]] | None = None,
) -> FastAPI:
    """The application.

    Args:
        schedule: what is known.
        door: who may look.
        open_status: whether ``status.json`` is for everybody.
        lifespan: what runs beside it.
    """
    app = FastAPI(
        title="notebooks-monitor",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_beside(lifespan),
    )

    _add_pages(app, schedule, door)
    _add_data(app, schedule, door, open_status=open_status)

    @app.get("/healthz")
    @app.get(f"{door.prefix}healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    app.add_exception_handler(HubSilent, _silent)
    app.add_exception_handler(Failure, _failed)
    return app


def _add_pages(app: FastAPI, schedule: Schedule, door: Doorkeeper) -> None:
    prefix = door.prefix

    @app.get(prefix)
    async def page(request: Request) -> Response:
        if _wants_data(request, prefix):
            return RedirectResponse(f"{prefix}status.json", 307)
        if await door.admits(request):
            return HTMLResponse(_page(schedule), headers=_HEADERS)
        if "Authorization" in request.headers:
            return _refused(_FORBIDDEN, "this token may not look", "ask for access:services")
        return door.send_to_login()

    @app.get(f"{prefix}oauth_callback")
    async def callback(request: Request) -> Response:
        answer = await door.finish_login(request)
        if answer is None:
            return _refused(
                _FORBIDDEN, "the login was not begun here, or ended already", f"go to {prefix}"
            )
        return answer


def _wants_data(request: Request, prefix: str) -> bool:
    """Whether a probe asks; where the service itself is called `status`, all but browsers do."""
    accepted = request.headers.get("Accept", "")
    if prefix == _beside_us(prefix):
        return "text/html" not in accepted
    return accepted == "application/json"


def _beside_us(prefix: str) -> str:
    """The path of the earlier monitor's service, on the same hub.

    >>> _beside_us("/base/services/monitoring/")
    '/base/services/status/'
    """
    return f"{prefix.rstrip('/').rpartition('/')[0]}/{_EARLIER_NAME}"


def _add_data(app: FastAPI, schedule: Schedule, door: Doorkeeper, *, open_status: bool) -> None:
    prefix = door.prefix

    @app.get(f"{prefix}status.json")
    @app.get(_beside_us(prefix))
    async def status(request: Request) -> Response:
        if not open_status and not await door.admits(request):
            return _token_needed()
        return JSONResponse(document(schedule.verdicts()), headers=_HEADERS)

    @app.get(f"{prefix}metrics")
    async def metrics(request: Request) -> Response:
        if not await door.admits(request):
            return _token_needed()
        text = rendered(schedule.verdicts(), schedule.history)
        return Response(text, media_type=CONTENT_TYPE_LATEST)


def document(verdicts: list[Verdict]) -> dict[str, Any]:
    """What ``status.json`` says: the gravest state, and each check's.

    `code` and `msg` repeat state and text for the probe of EGI's earlier monitor, which asks at
    the hub's service `status`.
    """
    state = worst(verdicts)
    first = next((v for v in verdicts if v.state is state), None)
    text = f"{first.check}: {first.said}" if first else "nothing is checked"
    return {
        "state": state.name,
        "text": text,
        "code": state.name,  # by these names EGI's own probe asks
        "msg": text,
        "checks": [
            {
                "check": known.check,
                "state": known.state.name,
                "text": known.said,
                "age_seconds": None if known.age_seconds is None else round(known.age_seconds),
                "at": _moment(known.last.began_at) if known.last else None,
                "steps_seconds": {
                    name: round(s, 3) for name, s in (known.last.steps if known.last else ())
                },
            }
            for known in verdicts
        ],
    }


def _page(schedule: Schedule) -> str:
    verdicts = schedule.verdicts()
    checks = []
    for known in verdicts:
        runs = schedule.history.last(known.check, _STRIP)
        title = f"Seconds that each step of the {known.check} check took"
        checks.append(
            {
                "known": known,
                "age": None if known.age_seconds is None else shown_age(known.age_seconds),
                "strip": [_mark(run) for run in reversed(runs)],
                "runs": [_mark(run) for run in runs[:10]],
                "chart": step_times(runs, title),
            }
        )
    interval = shown_age(schedule.interval_seconds)
    template = _TEMPLATES.get_template("status.html")
    return template.render(state=worst(verdicts), checks=checks, interval=interval)


def _mark(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "at": _moment(run.began_at),
        "title": f"{_moment(run.began_at)} {run.state.name}: {run.said}",
    }


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refused(code: int, error: str, cure: str, **headers: str) -> Response:
    return JSONResponse({"error": error, "cure": cure}, code, {**_HEADERS, **headers})


def _token_needed() -> Response:
    cure = "send 'Authorization: Bearer …' with the probes' token or one of the hub's"
    named = {"WWW-Authenticate": 'Bearer realm="notebooks-monitor"'}
    return _refused(_UNAUTHORIZED, "a token is needed", cure, **named)


def _silent(_request: Request, _exc: Exception) -> Response:
    return _refused(_UNAVAILABLE, "the hub does not say who you are", "try again in a minute")


def _failed(_request: Request, _exc: Exception) -> Response:
    return _refused(_UNAVAILABLE, "the results cannot be read now", "see the monitor's log")


def _beside(
    work: Callable[[], Awaitable[None]] | None,
) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.ensure_future(work()) if work else None
        yield
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return lifespan
