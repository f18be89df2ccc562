"""The gate: every request must be authenticated, except for health and login.

It runs before all routes. So a client without a token does not even learn which paths exist.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from accounting.errors import SettingsError
from accounting.guard import problem
from accounting.guard.armour import replaying
from accounting.guard.fetch import SAFE, require_own_page
from accounting.guard.hub import STATE_COOKIE, STATE_SECONDS, Hub
from accounting.guard.origin import CURE, Origin
from accounting.guard.problem import Problem
from accounting.guard.sessions import Session, Sessions, set_cookie
from accounting.guard.throttle import SPAN_SECONDS, Crowded, Suspects, Throttle
from accounting.guard.tokens import StaticTokens, digest_of
from accounting.store.engine.access import Viewer

log = structlog.get_logger(__name__)

OPEN = frozenset({"/healthz", "/readyz"})
LOGIN = frozenset({"/login", "/oauth_callback"})
"""These check credentials themselves."""

MOST_OF_ONE = 30
"""Requests of one viewer that are under way; the threads that answer are 40."""

CSRF_FIELD = "csrf_token"
_SESSION_ID = 64
"""Characters of the hub's session id; it has 32."""
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_UNAVAILABLE = 503
_TOO_MANY = 429
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="notebooks-accounting"'}


@dataclass(frozen=True)
class Identity:
    """Who asks, and the session if it is a browser.

    Attributes:
        is_narrowed: the viewer may see more, but not at this address (``guard.origin``).
    """

    viewer: Viewer
    session: Session | None = None
    is_narrowed: bool = False


@dataclass(frozen=True)
class Doors:
    """How requests are authenticated."""

    tokens: StaticTokens
    hub: Hub | None
    sessions: Sessions
    throttle: Throttle
    origin: Origin
    note_failure: Callable[[], None] = lambda: None
    _suspects: Suspects = field(default_factory=Suspects)

    async def identify(self, request: Request) -> Identity | None:
        """Who asks; None if there are no credentials.

        Raises:
            Problem: the credentials are wrong, or cannot be checked now.
        """
        shown = request.headers.get("authorization")
        if shown is not None:
            scheme, _, token = shown.partition(" ")
            if scheme.lower() not in {"bearer", "token"}:
                raise unauthorized("the token is not shown as a bearer token")
            return Identity(await self.admit(request, token.strip()))
        session = self.sessions.find(request)
        if session is None:
            return None
        require_own_page(request, session)
        viewer = await self._again(request, session)
        if viewer is None:
            return None
        return (
            Identity(viewer, session)
            if self.origin.is_apart(request)
            else _narrowed(request, viewer, session)
        )

    async def admit(self, request: Request, token: str) -> Viewer:
        """Whose token it is; wrong ones are counted.

        Raises:
            Problem: it is nobody's.
        """
        client = request.client.host if request.client else ""
        viewer = self._of_file(digest_of(token.encode("latin-1", "replace")))
        if viewer is None and self.hub is not None and token.isascii() and token.isprintable():
            viewer = await self._of_hub(self.hub, token, client)
        if viewer is not None:
            return viewer
        self.note_failure()
        if wait := self.throttle.guessed(client):
            raise _too_many(wait)
        log.warning("failed login", client=client)  # as often as guesses are allowed
        raise unauthorized("the token is not one that this service knows")

    async def _of_hub(self, hub: Hub, token: str, client: str) -> Viewer | None:
        """Ask the hub whose token it is; addresses that guess share two places in the queue.

        Raises:
            Problem: the queue is full, or the hub does not answer.
        """
        digest = digest_of(token.encode())
        if self.throttle.is_suspect(client):
            try:
                async with self._suspects.turn(digest):
                    viewer = await hub.viewer(token)
            except Crowded as exc:
                raise _too_many(SPAN_SECONDS) from exc
        else:
            viewer = await hub.viewer(token)
        self._suspects.note(digest, is_right=viewer is not None)
        return viewer

    async def _again(self, request: Request, session: Session) -> Viewer | None:
        """Re-check the session's credential; None if it was revoked."""
        if session.digest:
            return self._of_file(session.digest)
        if self.hub is None:
            return None
        # The hub's answers are kept by it: a browser could fill the memory with longer ones.
        session_id = request.cookies.get("jupyterhub-session-id", "")[:_SESSION_ID]
        return await self.hub.viewer(session.hub_token, session_id)

    def _of_file(self, digest: bytes) -> Viewer | None:
        try:
            return self.tokens.viewer(digest)
        except SettingsError as exc:  # names the file: for the log only
            log.error("token not readable", problem=exc.message, cure=exc.cure)  # noqa: TRY400 - a trace adds nothing to the cure
            raise Problem(
                _UNAVAILABLE, "the service cannot check tokens now", "see the service's log"
            ) from exc


def _too_many(wait: float) -> Problem:
    return Problem(
        _TOO_MANY,
        "too many failed logins",
        f"wait {math.ceil(wait)} s, then try again with the right token",
        {"Retry-After": str(math.ceil(wait))},
    )


def unauthorized(detail: str) -> Problem:
    """The refusal of a request without a good token."""
    return Problem(
        _UNAUTHORIZED,
        detail,
        "send 'Authorization: Bearer …' with the token of ACCOUNTING_API__TOKEN_FILE or of the hub",
        _CHALLENGE,
    )


def _narrowed(request: Request, viewer: Viewer, session: Session) -> Identity:
    """A session on an origin that notebooks share: its user's own usage, and no actions.

    Raises:
        Problem: it is an action.
    """
    if request.method not in SAFE and _path(request.scope) != "/logout":
        raise Problem(_FORBIDDEN, "nothing can be done at an address that notebooks share", CURE)
    alone = viewer.alone()
    return Identity(alone, session, is_narrowed=alone != viewer)


def _path(scope: Scope) -> str:
    """The path below the prefix that a proxy keeps."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


class Gate:
    """Lets requests through to the application, with ``request.state.identity``.

    Args:
        app: what is behind it.
        doors: how to find out who asks.
    """

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        self.app = app
        self.doors = doors
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["csrf_token"] = ""
        if _path(scope) not in OPEN | LOGIN:
            if _is_form(scope):
                receive, state["csrf_token"] = await _form_token(receive)
            request = Request(scope, receive)
            refusal = await self._refusal(request, state)
            if refusal is not None:
                await refusal(scope, receive, send)
            else:
                await self._counted(state["identity"].viewer, scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _counted(self, viewer: Viewer, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a viewer's request, if not too many of theirs are under way."""
        owner = f"{viewer.name} {viewer.user}"
        if self._under_way[owner] >= MOST_OF_ONE:
            busy = Problem(
                _TOO_MANY,
                f"{MOST_OF_ONE} of your requests are under way",
                "let some end, then ask again",
                {"Retry-After": "2"},
            )
            await problem.answer(Request(scope), busy)(scope, receive, send)
            return
        self._under_way[owner] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._under_way[owner] -= 1
            self._under_way += Counter()  # forgets viewers without requests

    async def _refusal(self, request: Request, state: dict[str, Any]) -> Response | None:
        try:
            identity = await self.doors.identify(request)
            if identity is None:
                if request.method == "GET" and self.doors.hub and problem.wants_page(request):
                    return begin_login(request, self.doors, self.doors.hub, _asked_for(request))
                raise unauthorized("a token is needed")
        except Problem as exc:
            return problem.answer(request, exc)
        state["identity"] = identity
        return None


def begin_login(request: Request, doors: Doors, hub: Hub, following: str) -> Response:
    """Send a browser to the hub to log in; first to the service's own host name, if it has one."""
    if address := doors.origin.elsewhere(request):
        return RedirectResponse(f"{address}{request.scope.get('root_path', '')}/", 302)
    ticket = hub.begin(following)
    response = RedirectResponse(ticket.address, 302)
    set_cookie(request, response, STATE_COOKIE, ticket.cookie, STATE_SECONDS)
    return response


def _asked_for(request: Request) -> str:
    query = request.scope.get("query_string", b"").decode("latin-1")
    return quote(request.scope["path"]) + (f"?{query}" if query else "")


def _is_form(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "")
    return scope["method"] == "POST" and kind.startswith("application/x-www-form-urlencoded")


async def _form_token(receive: Receive) -> tuple[Receive, str]:
    """The token in a form; and a ``receive`` that gives the form once more.

    ``guard.armour`` has read the whole body already.
    """
    body = (await receive())["body"]
    given = parse_qs(body.decode("latin-1")).get(CSRF_FIELD, [""])
    return replaying(body, receive), given[0]
