"""Bounds on what comes in and how long it may take; headers on all that goes out."""

import asyncio
import secrets
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accounting.guard import problem
from accounting.guard.problem import Problem

MOST_BODY_BYTES = 64 * 1024
ANSWER_SECONDS = 30.0
"""Until an answer begins; a streamed one may then take longer."""
STREAM_SECONDS = 900.0

_TOO_LARGE = 413
_TOO_SLOW = 503

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"cache-control", b"no-store"),
]


def page_policy(nonce: str) -> str:
    """What a page of ours may load: its own files, and what carries the answer's nonce."""
    own = f"'self' 'nonce-{nonce}'"
    return (
        f"default-src 'none'; style-src {own}; script-src {own}; img-src 'self' data:;"
        " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    )


_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"


class _TooLarge(HTTPException):
    """More was sent than may be; FastAPI lets it pass where it reads a body."""

    def __init__(self) -> None:
        super().__init__(_TOO_LARGE, f"the request is larger than {MOST_BODY_BYTES:,} bytes")


class Armour:
    """Bounds requests in size and time, and puts the security headers on answers.

    ``request.state.csp_nonce`` is for what a page's own style or script elements carry.

    Args:
        app: what is behind it.
        prefix: path that a proxy in front keeps; requests come with it and without.
        seconds: how long an answer may take to begin.
        observe: told of every answer: route's path or empty text, status, seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        prefix: str,
        observe: Callable[[str, int, float], None],
        clock: Callable[[], float],
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.app = app
        self._prefix = prefix
        self._observe = observe
        self._clock = clock
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = self._clock()
        scope["root_path"] = self._prefix
        nonce = secrets.token_urlsafe(18)
        scope.setdefault("state", {})["csp_nonce"] = nonce
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _dress(message, nonce, scope)
            await send(message)

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start":
                deadline.reschedule(asyncio.get_running_loop().time() + STREAM_SECONDS)
            await sending(message)

        try:
            async with asyncio.timeout(self._seconds) as deadline:
                await self.app(scope, _bounded(scope, receive), answering)
        except (TimeoutError, _TooLarge) as exc:
            if status:  # the answer has begun: cut it off, so that it does not seem complete
                raise
            request = Request(scope)
            await problem.answer(request, _worded(exc, self._seconds))(scope, receive, sending)
        finally:
            route = scope.get("route")
            self._observe(getattr(route, "path", ""), status or 500, self._clock() - begun)


def _worded(exc: Exception, seconds: float) -> Problem:
    if isinstance(exc, _TooLarge):
        return Problem(
            _TOO_LARGE,
            exc.detail,
            "send less: no endpoint needs more",
        )
    return Problem(
        _TOO_SLOW,
        f"the answer took longer than {seconds:.0f} s",
        "ask for less, such as one month, or try again later",
        {"Retry-After": "30"},
    )


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """A ``receive`` that gives no more than may be.

    Raises:
        _TooLarge: more is announced.
    """
    declared = Headers(scope=scope).get("content-length", "")
    room = MOST_BODY_BYTES
    if declared.isdecimal() and int(declared[:20]) > room:
        raise _TooLarge

    async def receiving() -> Message:
        nonlocal room
        message = await receive()
        if message["type"] == "http.request":
            room -= len(message.get("body", b""))
            if room < 0:
                raise _TooLarge
        return message

    return receiving


def _dress(message: Message, nonce: str, scope: Scope) -> None:
    """Add the headers that an answer lacks. On the bare list: every answer passes here."""
    headers = list(message.get("headers", ()))
    known = dict(headers)
    policy = _DATA_POLICY
    if known.get(b"content-type", b"").startswith(b"text/html"):
        policy = page_policy(nonce)
    more = [*_HEADERS, (b"content-security-policy", policy.encode())]
    if scope["scheme"] == "https":
        more.append((b"strict-transport-security", b"max-age=31536000"))
    message["headers"] = headers + [pair for pair in more if pair[0] not in known]
