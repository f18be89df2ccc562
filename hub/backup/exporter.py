"""Shows the last results to Prometheus: a file, which may be a mounted ConfigMap, as metrics."""

import hmac
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from hub.backup.report.status import metrics
from hub.backup.settings import PREFIX, BackupSettings
from hub.backup.store import read_status
from hub.program.failure import WrongSetting
from hub.program.listening import listening
from hub.program.settings import read_secret

_UNAUTHORIZED = 401


def create_app(settings: BackupSettings) -> FastAPI:
    """`/metrics` for who bears the token, `/healthz` for everybody."""
    app = FastAPI(title="notebooks-backup", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/metrics")
    def show(request: Request) -> Response:
        if settings.metrics_token_file:
            expected = read_secret(settings.metrics_token_file, "metrics_token_file").encode()
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            same = hmac.compare_digest(token.strip().encode("latin-1"), expected)
            if scheme.lower() != "bearer" or not same:
                said = "send 'Authorization: Bearer …' with the metrics token\n"
                return Response(said, _UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
        return Response(metrics(read_status(settings.status_file)), media_type=CONTENT_TYPE_LATEST)

    return app


def serve(settings: BackupSettings, host: str, port: int) -> None:
    """Serve until stopped.

    Raises:
        WrongSetting: others could read it without a token, or there is nothing to show.
    """
    if settings.status_file is None:
        raise WrongSetting(f"{PREFIX}STATUS_FILE is not set", "it names the file to show")
    if settings.metrics_token_file:
        read_secret(settings.metrics_token_file, "metrics_token_file")
    elif not (host == "localhost" or ip_address(host).is_loopback):
        raise WrongSetting(
            f"to listen on {host}, which others can reach, {PREFIX}METRICS_TOKEN_FILE is needed",
            "mount a Secret with a token and name its file",
        )
    with listening(host, port) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning"))
        server.run(sockets=[listener])
