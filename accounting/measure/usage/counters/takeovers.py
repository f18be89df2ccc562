"""One level of CPU goes on where another one fell silent (M4). Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from accounting.measure.usage.samples import Points
from accounting.model.counters import RESET_BELOW, total_of
from accounting.model.pods import Counter, CounterKind, Level, SeriesKey, level_of

# Two levels differ by the pause container and parts of seconds, which is less than a fiftieth.
_COMPLETE = 0.98
# Doubled emitters are scraped within this of each other.
_SOON_SECONDS = 120.0
_RANKS = {level: rank for rank, level in enumerate(Level)}


def note(counters: Mapping[SeriesKey, Counter], raw: Mapping[SeriesKey, Points]) -> None:
    """Let counters begin anew after a better level that has restarted spoke, in place.

    That level has counted what they cannot know; what they count from then on comes on top.
    """
    for key, points in raw.items():
        counter = counters.get(key)
        if key.kind is not CounterKind.CPU or counter is None or counter.first is None:
            continue
        since = max(_better_until(key, counters), default=-math.inf)
        after = next((point for point in points if point[0] > since), None)
        if counter.first[0] <= since and after is not None:
            counter.first = after


def _better_until(key: SeriesKey, counters: Mapping[SeriesKey, Counter]) -> Iterator[float]:
    """When each better level spoke last that has restarted."""
    for other, counter in counters.items():
        is_better = other.kind is CounterKind.CPU and rank(other) < rank(key)
        if is_better and counter.resets:
            yield _last_at(counter)


def rank(key: SeriesKey) -> int:
    """The lower, the better is what CPU is read from; not of other counters."""
    return _RANKS[level_of(key.series)]


def begun(
    counters: Mapping[SeriesKey, Counter], since: float, until: float
) -> dict[Level, list[Counter]]:
    """The counters of CPU that were read for the first time between two times, by level."""
    found: dict[Level, list[Counter]] = defaultdict(list)
    for key, counter in counters.items():
        if key.kind is CounterKind.CPU and counter.first and since < counter.first[0] < until:
            found[level_of(key.series)].append(counter)
    return found


def grown(counters: Mapping[SeriesKey, Counter], since: float, until: float) -> float:
    """Core-seconds that were counted since then by those that were first read between two times."""
    levels = begun(counters, since, until).items()
    return max((_grown(level, group, since) for level, group in levels), default=0.0)


def best_level(counters: Mapping[SeriesKey, Counter]) -> float:
    """CPU seconds where several levels are known: the highest figure is the complete one.

    Each level is a lower bound of what the pod used. So is a level up to its last sample, plus what
    another one, read only after that, has grown by since its own first sample: containers that
    restarted before the change are only in the former, what followed only in the latter. Where the
    latter began with all that was known, it is complete.
    """
    levels: dict[Level, list[Counter]] = defaultdict(list)
    for (kind, series), counter in counters.items():
        if kind is CounterKind.CPU:
            levels[level_of(series)].append(counter)
    best: list[tuple[list[Counter], float]] = []  # (level, CPU seconds up to its last sample)
    # A level may speak again after another one: so their last samples tell the order.
    for level, group in sorted(levels.items(), key=lambda item: _last_of(item[1])):
        total = sum(counter.total for counter in group)
        for earlier, before in best:
            later = _later(level, group, _last_of(earlier))
            is_new = level is Level.POD and _is_new(later, earlier)
            known = 0.0 if is_new else sum(first for _, first in later)
            if later and known < before * _COMPLETE:
                total = max(total, before + sum(_total_since(c) for c, _ in later) - known)
        best.append((group, total))
    return max(total for _, total in best)


def _is_new(later: Sequence[tuple[Counter, float]], earlier: Sequence[Counter]) -> bool:
    """Whether a pod's own cgroup began after another level's last sample, as its node rebooted.

    It counts all that the others count: else it had no less than they. What an earlier tool says it
    has counted shows nothing.
    """
    last = _last_of(earlier)
    told = (c.value for c in earlier if _last_at(c) == last and c.seen_at is not None)
    said = max(told, default=0.0)
    return any(first < said * RESET_BELOW for _, first in later)


def _grown(level: Level, group: Sequence[Counter], last: float) -> float:
    later = _later(level, group, last)
    return sum(_total_since(counter) - first for counter, first in later)


def _later(level: Level, group: Sequence[Counter], last: float) -> list[tuple[Counter, float]]:
    """The counters that were read only after ``last``, with what they may have counted by then.

    Those that were not there at once began later: all of theirs is new. Runtimes may tell whole
    seconds: then it was up to one more.
    """
    found = [c for c in group if c.first and c.first[0] > last]
    taken_over = min((c.first[0] for c in found if c.first), default=0.0) + _SOON_SECONDS
    return [(counter, _counted_by(level, counter, taken_over)) for counter in found]


def _counted_by(level: Level, counter: Counter, taken_over: float) -> float:
    if counter.first is None or counter.first[0] > taken_over:
        return 0.0
    _, first = counter.first
    if level is Level.CONTAINER and first.is_integer():
        return min(first + 1, _total_since(counter))
    return first


def _total_since(counter: Counter) -> float:
    """What was counted by its value at the first sample, and since then."""
    at = counter.first[0] if counter.first else -math.inf
    resets = [reset for reset in counter.resets if reset[0] > at]
    return total_of(counter.value, resets, counter.fell_at)


def _last_of(group: Iterable[Counter]) -> float:
    return max(map(_last_at, group))


def _last_at(counter: Counter) -> float:
    return counter.at if counter.seen_at is None else counter.seen_at
