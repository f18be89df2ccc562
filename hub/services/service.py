"""What a service that the Hub starts knows of it, and how it answers."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSION = web.AppKey("session", ClientSession)

CONNECT_SECONDS = 10.0
"""To the Hub. Its answers may take long: it streams the progress of a start."""

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers for one connection only (RFC 9110, 7.6.1)."""

_NOT_FORWARDED = HOP_BY_HOP | {"authorization", "cookie", "host"}


@dataclass(frozen=True, slots=True)
class HubService:
    """A service as the Hub's environment describes it.

    `prefix` starts and ends with a slash, `api_url` and `hub_url` end without.
    """

    api_url: str
    prefix: str
    host: str
    port: int
    api_token: str = field(repr=False)

    @property
    def hub_url(self) -> str:
        """Where the Hub's pages are, seen from here."""
        return self.api_url.removesuffix("/api")


def from_environment(environment: Mapping[str, str] = os.environ) -> HubService:
    """Read what the Hub tells its services.

    Raises:
        SystemExit: A variable is missing: this was not started by a Hub.
    """
    names = ("API_URL", "API_TOKEN", "SERVICE_PREFIX", "SERVICE_URL")
    values = {name: environment.get(f"JUPYTERHUB_{name}", "") for name in names}
    missing = [f"JUPYTERHUB_{name}" for name, value in values.items() if not value]
    if missing:
        raise SystemExit(
            f"{', '.join(missing)} not set: this is a service for c.JupyterHub.services, with a url"
        )
    url = urlsplit(values["SERVICE_URL"])
    return HubService(
        api_url=values["API_URL"].rstrip("/"),
        prefix=values["SERVICE_PREFIX"].rstrip("/") + "/",
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        api_token=values["API_TOKEN"],
    )


def application(routes: web.RouteTableDef | list[web.RouteDef]) -> web.Application:
    """An application with these routes, errors as the Hub's API has them, and a session."""
    app = web.Application(middlewares=[_errors], client_max_size=0)
    app.add_routes(routes)
    app.cleanup_ctx.append(_session)
    return app


def serve(app: web.Application, service: HubService) -> None:
    """Serve until the Hub stops us."""
    web.run_app(app, host=service.host, port=service.port, access_log=None, print=None)


def bearer(request: web.Request, kinds: tuple[str, ...] = ("bearer",)) -> str:
    """The token that a request comes with; 401 without."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() not in kinds or not token.strip():
        raise web.HTTPUnauthorized(
            text="This needs the header Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return token.strip()


async def forward(request: web.Request, url: URL, token: str) -> web.StreamResponse:
    """Ask the same of another URL with another token, and stream its answer back.

    Method, query, body, status and headers are kept, but for headers of one connection, cookies
    and the caller's own token.
    """
    per_connection = {
        name.strip().lower() for name in request.headers.get("Connection", "").split(",")
    }
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if name.lower() not in _NOT_FORWARDED | per_connection
    ]
    headers.append(("Authorization", f"token {token}"))
    body = request.content if request.body_exists else None
    async with request.app[SESSION].request(
        request.method, url, headers=headers, data=body, allow_redirects=False
    ) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def below(request: web.Request, prefix: str, base: str) -> URL:
    """The URL below `base` of what was asked below `prefix`, its query and escapes as they are."""
    path = request.rel_url.raw_path.removeprefix(prefix.rstrip("/"))
    query = request.rel_url.raw_query_string
    return URL(f"{base}{path}" + (f"?{query}" if query else ""), encoded=True)


async def _session(app: web.Application) -> AsyncIterator[None]:
    timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    async with ClientSession(timeout=timeout, auto_decompress=False) as session:
        app[SESSION] = session
        yield


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < web.HTTPBadRequest.status_code:
            raise
        kept = {n: exc.headers[n] for n in ("WWW-Authenticate", "Retry-After") if n in exc.headers}
        return _error(exc.status, exc.text or exc.reason, kept)
    except (ClientError, TimeoutError):
        return _error(502, "The Hub does not answer. Try again later.", {"Retry-After": "30"})


def _error(status: int, message: str, headers: Mapping[str, str]) -> web.Response:
    return web.json_response({"status": status, "message": message}, status=status, headers=headers)
