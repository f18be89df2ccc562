"""Poll, push, republish, import, reconcile, erase: each verb is done in one way, whoever asks.

Loops, runs of the API and commands all call ``Jobs``. Locks, metrics and logs of a job are here and
nowhere else. A job's known failures are part of its ``Outcome``; an exception that nobody expected
is counted and raised.
"""

import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from accounting.config import PREFIX, Settings
from accounting.delivery import news
from accounting.delivery.differences import Chosen, Comparison, Difference
from accounting.delivery.outbox import Outbox
from accounting.errors import AccountingError, Busy
from accounting.measure.poller import Poller
from accounting.measure.report import Report
from accounting.model.jobs import Ending, JobKind
from accounting.model.time import Month
from accounting.service import outcome
from accounting.service.outcome import Outcome
from accounting.service.progress import Notice, PushProgress, ignored, poll_progress
from accounting.store.engine.clock import records_ahead, require_past
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.store.holds import Holds
from accounting.telemetry.metrics import Metrics
from accounting.wiring.destinations import place_of
from accounting.wiring.polling import forgetter_of, poller_of
from accounting.wiring.pushers import pushers_of
from accounting.wiring.receivers import receiver_of, reconciler_of, takeover_of

if TYPE_CHECKING:
    from prometheus_client import Counter

    from accounting.delivery import pusher
    from accounting.delivery.pusher import Pusher
    from accounting.delivery.takeover import Taken
    from accounting.measure.source.prometheus import Source

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.2
"""How often a job that waits for its turn looks whether the program is to end."""


class Stopped(Exception):
    """The program is to end: the job ends between two windows or messages."""


class Jobs:
    """Does one job of a kind at a time.

    Args:
        settings: the service's.
        database: the ledger's; its tables are as they should be.
        metrics: counts what is done; thrown away if not given.
        source: for polls.
        logs_failures: a command says itself why its job failed.
        clock: tells Unix time.

    Attributes:
        last: how the last job of each kind ended.
        progress_at: when a poll last covered a window, Unix seconds.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics | None = None,
        *,
        source: "Source | None" = None,
        logs_failures: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.last: dict[JobKind, Outcome] = {}
        self.progress_at: float | None = None
        self._settings = settings
        self._database = database
        self._metrics = metrics or Metrics("")
        self._source = source
        self._logs_failures = logs_failures
        self._clock = clock
        self._stopping = threading.Event()
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def stop(self) -> None:
        """End jobs after their current window or message; begin no others."""
        self._stopping.set()

    def prepare(self) -> None:
        """Build what polls need.

        Raises:
            SettingsError: a setting that polling needs is missing.
        """
        _ = self._poller

    @property
    def is_stopping(self) -> bool:
        """Whether jobs are to end."""
        return self._stopping.is_set()

    @cached_property
    def _poller(self) -> Poller:
        """Does the polls; keeps the running pods in memory from one to the next."""
        if self._source is None:
            raise ValueError("a poll needs a source")
        return poller_of(self._settings, self._database, self._source)

    def _pushers(self, *, at_once: bool) -> "dict[str, Pusher]":
        """Do one push each, with settings and files as they are now."""
        return pushers_of(self._settings, self._database, at_once=at_once)

    def _forget(self, now: float) -> int:
        """Replace user names that are older than the retention; in how many pods."""
        return forgetter_of(self._settings, self._database)(now)

    def poll(
        self,
        notice: Notice = ignored,
        *,
        since: int | None = None,
        until: int | None = None,
        waits: bool = True,
    ) -> Outcome:
        """Cover all windows up to ``until``.

        Args:
            notice: told after each window.
            since: read again from here, Unix seconds; by default from the watermark.
            until: how far to go, Unix seconds; by default now, less the settling time.
            waits: wait for a poll that is under way in this process, instead of ``busy``.
        """

        def work() -> Outcome:
            now = self._clock()
            end = int(now - self._settings.poll.settle) if until is None else until
            require_past(self._database, now)
            with self._metrics.poll_seconds.time():
                return self._poll(notice, since, end)

        return self._done(JobKind.POLL, work, notice, waits=waits)

    def _poll(self, notice: Notice, since: int | None, until: int) -> Outcome:
        seen, stopped = Report(0, 0), False

        def watch(report: Report) -> bool:
            nonlocal seen, stopped
            self._count(seen, report)
            seen = replace(report, gaps=list(report.gaps), rejected=report.rejected.copy())
            self.progress_at = self._clock()
            notice(poll_progress(report, until))
            stopped = self.is_stopping
            return stopped

        report = self._poller.poll(until, since, watch)
        if stopped:
            return outcome.of_poll(report, 0, {}, stopped=True)
        forgotten = self._forget(self._clock())
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
        return outcome.of_poll(
            report,
            forgotten,
            Holds(self._database).untold(report.held),
            dated_ahead=records_ahead(self._database, self._clock()),
        )

    def _count(self, before: Report, report: Report) -> None:
        self._metrics.windows.inc(report.windows - before.windows)
        self._metrics.gaps.inc(len(report.gaps) - len(before.gaps))
        for rejected, count in (report.rejected - before.rejected).items():
            self._metrics.reject(rejected.reason, count)

    def push(
        self,
        notice: Notice = ignored,
        *,
        at_once: bool = False,
        waits: bool = True,
        only: str = "",
    ) -> Outcome:
        """Put due records into messages, and deliver what waits, in order, to all destinations.

        Args:
            notice: told after each message.
            at_once: do not wait for the next try that a failure has put off.
            waits: wait for a push that is under way in this process, instead of ``busy``.
            only: to the destination with this name in the settings, or this address.
        """

        def work() -> Outcome:
            self._settings.site()  # records of a site without a name are all held back
            return self._push(notice, only, at_once=at_once, waits=waits)

        return self._done(JobKind.PUSH, work, notice, waits=waits, of=only)

    def _push(self, notice: Notice, only: str, *, at_once: bool, waits: bool) -> Outcome:
        pushers = self._pushers(at_once=at_once)
        Outbox(self._database).keep([pusher.destination for pusher in pushers.values()])
        name = only if only in {"", *pushers} else place_of(self._settings, only).name
        chosen = {one: pusher for one, pusher in pushers.items() if name in {"", one}}
        told = PushProgress(notice)

        def push_one(name: str) -> "pusher.Report | AccountingError":
            try:
                with self._turn(f"push to {name}", notice, waits=waits):
                    return self._push_one(name, chosen[name], told)
            except AccountingError as exc:
                if len(chosen) == 1:
                    raise
                return exc

        if len(chosen) == 1:
            reports = [push_one(one) for one in chosen]
        else:  # each by itself, so that none waits for another
            with ThreadPoolExecutor(len(chosen)) as pool:
                reports = list(pool.map(push_one, chosen))  # by their names
        stopped = self.is_stopping and told.is_cut
        failed = any(getattr(one, "error", one) is not None for one in reports)
        to = (one.destination for one in chosen.values())
        by_name = dict(zip(to, reports, strict=True))
        tells = not (failed or stopped)  # otherwise the exit code is another: the next one tells
        left_out = {one: getattr(found, "left_out", 0) for one, found in by_name.items()}
        new = news.report(self._database, left_out, self._clock()) if tells else news.News()
        return outcome.of_pushes(
            by_name,
            self._held(told=tells),
            new,
            dated_ahead=records_ahead(self._database, self._clock()),
            stopped=stopped,
        )

    def _held(self, *, told: bool) -> outcome.HeldBack:
        """What is held back."""
        holds = Holds(self._database)
        new = holds.report(self._clock()) if told else {}
        held, acknowledged = holds.counts()
        return outcome.HeldBack(held, new, acknowledged)

    def _push_one(self, name: str, delivery: "Pusher", told: PushProgress) -> "pusher.Report":
        counted = 0

        def watch(report: "pusher.Report") -> bool:
            nonlocal counted
            self._metrics.delivered.labels(name).inc(report.delivered - counted)
            counted = report.delivered
            told.tell(delivery.destination, report)
            if self.is_stopping:
                told.is_cut = True
            return self.is_stopping

        report = delivery.push(watch)
        if report.sent or report.error:
            log.info(
                "pushed",
                destination=delivery.destination,
                sent=report.sent,
                records=report.delivered,
                split=report.split,
                pending=report.pending,
                parked=report.parked,
            )
        return report

    def republish(
        self,
        chosen: Chosen,
        told: Callable[[Difference], Mapping[str, Any]],
        *,
        dry_run: bool,
        most: int | None = None,
    ) -> Outcome:
        """How a month's records differ from what was delivered; queue them again.

        Args:
            chosen: which records.
            told: a difference as data.
            dry_run: queue nothing.
            most: tell at most so many differences; all are counted.
        """

        def work() -> Outcome:
            receiver = receiver_of(self._settings, self._database, chosen.destination)
            compared = Comparison().add(receiver.differences(chosen), most)
            held = receiver.held(chosen)
            queued = None if dry_run else receiver.republish(chosen)
            return outcome.of_republish(chosen.month, compared, queued, held, told)

        return self._done(JobKind.REPUBLISH, work)

    def take_over(
        self,
        path: Path,
        notice: Notice = ignored,
        *,
        destination: str = "",
        zone: tzinfo = UTC,
        dry_run: bool = False,
    ) -> Outcome:
        """Take over what egi-notebooks-accounting has sent.

        Args:
            path: its SQLite file.
            notice: told how many of how many rows are done.
            destination: where it was sent to, by its name in the settings or its address.
            zone: of the times in the file.
            dry_run: only tell what would be taken.
        """
        from accounting.delivery.takeover import History  # noqa: PLC0415 - slow to load, needed here only

        def work() -> Outcome:
            history = History(path, zone)
            total = history.count()
            takeover = takeover_of(self._settings, self._database, destination)

            def watch(seen: "Taken") -> bool:
                notice({"done": seen.rows, "rows": total})
                return self.is_stopping

            taken = takeover.take(history, watch, dry_run=dry_run)
            return outcome.of_import(
                taken, takeover.destination, dry_run=dry_run, stopped=taken.rows < total
            )

        return self._done(JobKind.IMPORT, work, notice)

    def reconcile(
        self, month: Month, *, destination: str = "", file: Path | None = None
    ) -> Outcome:
        """Hold what the accounting portal shows of a month against what was delivered.

        Args:
            month: the month.
            destination: whose deliveries, by its name in the settings or its address.
            file: the portal's data, where the network does not reach it.
        """
        from accounting.records.formats import portal as data  # noqa: PLC0415 - slow to load, needed here only
        from accounting.service import portal  # noqa: PLC0415 - slow to load, needed here only

        def work() -> Outcome:
            reconciler = reconciler_of(self._settings, self._database, destination)
            now = self._clock()
            page = portal.of_file(file) if file else portal.fetched(self._settings.portal, now)
            answer = data.read(page.content, reconciler.wanted(month))
            made = reconciler.reconcile(month, answer, page.source, page.read_at, now)
            log.info(
                "reconciled",
                month=str(month),
                lines=len(made.lines),
                differing=len(made.differing),
                unit=made.unit.value,
            )
            return outcome.of_reconciliation(made)

        return self._done(JobKind.RECONCILE, work)

    def erase(self, user: str) -> Outcome:
        """Replace a user's name everywhere (I3); the result counts the notebooks."""

        def work() -> Outcome:
            return Outcome(Ending.DONE, {"replaced": erase_user(self._database, user)})

        return self._done(JobKind.ERASE, work)

    def _done(
        self,
        kind: JobKind,
        work: Callable[[], Outcome],
        notice: Notice = ignored,
        *,
        waits: bool = True,
        of: str = "",
    ) -> Outcome:
        """Do a job in its turn, and note how it ended: known errors become its outcome."""
        ended = Outcome(Ending.FAILED)
        try:
            with self._turn(f"{kind} of {of}" if of else kind, notice, waits=waits):
                ended = work()
        except Stopped:
            ended = Outcome(Ending.STOPPED)
        except AccountingError as exc:
            ended = outcome.of_error(exc)
            self._tell(kind, exc)
        except Exception as exc:
            ended = Outcome(Ending.FAILED, error=unexpected(exc))
            self._tell(kind, exc)
            raise
        finally:
            self.last[kind] = ended
            if counter := self._counter(kind):
                counter.labels(ended.ending).inc()
        return ended

    def _counter(self, kind: JobKind) -> "Counter | None":
        return {JobKind.POLL: self._metrics.polls, JobKind.PUSH: self._metrics.pushes}.get(kind)

    def _tell(self, kind: JobKind, exc: Exception) -> None:
        if not self._logs_failures:
            return
        if isinstance(exc, Busy):
            log.warning("job left to another", kind=kind.value, problem=exc.message)
            return
        error = exc if isinstance(exc, AccountingError) else unexpected(exc)
        log.error("job failed", kind=kind.value, problem=error.message, cure=error.cure)

    @contextmanager
    def _turn(self, kind: str, notice: Notice, *, waits: bool) -> Iterator[None]:
        turn = self._turns[kind]
        if not turn.acquire(blocking=False):
            if not waits:
                raise Busy(f"a {kind} is under way in this service", "wait until it has ended")
            notice({"waits_for": f"a {kind} that is under way in this service"})
            while not turn.acquire(timeout=_LOOK_SECONDS):
                self._end_if_stopping()
        try:
            self._end_if_stopping()
            yield
        finally:
            turn.release()

    def _end_if_stopping(self) -> None:
        if self.is_stopping:
            raise Stopped


def unexpected(exc: Exception) -> AccountingError:
    """Where it happened; its own text may hold user names, which are for debugging only (I3)."""
    log.debug("unexpected", exc_info=exc)
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return AccountingError(
        f"unexpected {type(exc).__name__} in {frame.name}, {Path(frame.filename).name}"
        f" line {frame.lineno}",
        f"please report this; {PREFIX}LOG__LEVEL=debug logs the traceback",
    )
