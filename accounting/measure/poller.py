"""One poll: from the watermark to now, window by window, each in one transaction."""

import gc
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import structlog

from accounting.errors import SourceTooLarge
from accounting.measure.cache import Cache
from accounting.measure.promql.scope import Scope
from accounting.measure.report import Notice, Report
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from accounting.measure.source.querier import Querier, chunks
from accounting.measure.usage import ends, heartbeat
from accounting.measure.usage.accounts import absorb, acknowledge_owners
from accounting.measure.usage.heartbeat import Pulse
from accounting.measure.usage.samples import Points, Samples
from accounting.measure.window import WindowQuery
from accounting.model.pods import Account
from accounting.model.records import Record
from accounting.model.time import Gap, Month, Window
from accounting.model.volumes import Volume, VolumeSeen
from accounting.records import builder, volumes
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.records.incremental import RunningRecord
from accounting.store.ledger import Ledger, Progress, Step
from accounting.store.volumes import Kept

log = structlog.get_logger(__name__)

# Two queries at a time keep two cores busy: one works while the other's answer is read.
_WORKERS = 2
# After a window with this many new pods, the next one's descriptions are asked for beforehand.
_MANY_NEW = 1000
# The first window that a process polls is taken to have many if it is longer than this.
_LONG_SECONDS = 3600
# Merging creates no reference cycles; at default thresholds the garbage collector takes a third of
# the time (a day of 20,000 pods, `make bench`).
_RARELY = (500_000, 20, 100)
_HOUR, _DAY = 3600, 86400
# Where the source refuses even the shortest window, so many pods are asked about at a time.
_AT_ONCE = (200, 50, 10, 1)


@dataclass(frozen=True)
class Options:
    """How to poll.

    Attributes:
        step_seconds: longest window.
        shortest_seconds: windows are halved down to this when the source refuses their size.
        scrape_seconds: the scrape interval where samples are too few to tell.
        history_days: how far back the first poll looks for data.
    """

    step_seconds: int = 6 * 3600
    shortest_seconds: int = 300
    scrape_seconds: float = 60.0
    history_days: int = 400


class Poller:
    """Covers windows: asks the source, merges into the ledger, writes records.

    Args:
        ledger: where everything is kept.
        source: where the metrics are.
        scope: which pods count; how labels are spelled is found out per poll.
        site, rules: what records say.
        options: how to poll.
    """

    def __init__(
        self,
        ledger: Ledger,
        source: Source,
        scope: Scope,
        site: Site,
        rules: VoRules,
        *,
        options: Options | None = None,
    ) -> None:
        self.ledger = ledger
        self.source = source
        self.scope = scope
        self.site = site
        self.rules = rules
        self.options = options or Options()
        self._cache = Cache()

    def poll(self, until: int, since: int | None = None, notice: Notice = lambda _: None) -> Report:
        """Cover all windows up to ``until``.

        Args:
            until: Unix seconds; how far to go.
            since: start again from here. Covered windows are read again, up to where they ended:
                a counter is known as of its window's end, and a part of a window would not count.
            notice: called after each window, for progress bars and metrics; a true answer ends the
                poll there.

        Raises:
            SourceError: the source failed; all windows before are kept, a later poll goes on.
            Busy: another poller is at work.
        """
        usual = gc.get_threshold()
        with self.ledger.database.exclusive("poll"):
            try:
                gc.set_threshold(*_RARELY)
                return self._poll(until, since, notice)
            finally:
                gc.set_threshold(*usual)

    def _poll(self, until: int, since: int | None, notice: Notice) -> Report:
        options, source = self.options, self.source
        self._cache.at_once = None
        before = self.ledger.progress()
        known = before or Progress(0, None, options.scrape_seconds)
        start, edges = known.watermark, []
        if since is not None:
            start, edges = since, self.ledger.edges(since, until)
            until = max([until, *edges])
        scope = discovery.spelled(source, self.scope, start, until)
        if not start:
            start = discovery.oldest(source, scope, until, options.history_days)
        report = Report(start, start)
        if start >= until:
            return report
        discovery.refuse_several(source, scope, start, until)
        scope = discovery.with_emitters(source, scope, start, until)
        if before is None or before != self._cache.left:
            self._cache.running = self.ledger.running()
            self._cache.previous = self.ledger.last_window()
            self._cache.written = {}
        if self._cache.among_many is None:
            self._cache.among_many = discovery.is_among_many(source, scope, until)
        scope = replace(scope, among_many=self._cache.among_many)
        spoken = discovery.spoken(source, scope, Window(start, until), options.step_seconds, known)
        report.silent_since = spoken.silent_since
        workers = ThreadPoolExecutor(_WORKERS)
        try:
            querier = Querier(source, scope, workers)
            cut = partial(next_window, until=spoken.until, by_day=self._by_day, edges=edges)
            self._cover_all(querier, before, cut, report, notice)
        finally:
            workers.shutdown(cancel_futures=True)
        if report.silent_since is not None:
            self.ledger.open_gap(report.silent_since)
        return report

    def _cover_all(
        self,
        querier: Querier,
        before: Progress | None,
        cut: Callable[..., Window | None],
        report: Report,
        notice: Notice,
    ) -> None:
        """Cover window after window; ask about the next one before writing this one.

        Each goes on from what the one before has left, not from what the ledger says by then: if
        a user was erased meanwhile, the pages at hand still name them, and must not be written.
        """
        length = self.options.step_seconds
        window = cut(report.end, length=length)
        inquiry = self._asked(querier, window) if window else None
        while inquiry and window:
            following = cut(window.end, length=length)
            try:
                beat = self._beat(inquiry, before)
                accounts = inquiry.read(
                    beat, self.ledger, self._cache.running, self.rules.excluded_users
                )
            except SourceTooLarge:
                if window.seconds > self.options.shortest_seconds:
                    length = max(window.seconds // 2, self.options.shortest_seconds)
                    log.info("the source refused a window's size", next_seconds=length)
                elif not self._ask_fewer():
                    raise
                window = cut(window.start, length=length)
                inquiry = self._asked(querier, window) if window else None
                continue
            self._cache.many_new = inquiry.new_pods > _MANY_NEW
            self._cache.series, self._cache.previous = inquiry.found.series, window
            ahead = self._asked(querier, following) if following else None
            before = self._keep(inquiry, before, beat, accounts, report)
            if notice(report):
                return
            window, inquiry = following, ahead

    @property
    def _by_day(self) -> bool:
        """Energy is told to receivers by day."""
        return bool(self.scope.energy_zones)

    def _ask_fewer(self) -> bool:
        """Ask about fewer pods at a time from now on; false if it is one already."""
        known = self._cache.at_once
        self._cache.at_once = next((n for n in _AT_ONCE if known is None or n < known), None)
        log.info("the source refused the shortest window", pods_at_once=self._cache.at_once)
        return self._cache.at_once is not None

    def _asked(self, querier: Querier, window: Window) -> WindowQuery:
        if self._cache.at_once is not None:
            since = min(window.start, window.hours.start if window.hours else window.start)
            wider = Window(since, window.end)
            names = discovery.pod_names(self.source, querier.scope, wider)
            querier = replace(querier, parts=chunks(names, self._cache.at_once))
        many_new = (
            window.seconds > _LONG_SECONDS if self._cache.many_new is None else self._cache.many_new
        )
        previous, series = self._cache.previous, self._cache.series
        return WindowQuery(querier, window, previous, series, many_new=many_new)

    def _beat(self, inquiry: WindowQuery, before: Progress | None) -> Pulse:
        """When the source spoke, up to the window's end or later if it was polled already."""
        beats, window = inquiry.beats, inquiry.window
        usual = before.interval_seconds if before else self.options.scrape_seconds
        pulse = heartbeat.pulse(beats, window, _spoken_before(beats, window, before), usual)
        known = before.spoken_at if before else None
        spoken = max((at for at in (pulse.spoken_at, known) if at is not None), default=None)
        return replace(pulse, spoken_at=spoken)

    def _keep(
        self,
        inquiry: WindowQuery,
        before: Progress | None,
        beat: Pulse,
        accounts: dict[str, Account],
        report: Report,
    ) -> Progress:
        """Merge a window's samples and commit them; returns how far the ledger has come."""
        window, found = inquiry.window, inquiry.found
        self._cache.left = None
        step = self._merged(window, before, beat, found, accounts)
        self.ledger.commit(step)
        self._cache.left = step.after
        self._cache.running = {uid: a for uid, a in accounts.items() if not a.pod.ended}
        self._remember(step)
        report.end = window.end
        report.windows += 1
        report.pods.update(account.pod.uid for account in step.accounts)
        report.pods.update(account.pod.uid for account, _ in step.moved)
        report.gaps.extend(beat.gaps)
        report.rejected.update(found.rejected)
        for record in step.records:  # those that have only moved are held as before
            report.note(record)
        return step.after

    def _remember(self, step: Step) -> None:
        """Keep the latest records of the pods that run, as they are written now."""
        latest = {record.uid: record for record in step.records}  # a pod's come in order of months
        for account in step.accounts:
            uid = account.pod.uid
            self._cache.written.pop(uid, None)
            known = (
                RunningRecord.of(account, latest[uid], self.site.energy) if uid in latest else None
            )
            if known is not None:
                self._cache.written[uid] = known

    def _merged(
        self,
        window: Window,
        before: Progress | None,
        beat: Pulse,
        found: Samples,
        accounts: dict[str, Account],
    ) -> Step:
        """Merge the samples, decide what ended, and build the records."""
        changed = absorb(accounts, found, window, by_day=self._by_day)
        gaps = [*self._known_gaps(window, beat), *beat.gaps]
        changed |= ends.settle(accounts, beat, found.orphans, gaps)
        touched = [accounts[uid] for uid in sorted(changed)]
        self._acknowledge(touched, accounts)
        moved, rest = self._moved(touched, window, before)
        watermark = max(window.end, before.watermark if before else 0)
        return Step(
            window=window,
            before=before,
            after=Progress(
                watermark,
                beat.spoken_at,
                beat.interval_seconds,
                before.revision if before else 0,
            ),
            accounts=rest,
            records=[r for a in rest for r in builder.records(a, self.site, self.rules)],
            moved=moved,
            gaps=beat.gaps,
            spoke=beat.spoke,
            rejected=found.rejected.total(),
            volumes=self._volumes(found.volumes, watermark),
        )

    def _known_gaps(self, window: Window, beat: Pulse) -> list[Gap]:
        """The silences around it; of one within it, the source tells now whether there was any."""
        known = self.ledger.gaps(window.start - _DAY)
        return [gap for gap in known if not (beat.spoke and window.holds(gap))]

    def _volumes(self, seen: Sequence[VolumeSeen], watermark: int) -> list[Volume]:
        """The home volumes' days that a window tells of."""
        if not seen:
            return []
        is_replay = seen[-1].at < watermark // _HOUR * _HOUR
        kept = Kept.read(self.ledger.database, seen, is_replay=is_replay)
        for one in seen:
            before = kept.before(one)
            if not is_replay and volumes.adds_nothing(one, before):
                continue
            group = kept.group_of(one.user)
            volume = volumes.merged(one, before, self.site, self.rules, group)
            if volume is not None:
                kept.add(volume)
        return kept.written

    def _moved(
        self, touched: Iterable[Account], window: Window, before: Progress | None
    ) -> tuple[list[tuple[Account, Record]], list[Account]]:
        """Those pods of which only the figures have moved, with their records; and the others."""
        is_replay = before is not None and window.start < before.watermark
        moved, rest, month = [], [], window.month
        for account in touched:
            known = None if is_replay else self._cache.written.get(account.pod.uid)
            record = known.move(account, month) if known else None
            if record is None:
                rest.append(account)
            else:
                moved.append((account, record))
        return moved, rest

    def _acknowledge(self, touched: Sequence[Account], accounts: Mapping[str, Account]) -> None:
        unknown = [account for account in touched if not account.pod.owner_known]
        bare = [account for account in unknown if not account.pod.owner]
        owned: list[tuple[float, float]] = []
        if bare:
            owned = [
                (a.pod.first_running_at, a.pod.last_running_at)
                for a in accounts.values()
                if a.pod.owner
            ]
            owned += self.ledger.owned_spans(min(a.pod.first_running_at for a in bare))
        acknowledge_owners(unknown, owned)


def next_window(
    start: int, until: int, length: int, *, by_day: bool = False, edges: Sequence[int] = ()
) -> Window | None:
    """The window that follows ``start``: month ends are always window ends (M8).

    Args:
        start: Unix seconds.
        until: how far to go.
        length: it is at most so long.
        by_day: days' ends (UTC) are window ends as well.
        edges: where windows ended that are read again, in order: it ends at the last that it can.
    """
    if start >= until:
        return None
    end = min(start + length, until, Month.of(start).end)
    if by_day:
        end = min(end, (start // _DAY + 1) * _DAY)
    before = bisect_right(edges, end)
    return Window(start, edges[before - 1] if before and edges[before - 1] > start else end)


def _spoken_before(
    beats: Iterable[Points], window: Window, before: Progress | None
) -> float | None:
    earlier = [at for points in beats for at, _ in points if at <= window.start]
    if before and before.spoken_at and before.spoken_at <= window.start:
        earlier.append(before.spoken_at)
    return max(earlier, default=None)
