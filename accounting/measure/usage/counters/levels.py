"""A pod's CPU is that of one level at any time: the best that speaks (M4). Pure."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from accounting.measure.usage.counters.restarts import OWN
from accounting.measure.usage.samples import Points, Samples
from accounting.model.counters import CLEAR_SECONDS, Line, always
from accounting.model.pods import CounterKind, Level, SeriesKey, level_of

HARDLY_SECONDS = 0.1
"""Of CPU: less is what a cgroup says that counts nothing."""
# So is less than this part of what the containers say, which the pod's cgroup includes.
_WHOLE = 0.5
_NEVER = always(0.0)


def keep_one_level(samples: Samples) -> None:
    """Of ``samples.raw``, keep at any time the CPU of the best level that speaks (M4), in place.

    A level counts while all better ones are silent. Its other samples tell nothing new, nor does
    the last value of a level that is left out.
    """
    longest = samples.silence_seconds
    for uid, lines in samples.raw.items():
        by_level = _levels(lines, longest)
        if OWN in lines and Level.POD not in by_level:
            samples.still.add(uid)
        spoken: list[float] = []
        for level in (level for level in Level if level in by_level):
            keys = by_level[level]
            told = {at for key in keys for at, _ in lines[key]}
            new = _in_silences(sorted(told), spoken, longest)
            for key in keys:
                lines[key] = [point for point in lines[key] if point[0] in new]
                if not lines[key]:
                    del lines[key]
            spoken = sorted({*spoken, *new})
        _forget_other_levels(samples.readings.get(uid, {}), lines)


def _in_silences(told: Sequence[float], spoken: Sequence[float], longest: float) -> set[float]:
    """The times at which one source had a sample, and all others were silent.

    Args:
        told: in order.
        spoken: when the others spoke, in order.
        longest: a silence that is no longer is none.
    """
    found: set[float] = set()
    if not spoken or spoken[0] > told[0] + longest:
        found.update(told[: bisect_left(told, spoken[0]) if spoken else None])
    for start, end in pairwise((*spoken, math.inf)):
        within = told[bisect_right(told, start) : bisect_left(told, end)]
        if within and within[-1] > start + longest:
            found.update(within)
    return found


def _levels(lines: Mapping[SeriesKey, Points], longest: float) -> dict[Level, list[SeriesKey]]:
    """The counters of CPU by level; a pod's cgroup that stands still beside others counts nothing.

    There are nodes on which the pod's processes are in other cgroups (containerd with cgroupfs
    under a systemd kubelet). What the others told while it was silent says nothing of that. Its
    samples stay: it may have dipped only, and then it is the best level all the same.
    """
    by_level: dict[Level, list[SeriesKey]] = defaultdict(list)
    for key in lines:
        if key.kind is CounterKind.CPU:
            by_level[level_of(key.series)].append(key)
    own = by_level.get(Level.POD)
    others = [keys for level, keys in by_level.items() if level is not Level.POD]
    if own and _stands_still(lines, own, others, longest):
        del by_level[Level.POD]
    return by_level


def _stands_still(
    lines: Mapping[SeriesKey, Points],
    own: Sequence[SeriesKey],
    others: Sequence[Sequence[SeriesKey]],
    longest: float,
) -> bool:
    """Whether a pod's cgroup says far less than one of the others, or grows by far less.

    It includes all of them, and counts for as long.
    """
    spans = [span for key in own for span in _spans(lines[key], longest)]
    grown = sum(_risen(lines[key], *span) for key in own for span in spans)
    of_others = (sum(_growth(lines[k], *span) for k in keys for span in spans) for keys in others)
    until = spans[-1][1]
    lately = until - longest, until
    said = max(_said(lines[key], *lately) for key in own)
    said_by_others = (_said(lines[key], *lately) for keys in others for key in keys)
    return any(
        most > HARDLY_SECONDS and whole < most * _WHOLE
        for whole, most in (
            (grown, max(of_others, default=0.0)),
            (said, max(said_by_others, default=0.0)),
        )
    )


def _said(line: Points, start: float, end: float) -> float:
    """What a counter said last between two times; 0 if nothing."""
    return next((value for at, value in reversed(line) if start <= at <= end), 0.0)


def _spans(line: Points, longest: float) -> Iterator[tuple[float, float]]:
    """(first sample, last one) of the times without a longer silence, as far as growth is known."""
    until = _sure_until(line)
    start = before = line[0][0]
    for at, _ in line:
        if at > until:
            break
        if at > before + longest:
            yield start, before
            start = at
        before = at
    yield start, before


def _sure_until(line: Points) -> float:
    """When the last sample is before a fall that may yet be taken back: of then growth is known."""
    seen = Line(_NEVER)
    for point in line:
        seen.see(*point)
    fell_at = seen.fell_at
    return line[-1][0] if fell_at is None else max(at for at, _ in line if at < fell_at)


def _risen(line: Points, start: float, end: float) -> float:
    """What a counter grew by at most: it may have restarted whenever it fell."""
    within = [value for at, value in line if start <= at <= end]
    return sum(max(0.0, later - value) for value, later in pairwise(within))


def _growth(line: Points, start: float, end: float) -> float:
    """What a counter grew by between two times; after a reset, it grew from 0.

    Its first samples may be low ones of a dip, whose end is no growth: they are left out.
    """
    since, seen, grown_from = start + CLEAR_SECONDS, Line(_NEVER), 0.0
    for at, value in line:
        if start <= at <= end:
            is_first = seen.last_at is None
            seen.see(at, value)
            if is_first or at < since:
                grown_from = seen.total
    return seen.total - grown_from


def _forget_other_levels(
    readings: dict[SeriesKey, float], lines: Mapping[SeriesKey, Points]
) -> None:
    for key in [key for key in readings if key.kind is CounterKind.CPU and key not in lines]:
        del readings[key]
