"""Runs the checks at their interval, one at a time, also across restarts and processes."""

import asyncio
import fcntl
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hub.monitor.history import History
from hub.monitor.result import Run, Verdict, verdict
from hub.program.failure import Failure

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 60.0


class Check(Protocol):
    """Something that can be checked."""

    @property
    def name(self) -> str:
        """Its name in the results."""

    async def run(self) -> Run:
        """Do it once."""


class Busy(Failure):
    """Another process is running the checks now."""


@dataclass(frozen=True)
class Schedule:
    """When which check runs, and what is known of it.

    Attributes:
        checks: in this order.
        history: where results are kept.
        interval_seconds: from one start to the next.
        stale_seconds: a result older than this is UNKNOWN.
        clock: tells Unix time.
    """

    checks: Sequence[Check]
    history: History
    interval_seconds: float
    stale_seconds: float
    clock: Callable[[], float] = time.time

    async def forever(self) -> None:
        """Run each check when it is due; a restart does not make it due."""
        while True:
            pause = min(self._due_in(check) for check in self.checks)
            await asyncio.sleep(max(0.0, pause))
            try:
                await self.run_due()
            except Failure as failure:
                _LOG.warning("the checks did not run: %s", failure)
                await asyncio.sleep(min(_RETRY_SECONDS, self.interval_seconds))

    def _due_in(self, check: Check) -> float:
        last = self.history.last(check.name)
        if not last:
            return 0.0
        # A clock that was set back must not stop the checks for as long.
        since = max(0.0, self.clock() - last[0].began_at)
        return self.interval_seconds - since

    async def run_due(self, *, all_of_them: bool = False) -> list[Run]:
        """Run what is due now: the results, which are kept.

        Raises:
            Busy: another process is at it.
            Failure: the history cannot be used.
        """
        done = []
        with _alone(self.history.path.with_name(f"{self.history.path.name}.lock")):
            for check in self.checks:
                if all_of_them or self._due_in(check) <= 0:
                    run = await check.run()
                    self.history.add(run)
                    _LOG.info("%s: %s: %s", run.check, run.state.name, run.said)
                    done.append(run)
        return done

    def verdicts(self) -> list[Verdict]:
        """What is known of each check now."""
        now = self.clock()
        found = ((check.name, self.history.last(check.name)) for check in self.checks)
        return [verdict(n, runs[0] if runs else None, now, self.stale_seconds) for n, runs in found]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:  # the lock goes with the process, however it ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another process runs the checks now", "wait until it is done") from None
        yield
