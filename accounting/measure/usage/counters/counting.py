"""Counters that restart, fall, or are told by several emitters, added up once (M4, M5). Pure."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from accounting.measure.usage.counters import restarts, takeovers
from accounting.measure.usage.counters.bounds import most_of
from accounting.measure.usage.counters.restarts import Others
from accounting.measure.usage.counters.series import METRICS
from accounting.measure.usage.samples import Points, Rejected, Samples
from accounting.model.counters import Line, Most
from accounting.model.pods import (
    IMPORTED,
    POD_LEVEL,
    Account,
    Counter,
    CounterKind,
    DayReading,
    Implausible,
    Reading,
    Resets,
    SeriesKey,
)
from accounting.model.time import Month, Window


def count(
    account: Account, samples: Samples, window: Window, month: Month, day: int | None = None
) -> None:
    """Bring counters and the month's reading up to this window; and its day's, if one is given."""
    uid, counters = account.pod.uid, account.counters
    readings = samples.readings.get(uid, _NOTHING)
    end, metered = window.end, samples.metered or window
    is_replay = any(counter.at > end for counter in counters.values())
    if is_replay or uid in samples.raw:
        counters = _recounted(account, samples, window, is_replay=is_replay)
    else:
        for key, value in readings.items():
            told = metered if key.kind is _ENERGY else window
            counters[key] = _advanced(counters.get(key), value, told)
    reading = totals(counters, end)
    old = account.readings.get(month)
    if old is None or old.at <= end:  # else a later window has noted the month's totals
        account.readings[month] = reading
    if day is not None:
        _note_day(account, counters, reading, day)


def _note_day(
    account: Account, counters: Mapping[SeriesKey, Counter], reading: Reading, day: int
) -> None:
    known = account.days.get(day)
    if known is not None and known.at > reading.at:
        return  # a later window has noted the day's totals
    joules = [(key.series, c.total) for key, c in counters.items() if key.kind is _ENERGY]
    joules.sort()
    account.days[day] = DayReading(reading.at, reading.cpu_seconds, tuple(joules))


_ENERGY = CounterKind.ENERGY

_NOTHING: Mapping[SeriesKey, float] = {}


def _recounted(
    account: Account, samples: Samples, window: Window, *, is_replay: bool
) -> dict[SeriesKey, Counter]:
    """The counters as they were at the end of a window that is read again, or in which one fell."""
    uid, counters = account.pod.uid, account.counters
    metered = samples.metered or window
    before = dict(counters)
    as_of = dict(counters) if is_replay else counters
    raw = samples.raw.get(uid, {})
    # The best level comes last: the others tell its restarts, too.
    for key in sorted(raw, key=takeovers.rank, reverse=True):
        points = raw[key]
        told = metered if key.kind is _ENERGY else window
        most = partial(most_of, key, account.pod.resources, samples.limits.get(uid, ()))
        others = Others()
        # What others count shows nothing of a cgroup that does not.
        if key in restarts.WHOLE_PODS and not (key == restarts.OWN and uid in samples.still):
            others = restarts.others(key, as_of, before, raw, samples.silence_seconds)
        counter, dips = _followed(counters.get(key), points, told, most, others)
        if counter:
            as_of[key] = counter
        if dips:
            samples.rejected[Rejected(METRICS[key.kind], Implausible.FELL)] += dips
    takeovers.note(as_of, raw)
    for key, value in samples.readings.get(uid, _NOTHING).items():
        if key not in raw:
            told = metered if key.kind is _ENERGY else window
            as_of[key] = _advanced(counters.get(key), value, told)
    return _reconciled(counters, as_of, window) if is_replay else as_of


def _reconciled(
    counters: dict[SeriesKey, Counter], as_of: dict[SeriesKey, Counter], window: Window
) -> dict[SeriesKey, Counter]:
    """An older window, read again: of what later ones know, only its resets can be news.

    Later ones also know of its last falls whether they were taken back.

    Returns the counters as they were at the window's end.
    """
    for key, counter in as_of.items():
        known = counters.get(key)
        if known is None or known.at <= window.end:
            counters[key] = counter
        elif counter is not known:
            sure = _before(counter.resets, window.end, counter.fell_at)
            known.resets = _in_order({**dict(known.resets), **dict(sure)})
    return {key: counter for key, counter in as_of.items() if counter.at <= window.end}


def _advanced(known: Counter | None, value: float, window: Window) -> Counter:
    if known is None:
        return Counter(window.end, value)
    if known.at > window.end:
        return Counter(window.end, value, _before(known.resets, window.end), known.first)
    seen_at = None if known.fell_at is None else known.seen_at
    highest = max(value, known.value)
    return Counter(window.end, highest, known.resets, known.first, seen_at, known.fell_at)


def _before(resets: Resets, at: float, fell_at: float | None = None) -> Resets:
    """Those up to a time, and before the falls that may be taken back."""
    return tuple(r for r in resets if r[0] <= at and (fell_at is None or r[0] < fell_at))


def _in_order(resets: Mapping[float, float]) -> Resets:
    return tuple(sorted(resets.items()))


def _followed(
    known: Counter | None, points: Points, window: Window, most: Most, others: Others
) -> tuple[Counter | None, int]:
    """The same as ``_replayed``, with the restarts that only other sources show."""
    taken_back = 0
    if not others.sources:  # nearly always
        return _replayed(known, points, window, most)
    for silence in restarts.returns(points, others, known, _sure_until(known, window)):
        earlier, later = _cut(points, silence[1])
        # Of a window that is read again, the last value known may be later.
        as_read = known and (replace(known, value=0.0) if known.at > window.start else known)
        before, dips = _replayed(as_read, earlier, window, most)
        if before and (unseen := restarts.unseen(before, others, silence, later[0][1], most)):
            resets = _in_order({**dict(before.resets), **unseen})
            known, points = Counter(window.start, 0.0, resets, before.first), later
            taken_back += dips
    counter, dips = _replayed(known, points, window, most)
    return counter, taken_back + dips


def _sure_until(known: Counter | None, window: Window) -> float:
    """Until when a counter's restarts have been looked for."""
    if known is None:
        return -math.inf
    if known.at <= window.start:
        return window.start
    return max((at for at, _ in _before(known.resets, window.end)), default=-math.inf)


def _cut(points: Points, at: float) -> tuple[Points, Points]:
    """The samples before a time, and those from then on."""
    return [p for p in points if p[0] < at], [p for p in points if p[0] >= at]


def _replayed(
    known: Counter | None, points: Points, window: Window, most: Most
) -> tuple[Counter | None, int]:
    """Go through every sample of a counter that fell (M5).

    Returns:
        The counter; how many of its falls samples of the window took back.
    """
    line, unseen = Line(most), points
    if known is not None:
        resets = _before(known.resets, window.end)
        if known.at <= window.start:
            line = Line(most, known.value, resets, known.seen_at)
            earlier, unseen = _cut(points, math.nextafter(known.at, math.inf))
            line.remember(earlier)
        else:
            line = Line(most, resets=resets)
            # With the sample after the last fall, which may stay.
            earlier, unseen = _cut(points, max(line.resets, default=0.0))
            line.remember(earlier)
    for at, sample in unseen:
        line.see(at, sample)
    if line.value is None:
        return None, 0
    seen_at = points[-1][0] if points else line.last_at
    if known is not None and known.seen_at is not None and known.at <= window.end:
        seen_at = max(seen_at or known.seen_at, known.seen_at)  # what was told then may be left out
    value, resets = line.value, _in_order(line.resets)
    if known is not None and known.at <= window.end and known.resets == resets:
        value = max(value, known.value)  # a higher copy of it may lie too far back by now
    counter = Counter(window.end, value, resets, _first(known, points), seen_at, line.fell_at)
    return counter, sum(at > window.start for at in line.dips)


def _first(known: Counter | None, points: Points) -> tuple[float, float] | None:
    """The first sample; of a counter known from last values alone it is not known."""
    if known is not None and (known.first is None or not points):
        return known.first
    firsts = [point for point in (known.first if known else None, *points[:1]) if point]
    return min(firsts, default=None)


def totals(counters: Mapping[SeriesKey, Counter], at: int) -> Reading:
    """What all counters of a pod add up to; CPU is of one level (M4)."""
    cpu: float | None = None
    received: float | None = None
    sent: float | None = None
    has_levels = False
    for (kind, series), counter in counters.items():
        total = counter.total if counter.resets else counter.value
        if kind is CounterKind.RECEIVED:
            received = total + (received or 0.0)
        elif kind is CounterKind.SENT:
            sent = total + (sent or 0.0)
        elif kind is CounterKind.CPU:
            has_levels |= cpu is not None or series != POD_LEVEL
            cpu = total
    if has_levels:
        cpu = takeovers.best_level(counters)
        received = _at_least(counters, CounterKind.RECEIVED, received)
        sent = _at_least(counters, CounterKind.SENT, sent)
    return Reading(at, cpu, received, sent)


def _at_least(
    counters: Mapping[SeriesKey, Counter], kind: CounterKind, total: float | None
) -> float | None:
    """A total without what an earlier tool had counted; that, if it is more."""
    earlier = counters.get(SeriesKey(kind, IMPORTED))
    if earlier is None or total is None:
        return total
    return max(earlier.total, total - earlier.total)
