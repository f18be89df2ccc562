"""The application: the API and the pages behind the gate, over one service's parts."""

import re
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import ip_address
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

from accounting import web
from accounting.api import routes
from accounting.api.dependencies import Service
from accounting.api.sentences import problem_of
from accounting.api.strictness import API, wrong
from accounting.errors import AccountingError
from accounting.guard import login, problem
from accounting.guard.armour import Armour
from accounting.guard.gate import OPEN, Doors, Gate
from accounting.guard.head import Head
from accounting.guard.hub import hub_of, prefix_of
from accounting.guard.origin import origin_of
from accounting.guard.problem import Problem
from accounting.guard.sessions import Sessions
from accounting.guard.throttle import Throttle
from accounting.guard.tokens import StaticTokens
from accounting.lookup.cursor import BadCursor
from accounting.lookup.records import Forbidden
from accounting.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_BAD, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED, _UNAVAILABLE = 400, 403, 404, 405, 503
_ABOUT = """What every notebook used, as it is accounted for and delivered to APEL.

Times are Unix seconds (UTC), durations seconds, memory MB, disk and traffic GB. Send a token as
`Authorization: Bearer …`. Refusals are problem details (RFC 9457) with a `cure`.
"""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def doors_of(service: Service) -> Doors:
    """The ways in that the settings open.

    Raises:
        SettingsError: a token's file cannot be read, or the hub's login lacks its package.
    """
    tokens = StaticTokens(service.settings)
    tokens.check()
    return Doors(
        tokens,
        hub_of(service.settings),
        Sessions(time.monotonic),
        Throttle(),
        origin_of(service.settings),
        service.metrics.failed_logins.inc,
    )


def create_app(service: Service, doors: Doors | None = None) -> FastAPI:
    """The application over a service's parts.

    Args:
        service: the parts.
        doors: the ways in; those of the settings if not given.

    Raises:
        SettingsError: a token's file cannot be read, or the hub's login lacks its package.
    """
    doors = doors or doors_of(service)
    app = FastAPI(
        title="notebooks-accounting",
        description=_ABOUT,
        version=version("notebooks-accounting"),
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    prefix = prefix_of(service.settings)
    app.state.service = service
    app.state.doors = doors
    app.state.error_page = web.error_page
    for router in (*routes.routers, login.routes(doors), *web.routers):
        # Included, each would be made anew for this application, and matched level by level.
        app.router.routes += router.routes
    app.openapi = lambda: _openapi(app, prefix)  # type: ignore[method-assign] # FastAPI's way to change it
    _handle_errors(app)
    app.add_middleware(Gate, doors=doors)
    app.add_middleware(Head)
    app.add_middleware(
        Armour,
        always=OPEN,
        prefix=prefix,
        observe=_observed(service.metrics),
        clock=time.monotonic,
    )
    return app


def _observed(metrics: Metrics) -> Callable[[str, int, float], None]:
    def observe(route: str, status: int, seconds: float) -> None:
        metrics.answered(area_of(route), status, seconds)

    return observe


def area_of(route: str) -> str:
    """The metrics' label of a route: one of a few words, whatever was asked for."""
    first = route.removeprefix(API).strip("/").partition("/")[0]
    if not route.startswith(API):
        return _PLACES.get(first, "pages") if route else "other"
    return _API_AREAS.get(first, "ledger")


_PLACES = {
    "healthz": "health",
    "readyz": "health",
    "metrics": "health",
    "login": "login",
    "logout": "login",
    "oauth_callback": "login",
    "docs": "other",
}
_API_AREAS = {
    "records": "records",
    "summaries": "summaries",
    "storage": "summaries",
    "messages": "messages",
    "runs": "runs",
    "poll": "runs",
    "push": "runs",
    "republish": "runs",
    "reconcile": "runs",
    "reconciliations": "messages",
    "openapi.json": "other",
}


def _handle_errors(app: FastAPI) -> None:
    def own(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, Problem)  # noqa: S101 - registered for these
        return problem.answer(request, exc)

    def invalid(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, RequestValidationError)  # noqa: S101 - registered for these
        errors = [
            {
                "parameter": str(error["loc"][1]),
                "problem": problem_of(error),
            }
            for error in exc.errors()
        ]
        cure = "correct the address" if problem.wants_page(request) else ""
        return problem.answer(request, wrong(errors, cure))

    def other(request: Request, exc: Exception) -> Response:
        assert isinstance(exc, HTTPException)  # noqa: S101 - registered for these
        said = {
            _NOT_FOUND: "there is nothing at this address",
            _NOT_ALLOWED: f"{request.method} is not possible at this address",
        }
        detail = said.get(exc.status_code, str(exc.detail))
        cure = f"see {API}/openapi.json for what there is"
        if problem.wants_page(request):
            cure = "look for it from the first page on"
        return problem.answer(request, Problem(exc.status_code, detail, cure, exc.headers))

    app.add_exception_handler(Problem, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(AccountingError, _failed)
    app.add_exception_handler(Exception, _unexpected)


def _failed(request: Request, exc: Exception) -> Response:
    """Tell the client about its own mistakes only; the log has what is wrong with the service."""
    if isinstance(exc, BadCursor):
        return problem.answer(request, Problem(_BAD, exc.message, exc.cure))
    if isinstance(exc, Forbidden):
        return problem.answer(request, Problem(_FORBIDDEN, exc.message, exc.cure))
    if isinstance(exc, AccountingError):  # its text names files and addresses
        log.error("request failed", problem=exc.message, cure=exc.cure)
    return problem.answer(
        request,
        Problem(
            _UNAVAILABLE,
            "the service cannot answer now",
            "see the service's log, and 'notebooks-accounting doctor'",
        ),
    )


def _unexpected(request: Request, exc: Exception) -> Response:
    """The exception's text may hold secrets: it goes to the debug log only."""
    log.debug("request failed unexpectedly", exc_info=exc)
    return problem.answer(
        request,
        Problem(500, "the service has a defect", "please report what was asked, and the log"),
    )


def _openapi(app: FastAPI, prefix: str) -> dict[str, Any]:
    """FastAPI's description, with problem details as the shape of all refusals."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            servers=[{"url": prefix or "/"}],
        )
        for operations in found["paths"].values():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                operation["security"] = [{"token": []}]
        schemas: Mapping[str, Any] = found["components"]["schemas"]
        found["components"]["schemas"] = {
            name: schema
            for name, schema in schemas.items()
            if not re.fullmatch("(HTTP)?ValidationError", name)
        }
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = found
    return app.openapi_schema
