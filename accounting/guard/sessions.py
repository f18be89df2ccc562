"""Browser sessions: kept here, so that they can be ended; the cookie only holds a random key.

A session holds its user's credential: the hash of a static token, or a token of the hub. Each
request checks it again, so that a session ends when its token does.
"""

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from accounting.guard.tokens import digest_of

COOKIE = "accounting-session"
IDLE_SECONDS = 12 * 3600.0
_MOST = 10_000
MOST_OF_ONE = 20
_TICKET_SECONDS = 3600.0


@dataclass(slots=True)
class Session:
    """A browser's session.

    Attributes:
        owner: whose it is; the bound on sessions is per owner.
        digest: hash of the static token; empty if it was the hub's.
        hub_token: the hub's token; empty if it was a static one.
        csrf_token: what actions must repeat; other sites cannot read it.
        used_at: monotonic seconds.
    """

    owner: str = ""
    digest: bytes = b""
    hub_token: str = ""
    csrf_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    used_at: float = 0.0

    def is_own(self, csrf_token: str) -> bool:
        """Whether an action comes from one of this session's own pages."""
        return hmac.compare_digest(csrf_token.encode(), self.csrf_token.encode())


class Sessions:
    """All sessions of this process; a restart ends them.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, Session] = OrderedDict()
        self._tickets: dict[bytes, tuple[float, bytes]] = {}

    def open(self, session: Session) -> str:
        """Begin a session; returns its key."""
        key = secrets.token_urlsafe(32)
        with self._lock:
            session.used_at = self._clock()
            own = [key for key, one in self._found.items() if one.owner == session.owner]
            for oldest in own[: max(0, len(own) + 1 - MOST_OF_ONE)]:
                del self._found[oldest]
            self._found[digest_of(key.encode())] = session
            if len(self._found) > _MOST:
                self._found.popitem(last=False)
        return key

    def find(self, request: Request) -> Session | None:
        """The session of the browser that asks."""
        hashed = self._hashed(request)
        with self._lock:
            session = self._found.get(hashed)
            if session is None:
                return None
            if self._clock() - session.used_at > IDLE_SECONDS:
                del self._found[hashed]
                return None
            session.used_at = self._clock()
            self._found.move_to_end(hashed)
            return session

    def close(self, request: Request) -> None:
        """End the session of the browser that asks."""
        with self._lock:
            self._found.pop(self._hashed(request), None)

    @staticmethod
    def _hashed(request: Request) -> bytes:
        return digest_of(request.cookies.get(named(request, COOKIE), "").encode())

    def ticket(self, digest: bytes) -> str:
        """A one-time stand-in for a static token with this hash, for an address to open."""
        ticket = secrets.token_urlsafe(32)
        with self._lock:
            self._tickets[digest_of(ticket.encode())] = (self._clock() + _TICKET_SECONDS, digest)
        return ticket

    def redeem(self, ticket: str) -> bytes:
        """The hash that a ticket stands for; empty if it is none, too old, or was used."""
        with self._lock:
            until, digest = self._tickets.pop(digest_of(ticket.encode()), (0.0, b""))
        return digest if self._clock() <= until else b""


def is_https(request: Request) -> bool:
    """Whether the browser speaks TLS, be it with a proxy.

    Any client may claim it: that only makes its own cookie stricter.
    """
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in {request.url.scheme, said}


def named(request: Request, name: str) -> str:
    """A cookie's whole name: with ``__Host-``, no other host can put its own in its place."""
    is_alone = is_https(request) and not request.scope.get("root_path", "")
    return f"__Host-{name}" if is_alone else name


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """A cookie that scripts cannot read and other sites' actions do not carry."""
    path = f"{request.scope.get('root_path', '')}/"
    response.set_cookie(
        named(request, name),
        value,
        max_age=seconds,
        path=path,
        secure=is_https(request),
        httponly=True,
        samesite="lax",
    )


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    set_cookie(request, response, name, "", 0)
