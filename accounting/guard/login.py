"""Logging in and out with a browser: by the hub, by a static token, or by a ticket."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.guard.gate import Doors, begin_login, unauthorized
from accounting.guard.hub import STATE_COOKIE
from accounting.guard.origin import CURE
from accounting.guard.problem import Problem
from accounting.guard.sessions import (
    COOKIE,
    IDLE_SECONDS,
    Session,
    drop_cookie,
    is_https,
    set_cookie,
)
from accounting.guard.tokens import digest_of

_SEE_OTHER = 303
_FORBIDDEN = 403
_NOT_FOUND = 404


def routes(doors: Doors) -> APIRouter:
    """``/login``, ``/oauth_callback`` and ``/logout``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/login")
    async def login(request: Request, ticket: str = "", following: str = "") -> Response:
        if ticket:
            _require_apart(request, doors)
            digest = doors.sessions.redeem(ticket)
            viewer = doors.tokens.viewer(digest) if digest else None
            if viewer:
                session = Session(viewer.name, digest=digest)
                return _opened(request, doors, session, following)
            raise unauthorized("this address was used already, or is too old")
        if doors.hub is not None:
            return begin_login(request, doors, doors.hub, _inside(request, following))
        raise unauthorized("a token is needed")

    @router.post("/login")
    async def sign_in(
        request: Request,
        token: Annotated[str, Form()] = "",
        following: Annotated[str, Form()] = "",
    ) -> Response:
        _require_same_origin(request)
        _require_apart(request, doors)
        owner = (await doors.admit(request, token.strip())).name
        encoded = token.strip().encode("latin-1", "replace")
        digest = digest_of(encoded)
        is_static = doors.tokens.viewer(digest) is not None
        shown = {"digest": digest} if is_static else {"hub_token": token.strip()}
        session = Session(owner, **shown)
        return _opened(request, doors, session, following)

    @router.get("/oauth_callback")
    async def returned(request: Request) -> Response:
        if doors.hub is None:
            raise Problem(_NOT_FOUND, "there is no login by a hub", "sign in with a token")
        token, following = await doors.hub.finish(request)
        viewer = await doors.hub.viewer(token)
        owner = viewer.name if viewer else ""
        response = _opened(request, doors, Session(owner, hub_token=token), following)
        drop_cookie(request, response, STATE_COOKIE)
        return response

    @router.post("/logout")
    async def sign_out(request: Request) -> Response:
        doors.sessions.close(request)
        response = RedirectResponse(_inside(request, ""), _SEE_OTHER)
        drop_cookie(request, response, COOKIE)
        return response

    return router


def _opened(request: Request, doors: Doors, session: Session, following: str) -> Response:
    doors.sessions.close(request)
    response = RedirectResponse(_inside(request, following), _SEE_OTHER)
    set_cookie(request, response, COOKIE, doors.sessions.open(session), int(IDLE_SECONDS))
    return response


def _inside(request: Request, following: str) -> str:
    """A path of this service, whatever the address says: not another site's."""
    home = f"{request.scope.get('root_path', '')}/"
    try:
        parts = urlsplit(following)
    except ValueError:  # such as half an IPv6 address
        return home
    is_own = not parts.scheme and not parts.netloc and parts.path.startswith(home)
    plain = following.isascii() and following.isprintable() and "\\" not in following
    return following if is_own and plain and not following.startswith("//") else home


def _require_apart(request: Request, doors: Doors) -> None:
    """A page of a notebook's could read a token that is typed at an address that both share."""
    if not doors.origin.is_apart(request):
        raise Problem(_FORBIDDEN, "no token is taken at an address that notebooks share", CURE)


def _require_same_origin(request: Request) -> None:
    """Nobody is signed in by another site's form."""
    origin = request.headers.get("origin", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    scheme = "https" if is_https(request) else "http"
    own = {f"{scheme}://{request.headers.get('host', '')}", ""}
    if origin not in own or site not in {"same-origin", "none"}:
        raise Problem(
            _FORBIDDEN,
            "this form is not one of this service",
            "open the service's own sign-in page",
        )
