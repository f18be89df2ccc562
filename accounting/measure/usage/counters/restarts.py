"""Restarts of a pod's cgroup that only another source shows, while cAdvisor is silent (M4). Pure.

When a node reboots, its pods' cgroups begin at 0 again. Several sources read the same cgroup: so
what one of them shows while another one is silent is true of both.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from accounting.measure.usage.samples import Points
from accounting.model.counters import RESET_BELOW
from accounting.model.pods import Counter, CounterKind, Level, SeriesKey

OWN = SeriesKey(CounterKind.CPU, Level.POD)
OTHERS = tuple(SeriesKey(CounterKind.CPU, level) for level in (Level.NAMED_POD, Level.OTEL_POD))


class Other(NamedTuple):
    """What another source says of the same cgroup.

    Attributes:
        counter: with what the window's samples tell.
        before: as it was known before the window.
        points: the window's samples.
    """

    counter: Counter
    before: Counter | None
    points: Points

    def last_within(self, since: float, until: float) -> float | None:
        """What it said last between two times; None if it was silent, as far as is known."""
        told = [sample for at, sample in self.points if since < at < until]
        if told:
            return told[-1]
        before = self.before
        if before is None or before.seen_at is None or not since < before.seen_at < until:
            return None
        return before.value


class Others(NamedTuple):
    """The other sources of a pod, the best first.

    Attributes:
        sources: what they say.
        longest: seconds; a silence that lasts no longer is none.
    """

    sources: Sequence[Other] = ()
    longest: float = 0.0

    def spoke(self, since: float, until: float) -> bool:
        """Whether one of them spoke between two times, which are far enough apart for a silence."""
        return until > since + self.longest and any(
            source.last_within(since, until) is not None for source in self.sources
        )


def others(
    counters: Mapping[SeriesKey, Counter],
    before: Mapping[SeriesKey, Counter],
    raw: Mapping[SeriesKey, Points],
    longest: float,
) -> Others:
    """The other sources of a pod.

    Args:
        counters: with what the window's samples tell.
        before: as they were known before the window.
        raw: the window's samples.
        longest: seconds; a silence that lasts no longer is none.
    """
    found = (
        Other(counters[key], before.get(key), raw.get(key, ())) for key in OTHERS if key in counters
    )
    return Others(list(found), longest)


def is_silent(counters: Mapping[SeriesKey, Counter]) -> bool:
    """Whether others spoke of a pod after its own cgroup had."""
    own = counters.get(OWN)
    return own is not None and any(
        key in counters and _told_at(counters[key]) > _told_at(own) for key in OTHERS
    )


def _told_at(counter: Counter) -> tuple[int, float]:
    return counter.at, counter.seen_at or counter.at


def returns(
    points: Points, of: Others, known: Counter | None, since: float
) -> Iterable[tuple[float, float]]:
    """(last sample before, first sample after) of silences in which other sources spoke.

    Args:
        points: of the cgroup, as cAdvisor tells it.
        of: the other sources.
        known: the cgroup's counter, if it was read before.
        since: silences that ended up to then are left out.
    """
    # When all samples were not read, no other source spoke in the window of its last one.
    before = (known.seen_at or known.at) if known else -math.inf
    for at, _ in points:
        if at > since and of.spoke(before, at):
            yield before, at
        before = at


def unseen(
    known: Counter, of: Others, silence: tuple[float, float], value: float
) -> dict[float, float]:
    """The restarts within a silence: time of the first sample after one → the peak before it.

    Args:
        known: the cgroup's counter, as it was before the silence.
        of: what the other sources say; the best one that shows any counts.
        silence: last sample before, first sample after.
        value: of the first sample after.
    """
    found = (_unseen(known, other, silence, value) for other in of.sources)
    return next((restarts for restarts in found if restarts), {})


def _unseen(
    known: Counter, other: Other, silence: tuple[float, float], value: float
) -> dict[float, float]:
    since, until = silence
    last = other.last_within(since, until)
    if last is None:
        return {}
    resets = dict(known.resets)
    found = {
        at: peak for at, peak in other.counter.resets if since < at < until and at not in resets
    }
    first = other.counter.first
    is_first_within = first and since < first[0] < until and first[0] not in resets
    if first and is_first_within and first[1] < known.value * RESET_BELOW:
        found[first[0]] = known.value
    if not found and known.value < last and value < last * RESET_BELOW:
        return {until: last}
    if not found:
        return {}
    found[min(found)] = max(found[min(found)], known.value)
    # A source that adds up containers falls when one of them restarts: the cgroup does not.
    is_shared = value - last < found[max(found)] * RESET_BELOW
    return found if is_shared else {}
