"""Back-off for a provider that does not answer."""

import time
from collections.abc import Callable

from hub.oidc.errors import Unavailable

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0


class Patience:
    """Waits 1, 2, 4 … 60 seconds between failures; meanwhile requests fail at once.

    Args:
        who: Named in the error.
        clock: Monotonic seconds.
    """

    def __init__(self, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._who = who
        self._clock = clock
        self._wait = 0.0
        self._until = 0.0

    def check(self) -> None:
        """Raise `Unavailable` as long as it is too early to ask again."""
        left = self._until - self._clock()
        if self._wait and left > 0:
            raise Unavailable(f"{self._who} did not answer; asking again in {left:.0f} s", left)

    def failed(self) -> None:
        """Wait twice as long as before."""
        self._wait = min(self._wait * 2 or FIRST_SECONDS, LONGEST_SECONDS)
        self._until = self._clock() + self._wait

    def succeeded(self) -> None:
        """Forget the failures."""
        self._wait = 0.0
