"""Bounds on what comes in and how long it may take; headers on all that goes out."""

import asyncio
import secrets
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
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

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "X-Permitted-Cross-Domain-Policies": "none",
}
_NOT_KEPT = "no-store"


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
                _dress(MutableHeaders(scope=message), nonce, scope)
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


def _dress(headers: MutableHeaders, nonce: str, scope: Scope) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", _NOT_KEPT)
    if "content-security-policy" not in headers:
        is_page = headers.get("content-type", "").startswith("text/html")
        headers["Content-Security-Policy"] = page_policy(nonce) if is_page else _DATA_POLICY
    if scope["scheme"] == "https":
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
