"""Throttles wrong tokens, per client and overall.

A right token always works, even if others guess from the same address: behind a proxy, all clients
may share one. So the token is checked first, and only a wrong one counts.
"""

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


def network(client: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network (/64)."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    if isinstance(address, IPv6Address):
        return str(int(address) >> (128 - _NETWORK_BITS))
    return client
