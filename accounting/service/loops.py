"""The service's loops: poll and push until told to stop."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from accounting.config import PREFIX
from accounting.errors import AccountingError, Busy, SourceError
from accounting.measure import poller
from accounting.measure.poller import Poller
from accounting.telemetry import RESULTS, Metrics

log = structlog.get_logger(__name__)

LONGEST_BACKOFF_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Polled:
    """How a poll of the loop ended.

    Attributes:
        result: one of ``telemetry.RESULTS``.
        report: what it read; None if it failed or was stopped.
        forgotten: in how many pods user names were replaced.
        error: why it failed.
    """

    result: str
    report: poller.Report | None = None
    forgotten: int = 0
    error: AccountingError | None = None


class _Stopped(Exception):
    """Ends a poll between two windows."""


class PollLoop:
    """Polls every so often, one poll at a time, and waits longer after failures.

    A source that does not answer is asked again after the interval, then after twice as long, up
    to half an hour; the windows covered before are kept, so nothing is lost by that.

    Args:
        poller: does one poll.
        interval_seconds: between the starts of two polls.
        settle_seconds: how far behind the present polls end.
        metrics: told of every window and poll.
        clock: tells Unix time.
        forget: called after each poll; returns in how many pods user names were replaced.
    """

    def __init__(
        self,
        poller: Poller,
        *,
        interval_seconds: float,
        settle_seconds: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        forget: Callable[[float], int] = lambda _now: 0,
    ) -> None:
        self.interval_seconds = interval_seconds
        self.progress_at: float | None = None
        self.error: AccountingError | None = None
        self._poller = poller
        self._settle_seconds = settle_seconds
        self._metrics = metrics
        self._clock = clock
        self._forget = forget
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._failures = 0

    @property
    def allowed_seconds(self) -> float:
        """How old the last progress may be before the service no longer counts as ready."""
        return max(3 * self.interval_seconds, 2 * 60.0)

    def stop(self) -> None:
        """End after the current window."""
        self._stop.set()

    def run(self) -> None:
        """Poll until told to stop."""
        while not self._stop.is_set():
            started = time.monotonic()
            self.poll_once()
            self._stop.wait(max(0.0, self.delay_seconds - (time.monotonic() - started)))

    @property
    def delay_seconds(self) -> float:
        """From the start of the last poll to the next."""
        waits = self.interval_seconds * 2.0 ** min(max(self._failures - 1, 0), 16)
        return min(waits, max(self.interval_seconds, LONGEST_BACKOFF_SECONDS))

    def poll_once(self, notice: poller.Notice = lambda _: None) -> Polled:
        """One poll; its failure is logged, counted and returned, and never raised.

        Args:
            notice: called after each window.
        """
        with self._turn:
            until = int(self._clock() - self._settle_seconds)
            with self._metrics.poll_seconds.time():
                polled = self._tried(until, notice)
            if polled.result in RESULTS:
                self._metrics.polls.labels(polled.result).inc()
            return polled

    def _tried(self, until: int, notice: poller.Notice) -> Polled:
        try:
            return self._poll(until, notice)
        except _Stopped:
            return Polled("stopped")
        except Busy as exc:
            log.warning("poll left to another process", problem=exc.message)
            return Polled("busy", error=exc)
        except AccountingError as exc:
            self._failed(exc)
            return Polled("unavailable" if isinstance(exc, SourceError) else "failed", error=exc)
        except Exception as exc:  # noqa: BLE001 - the loop must outlive any of them
            # The loop must outlive what nobody thought of; the next poll starts anew.
            error = unexpected(exc)
            self._failed(error)
            return Polled("failed", error=error)

    def _poll(self, until: int, tell: poller.Notice) -> Polled:
        seen = poller.Report(0, 0)

        def notice(report: poller.Report) -> None:
            nonlocal seen
            self._count(seen, report)
            seen = _copy(report)
            self.progress_at = self._clock()
            tell(report)
            if self._stop.is_set():
                raise _Stopped

        report = self._poller.poll(until, notice=notice)
        forgotten = self._forget(self._clock())
        self._failures, self.error = 0, None
        self.progress_at = self._clock()
        self._metrics.last_poll.set(self.progress_at)
        self._metrics.silent_since.set(report.silent_since or 0)
        log.info(
            "polled",
            windows=report.windows,
            pods=len(report.pods),
            gaps=len(report.gaps),
            held=len(report.held),
            rejected=report.rejected.total(),
            forgotten=forgotten,
            until=report.end,
        )
        return Polled("done" if report.is_complete else "incomplete", report, forgotten)

    def _count(self, before: poller.Report, report: poller.Report) -> None:
        self._metrics.windows.inc(report.windows - before.windows)
        self._metrics.gaps.inc(len(report.gaps) - len(before.gaps))
        for rejected, count in (report.rejected - before.rejected).items():
            self._metrics.reject(rejected.reason, count)

    def _failed(self, error: AccountingError) -> None:
        self._failures += 1
        self.error = error
        log.error(
            "poll failed",
            problem=error.message,
            cure=error.cure,
            next_seconds=round(self.delay_seconds),
        )


def unexpected(exc: Exception) -> AccountingError:
    """Where it happened; its own text may hold user names, which are for debugging only (I3)."""
    log.debug("unexpected", exc_info=exc)
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return AccountingError(
        f"unexpected {type(exc).__name__} in {frame.name}, {Path(frame.filename).name}"
        f" line {frame.lineno}",
        f"please report this; {PREFIX}LOG__LEVEL=debug logs the traceback",
    )


def _copy(report: poller.Report) -> poller.Report:
    return replace(report, gaps=list(report.gaps), rejected=report.rejected.copy())
