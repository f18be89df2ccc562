"""Bounds on what comes in and how long it may take; headers on all that goes out."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from accounting.guard import problem
from accounting.guard.problem import Problem
from accounting.guard.protocol import require_plain

MOST_BODY_BYTES = 64 * 1024
ANSWER_SECONDS = 30.0
"""Until an answer begins; a streamed one may then take longer."""
STREAM_SECONDS = 900.0
"""For a file, from its first byte; for other answers, ``ANSWER_SECONDS``."""
MOST_AT_ONCE = 200
"""Requests under way; further ones get 503."""

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


class _TooLarge(Exception):
    """More was sent than may be."""

    detail = f"the request is larger than {MOST_BODY_BYTES:,} bytes"


class _TooMany(Exception):
    """Too many answers are under way."""


class Armour:
    """Bounds requests in size and time, and puts the security headers on answers.

    A page's style and script elements must carry ``request.state.csp_nonce``.

    Args:
        app: what is behind it.
        always: paths, below the prefix, that are answered however much is under way.
        prefix: path that a proxy in front keeps; requests come with it and without.
        seconds: how long an answer may take to begin.
        observe: told of every answer: route's path or empty text, status, seconds.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        always: frozenset[str],
        prefix: str,
        observe: Callable[[str, int, float], None],
        clock: Callable[[], float],
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.app = app
        self._always = always
        self._under_way = 0
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
                more = STREAM_SECONDS if _is_file(message) else self._seconds
                deadline.reschedule(asyncio.get_running_loop().time() + more)
            await sending(message)

        try:
            require_plain(scope)
            whole = await _whole(scope, receive)
            if whole is None:
                return
            with self._turn(scope):
                async with asyncio.timeout(self._seconds) as deadline:
                    await self.app(scope, whole, answering)
        except (TimeoutError, Problem, _TooLarge, _TooMany) as exc:
            if status:  # the answer has begun: cut it off, so that it does not seem complete
                raise
            request = Request(scope)
            await problem.answer(request, _worded(exc, self._seconds))(scope, receive, sending)
        finally:
            route = scope.get("route")
            self._observe(getattr(route, "path", ""), status or 500, self._clock() - begun)

    @contextmanager
    def _turn(self, scope: Scope) -> Iterator[None]:
        """Count a request as under way.

        Raises:
            _TooMany: too many are.
        """
        path = scope["path"].removeprefix(self._prefix)
        if self._under_way >= MOST_AT_ONCE and path not in self._always:
            raise _TooMany
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1


def _worded(exc: Exception, seconds: float) -> Problem:
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, _TooLarge):
        return Problem(
            _TOO_LARGE,
            exc.detail,
            "send less: no endpoint needs more",
        )
    if isinstance(exc, _TooMany):
        what, cure, later = "too much is asked at once", "try again in a moment", "2"
    else:
        what = f"the answer took longer than {seconds:.0f} s"
        cure, later = "ask for less, such as one month, or try again later", "30"
    return Problem(_TOO_SLOW, what, cure, {"Retry-After": later})


async def _whole(scope: Scope, receive: Receive) -> Receive | None:
    """Read the body, and return a ``receive`` that gives it; None if the client has gone.

    The body is read before anything else is done, so that a slow upload holds no thread and no
    connection to the database. ``guard.connections`` bounds how long it may take.

    Raises:
        _TooLarge: more is announced, or comes, than may be.
    """
    declared = Headers(scope=scope).get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > MOST_BODY_BYTES:
        raise _TooLarge
    body = bytearray()
    message: Message = {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise _TooLarge
    return replaying(bytes(body), receive)


def replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read already, and then what comes after it."""
    again: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return again.pop() if again else await receive()

    return replay


def _is_file(message: Message) -> bool:
    return any(name == b"content-disposition" for name, _ in message.get("headers", ()))


def _dress(message: Message, nonce: str, scope: Scope) -> None:
    """Add the headers that an answer lacks. Hot path: works on the bare list."""
    headers = list(message.get("headers", ()))
    known = dict(headers)
    policy = _DATA_POLICY
    if known.get(b"content-type", b"").startswith(b"text/html"):
        policy = page_policy(nonce)
    more = [*_HEADERS, (b"content-security-policy", policy.encode())]
    if scope["scheme"] == "https":
        more.append((b"strict-transport-security", b"max-age=31536000"))
    message["headers"] = headers + [pair for pair in more if pair[0] not in known]
