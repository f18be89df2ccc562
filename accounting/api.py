"""The service's HTTP API: liveness, readiness, metrics.

Liveness and readiness are open, as Kubernetes asks without credentials, and say nothing that must
not be known. Metrics need the administrator's token wherever one is set. All errors are one JSON
object with ``error`` and ``cure``.
"""

import hmac
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from accounting.config import Settings, read_secret
from accounting.database import Database
from accounting.errors import AccountingError, DatabaseError
from accounting.schedule import PollLoop, standing_of
from accounting.telemetry import CONTENT_TYPE, Metrics, Standing

_UNAUTHORIZED = 401
_UNAVAILABLE = 503


@dataclass(frozen=True)
class Service:
    """What the API shows.

    Attributes:
        settings: the service's.
        database: the service's.
        metrics: the service's.
        loop: polls in the background.
        clock: tells Unix time.
    """

    settings: Settings
    database: Database
    metrics: Metrics
    loop: PollLoop
    clock: Callable[[], float] = time.time


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on ``host``."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def create_app(service: Service) -> FastAPI:
    """The application over a service's parts."""
    app = FastAPI(title="notebooks-accounting", docs_url=None, redoc_url=None, openapi_url=None)
    allowed = [Depends(_Admin(service.settings.api.token_file))]
    shown = threading.Lock()

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        if reason := _unready(service):
            raise HTTPException(_UNAVAILABLE, reason)
        return {"status": "ready"}

    @app.get("/metrics", dependencies=allowed)
    def metrics() -> Response:
        standing = Standing()
        with suppress(DatabaseError):  # the other metrics, and NaN for these, tell of it
            standing = standing_of(service.settings, service.database, service.clock())
        with shown:
            service.metrics.show(standing)
            return Response(service.metrics.render(), media_type=CONTENT_TYPE)

    app.add_exception_handler(HTTPException, _explained)
    app.add_exception_handler(AccountingError, _failed)
    return app


def _unready(service: Service) -> str:
    """Why the service is not ready, or empty text."""
    try:
        if not service.database.is_current():
            return "the database waits for 'notebooks-accounting db upgrade'"
    except DatabaseError:
        return "the database cannot be used"
    progress_at = service.loop.progress_at
    if progress_at is None:
        return "nothing has been polled yet"
    if service.clock() - progress_at > service.loop.allowed_seconds:
        return f"the last poll that went well is {service.clock() - progress_at:.0f} s old"
    return ""


class _Admin:
    """Lets through who bears the administrator's token; everybody, if there is none.

    ``serve`` refuses to listen beyond the loopback without one. The file is read for every
    request, so that the token may be rotated.
    """

    def __init__(self, token_file: Path | None) -> None:
        self._token_file = token_file

    def __call__(self, request: Request) -> None:
        if self._token_file is None:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        expected = read_secret(self._token_file, "api.token_file")
        # Headers are Latin-1; comparing bytes takes as long for a wrong token as for a right one.
        same = hmac.compare_digest(token.strip().encode("latin-1"), expected)
        if scheme.lower() != "bearer" or not same:
            raise HTTPException(
                _UNAUTHORIZED,
                "the administrator's token is needed",
                {"WWW-Authenticate": 'Bearer realm="notebooks-accounting"'},
            )


_CURES = {
    _UNAUTHORIZED: "send 'Authorization: Bearer …' with the token of ACCOUNTING_API__TOKEN_FILE",
    _UNAVAILABLE: "see the service's log, and 'notebooks-accounting doctor'",
}


def _explained(_request: Request, exc: Exception) -> JSONResponse:
    if not isinstance(exc, HTTPException):
        raise exc
    body = {"error": exc.detail, "cure": _CURES.get(exc.status_code, "see the documentation")}
    return JSONResponse(body, exc.status_code, exc.headers)


def _failed(_request: Request, _exc: Exception) -> JSONResponse:
    # Its text names files and addresses: that is for the log and the operator only.
    body = {"error": "the service cannot answer now", "cure": _CURES[_UNAVAILABLE]}
    return JSONResponse(body, _UNAVAILABLE)
