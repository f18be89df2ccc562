"""Throttles wrong tokens, per client and overall.

A right token always works, even if others guess from the same address: behind a proxy, all clients
may share one. So the token is checked first, and only a wrong one counts.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

ALLOWED = 10
"""Guesses a minute from one client; from all together, ten times as many."""
SPAN_SECONDS = 60.0
_OVERALL = RateLimitItemPerMinute(10 * ALLOWED)
_EACH = RateLimitItemPerMinute(ALLOWED)
_MOST_CLIENTS = 10_000
_NETWORK_BITS = 64
_SUSPECTS_AT_ONCE = 2
MOST_SUSPECTS = 50
"""Tokens of suspects that wait to be checked: each holds one of the requests under way."""
_MOST_KNOWN = 10_000


class Throttle:
    """Counts the guesses of the last minute."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def guessed(self, client: str) -> float:
        """Count a wrong token; how many seconds its client must wait, 0: none."""
        name = network(client)
        if len(self._storage.events) > _MOST_CLIENTS:
            self._storage.reset()
        allowed = [self._limiter.hit(_EACH, name), self._limiter.hit(_OVERALL)]
        return 0.0 if all(allowed) else SPAN_SECONDS

    def is_suspect(self, client: str) -> bool:
        """Whether a client, or all together, have sent too many wrong tokens."""
        name = network(client)
        return not (self._limiter.test(_EACH, name) and self._limiter.test(_OVERALL))


class Crowded(Exception):
    """Too many tokens of suspects wait to be checked."""


class Suspects:
    """Has tokens of suspects checked two at a time; tokens that were right before do not wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_SUSPECTS_AT_ONCE)
        self._waiting = 0
        self._right: OrderedDict[bytes, None] = OrderedDict()

    @asynccontextmanager
    async def turn(self, digest: bytes) -> AsyncIterator[None]:
        """Wait for a place.

        Raises:
            Crowded: too many wait already.
        """
        if digest in self._right:
            yield
            return
        if self._waiting >= MOST_SUSPECTS:
            raise Crowded
        self._waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting -= 1

    def note(self, digest: bytes, *, is_right: bool) -> None:
        """Remember whether a token was right."""
        self._right.pop(digest, None)
        if is_right:
            self._right[digest] = None
            if len(self._right) > _MOST_KNOWN:
                self._right.popitem(last=False)


def network(client: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network (/64)."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        return str(int(address) >> (128 - _NETWORK_BITS))
    return client
