"""How long to wait after a failure. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

_MOST_DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter.

    Attributes:
        first_seconds: the wait after the first failure, before jitter.
        longest_seconds: no wait is longer.
    """

    first_seconds: float = 30.0
    longest_seconds: float = 3600.0

    def delay_seconds(self, attempts: int, random: Callable[[], float]) -> float:
        """The wait after ``attempts`` failures in a row (1 or more).

        It doubles with each failure. Half of it is certain and half is chance, so that many
        senders that failed together do not come back together.

        Args:
            attempts: how often it was tried.
            random: gives numbers from 0 up to, not including, 1.
        """
        doublings = min(max(attempts - 1, 0), _MOST_DOUBLINGS)
        whole = min(self.first_seconds * 2.0**doublings, self.longest_seconds)
        return whole * (1 + random()) / 2
