"""The service's loops: poll and push until told to stop."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from accounting.errors import AccountingError
from accounting.model.jobs import Ending, JobKind
from accounting.model.time import Month
from accounting.service.jobs import Jobs, unexpected
from accounting.service.outcome import Outcome

LONGEST_BACKOFF_SECONDS = 1800.0
SUMS_SECONDS = 5.0
"""How often it is looked whether sums have changed: one small question."""
_SHORTEST_WAIT_SECONDS = 1.0


class PollLoop:
    """Polls every so often, and waits longer after failures.

    A source that does not answer is asked again after the interval, then after twice as long, up
    to half an hour; the windows covered before are kept, so nothing is lost by that.

    Args:
        jobs: does the polls.
        interval_seconds: between the starts of two polls.
    """

    def __init__(self, jobs: Jobs, *, interval_seconds: float) -> None:
        self.interval_seconds = interval_seconds
        self._jobs = jobs
        self._stop = threading.Event()
        self._failures = 0

    @property
    def progress_at(self) -> float | None:
        """When a poll last covered a window, Unix seconds."""
        return self._jobs.progress_at

    @property
    def error(self) -> AccountingError | None:
        """Why the last poll failed; None if it did not."""
        last = self._jobs.last.get(JobKind.POLL)
        return None if last is None or last.ending is Ending.BUSY else last.error

    @property
    def allowed_seconds(self) -> float:
        """How old the last progress may be before measuring counts as late."""
        return max(3 * self.interval_seconds, 2 * 60.0)

    @property
    def delay_seconds(self) -> float:
        """From the start of the last poll to the next."""
        waits = self.interval_seconds * 2.0 ** min(max(self._failures - 1, 0), 16)
        return min(waits, max(self.interval_seconds, LONGEST_BACKOFF_SECONDS))

    def stop(self) -> None:
        """End after the current poll; ``Jobs.stop`` ends that after its window."""
        self._stop.set()

    def run(self) -> None:
        """Poll until told to stop."""
        while not self._stop.is_set():
            started = time.monotonic()
            self.poll_once()
            self._stop.wait(max(0.0, self.delay_seconds - (time.monotonic() - started)))

    def poll_once(self) -> Outcome:
        """One poll; its failure never ends the loop."""
        ended = outlived(lambda: self._jobs.poll(waits=False))
        if ended.ending in {Ending.UNAVAILABLE, Ending.FAILED}:
            self._failures += 1
        elif ended.ending in {Ending.DONE, Ending.INCOMPLETE}:
            self._failures = 0
        return ended


class PushLoop:
    """Pushes, one push at a time, until told to stop.

    After a failure it pushes when the outbox says that the destination may be tried again
    (`Backoff`), however often that is; the outbox would refuse to be hurried anyway.

    Args:
        jobs: does the pushes.
        interval_seconds: from the end of a push to the next one.
        only: the destination's name in the settings; empty: all.
        clock: tells Unix time.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        interval_seconds: float,
        only: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._only = only
        self._jobs = jobs
        self._clock = clock
        self._awake = threading.Event()
        self._stopping = False
        self._next_try_at: float | None = None

    def stop(self) -> None:
        """End after the current push; ``Jobs.stop`` ends that after its message."""
        self._stopping = True
        self._awake.set()

    def wake(self) -> None:
        """Push now, instead of when the wait is over."""
        self._awake.set()

    def run(self) -> None:
        """Push until told to stop."""
        while not self._stopping:
            self._awake.clear()
            self.push_once()
            if not self._stopping:
                self._awake.wait(self.delay_seconds)

    @property
    def delay_seconds(self) -> float:
        """From now to the next push."""
        if self._next_try_at is None:
            return self.interval_seconds
        return max(_SHORTEST_WAIT_SECONDS, self._next_try_at - self._clock())

    def push_once(self) -> Outcome:
        """One push; its failure never ends the loop."""
        ended = outlived(lambda: self._jobs.push(waits=False, only=self._only))
        self._next_try_at = (ended.result or {}).get("next_try_at")
        return ended


class ReconcileLoop:
    """Reconciles the last two months that have ended, until told to stop.

    Args:
        jobs: does it.
        interval_seconds: from the end of one to the next.
        clock: tells Unix time.
    """

    def __init__(
        self, jobs: Jobs, *, interval_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.interval_seconds = interval_seconds
        self._jobs = jobs
        self._clock = clock
        self._stop = threading.Event()

    def stop(self) -> None:
        """End after the current month."""
        self._stop.set()

    def run(self) -> None:
        """Reconcile until told to stop."""
        while not self._stop.is_set():
            self.reconcile_once()
            self._stop.wait(self.interval_seconds)

    def reconcile_once(self) -> list[Outcome]:
        """Both months; a failure never ends the loop."""
        last = Month.of(Month.of(self._clock()).start - 1)
        before = Month.of(last.start - 1)
        return [outlived(partial(self._jobs.reconcile, month)) for month in (before, last)]


class SumsLoop:
    """Has what was asked lately added up again soon after records have changed.

    It looks for that itself, since another process may poll, too.

    Args:
        refresh: adds up; does nothing if no record has changed.
        interval_seconds: from the end of a look to the next.
    """

    def __init__(
        self, refresh: Callable[[], None], *, interval_seconds: float = SUMS_SECONDS
    ) -> None:
        self.interval_seconds = interval_seconds
        self._refresh = refresh
        self._stop = threading.Event()

    def stop(self) -> None:
        """End after the current look."""
        self._stop.set()

    def run(self) -> None:
        """Look until told to stop; a failure is the next reader's to see."""
        while not self._stop.wait(self.interval_seconds):
            with suppress(Exception):  # its text may hold user names: it is not for the log
                self._refresh()


def outlived(job: Callable[[], Outcome]) -> Outcome:
    """How a job ended, even by an exception that nobody thought of."""
    try:
        return job()
    except Exception as exc:  # noqa: BLE001 - the loop must outlive any of them
        return Outcome(Ending.FAILED, error=unexpected(exc))
