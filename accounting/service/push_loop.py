"""The service's push loop: delivers every so often, and when a failure's wait is over."""

import threading
import time
from collections.abc import Callable

import structlog

from accounting.delivery.pusher import Pusher, Report
from accounting.errors import AccountingError, Busy
from accounting.service.loops import unexpected
from accounting.telemetry import Metrics

log = structlog.get_logger(__name__)

_SHORTEST_WAIT_SECONDS = 1.0


class PushLoop:
    """Pushes, one push at a time, until told to stop.

    After a failure it pushes when the outbox says that the destination may be tried again
    (`Backoff`), however often that is; the outbox would refuse to be hurried anyway.

    Args:
        pusher_of: makes the pusher, from the settings and files as they are then.
        interval_seconds: from the end of a push to the next one.
        metrics: told of every push.
        clock: tells Unix time.
    """

    def __init__(
        self,
        pusher_of: Callable[[], Pusher],
        *,
        interval_seconds: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.interval_seconds = interval_seconds
        self.report: Report | None = None
        self.error: AccountingError | None = None
        self._pusher_of = pusher_of
        self._metrics = metrics
        self._clock = clock
        self._awake = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """End after the current push, which ends after the current message."""
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
        next_try_at = self.report.next_try_at if self.report else None
        if next_try_at is None:
            return self.interval_seconds
        return max(_SHORTEST_WAIT_SECONDS, next_try_at - self._clock())

    def push_once(self) -> None:
        """One push; its failure is logged and counted, and never raised."""
        result = "failed"
        self.report, self.error = None, None
        try:
            result = self._push()
        except _Stopped:
            return
        except Busy as exc:
            result = "busy"
            log.warning("push left to another process", problem=exc.message)
        except AccountingError as exc:
            self._failed(exc)
        except Exception as exc:  # noqa: BLE001 - the loop must outlive any of them
            self._failed(unexpected(exc))
        self._metrics.pushes.labels(result).inc()

    def _failed(self, error: AccountingError) -> None:
        self.error = error
        log.error("push failed", problem=error.message, cure=error.cure)

    def _push(self) -> str:
        counted = 0

        def notice(report: Report) -> None:
            nonlocal counted
            self._metrics.delivered.inc(report.delivered - counted)
            counted = report.delivered
            if self._stopping:
                raise _Stopped

        report = self._pusher_of().push(notice)
        self.report, self.error = report, report.error
        if report.sent or report.error:
            log.info(
                "pushed",
                sent=report.sent,
                records=report.delivered,
                split=report.split,
                pending=report.pending,
                parked=report.parked,
            )
        if report.error is not None:
            return "unavailable"
        return "done" if report.is_complete else "incomplete"


class _Stopped(Exception):
    """Ends a push between two messages."""
