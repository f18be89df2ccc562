"""Failed logins are counted per client; who fails too often waits."""

from collections import OrderedDict, deque
from collections.abc import Callable

ALLOWED = 10
SPAN_SECONDS = 60.0
_MOST_CLIENTS = 10_000
_MOST_KNOWN = 1_000


class Throttle:
    """Remembers the failures of a while, and which credentials were good before.

    Several clients may share an address. So one that guesses does not lock out the others: what
    was good before is still let through.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def wait_seconds(self, client: str, digest: bytes) -> float:
        """How long this client must wait before this credential is looked at; 0: not at all."""
        failures = self._recent(client)
        if len(failures) < ALLOWED or digest in self._known:
            return 0.0
        return failures[0] + SPAN_SECONDS - self._clock()

    def failed(self, client: str, digest: bytes) -> None:
        """Note a credential that is not good."""
        self._known.pop(digest, None)
        failures = self._recent(client)
        failures.append(self._clock())
        self._failures[client] = failures
        self._failures.move_to_end(client)
        if len(self._failures) > _MOST_CLIENTS:
            self._failures.popitem(last=False)

    def succeeded(self, digest: bytes) -> None:
        """Note a credential that is good."""
        self._known[digest] = None
        self._known.move_to_end(digest)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)

    def _recent(self, client: str) -> deque[float]:
        failures = self._failures.get(client) or deque(maxlen=ALLOWED)
        while failures and failures[0] <= self._clock() - SPAN_SECONDS:
            failures.popleft()
        return failures
