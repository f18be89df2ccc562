"""Restarts of a pod's cgroup that only others show, while the best source is silent (M4). Pure.

When a node reboots, its pods' cgroups begin at 0 again. Several sources read the same cgroup: so
what one of them shows while another one is silent is true of both. Where containers alone are told
meanwhile, what they have counted tells it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from accounting.measure.usage.counters import takeovers
from accounting.measure.usage.samples import Points
from accounting.model.counters import JITTER_SECONDS, RESET_BELOW, Most
from accounting.model.pods import Counter, CounterKind, Level, SeriesKey

WHOLE_PODS = tuple(
    SeriesKey(CounterKind.CPU, level) for level in (Level.POD, Level.NAMED_POD, Level.OTEL_POD)
)
"""Counters that read the pod's cgroup, the best first."""
OWN = WHOLE_PODS[0]


class Other(NamedTuple):
    """What another source says of the same pod.

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

    def until(self, end: float) -> Counter:
        """The counter as it was at a time within the window; its low samples may stay low."""
        told = [sample for at, sample in self.points if at < end]
        if not told:
            return self.before or self.counter
        resets = tuple(reset for reset in self.counter.resets if reset[0] < end)
        return replace(self.counter, value=told[-1], resets=resets)


class Others(NamedTuple):
    """The other sources of a pod, which are worse.

    Attributes:
        sources: what they say, the best first.
        longest: seconds; a silence that lasts no longer is none.
    """

    sources: Mapping[SeriesKey, Other] = {}
    longest: float = 0.0

    @property
    def whole(self) -> list[Other]:
        """Those that read the pod's cgroup."""
        return [self.sources[key] for key in WHOLE_PODS if key in self.sources]

    def counters(self, until: float) -> dict[SeriesKey, Counter]:
        """All of their counters, as they were at a time within the window."""
        return {key: other.until(until) for key, other in self.sources.items()}

    def spoke(self, since: float, until: float) -> bool:
        """Whether one of them spoke between two times, which are far enough apart for a silence."""
        return until > since + self.longest and (
            any(other.last_within(since, until) is not None for other in self.whole)
            or bool(takeovers.begun(self.counters(until), since, until))
        )


def others(
    key: SeriesKey,
    counters: Mapping[SeriesKey, Counter],
    before: Mapping[SeriesKey, Counter],
    raw: Mapping[SeriesKey, Points],
    longest: float,
) -> Others:
    """The worse sources of a pod.

    Args:
        key: the counter than which they are worse.
        counters: with what the window's samples tell.
        before: as they were known before the window.
        raw: the window's samples.
        longest: seconds; a silence that lasts no longer is none.
    """
    sources = {
        other: Other(counter, before.get(other), raw.get(other, ()))
        for other, counter in counters.items()
        if other.kind is CounterKind.CPU and takeovers.rank(other) > takeovers.rank(key)
    }
    return Others(sources, longest)


def is_silent(counters: Mapping[SeriesKey, Counter]) -> bool:
    """Whether others spoke of a pod after its own cgroup had."""
    own = counters.get(OWN)
    return own is not None and any(
        key.kind is CounterKind.CPU and _told_at(counter) > _told_at(own)
        for key, counter in counters.items()
    )


def _told_at(counter: Counter) -> tuple[int, float]:
    return counter.at, counter.seen_at or counter.at


def returns(
    points: Points, of: Others, known: Counter | None, since: float
) -> Iterable[tuple[float, float]]:
    """(last sample before, first sample after) of silences in which other sources spoke.

    Args:
        points: of the cgroup, as one source tells it.
        of: the other sources.
        known: its counter, if it was read before.
        since: silences that ended up to then are left out.
    """
    # When all samples were not read, no other source spoke in the window of its last one.
    before = (known.seen_at or known.at) if known else math.inf
    for at, _ in points:
        if at > since and of.spoke(before, at):
            yield before, at
        before = at


def unseen(
    known: Counter, of: Others, silence: tuple[float, float], value: float, most: Most
) -> dict[float, float]:
    """The restarts within a silence: time of the first sample after one → the peak before it.

    Sources of the cgroup show them; or all of them have counted more than the cgroup now has.

    Args:
        known: the cgroup's counter, as it was before the silence.
        of: what the other sources say; the best one that shows any counts.
        silence: last sample before, first sample after.
        value: of the first sample after.
        most: what it can grow by in a second.
    """
    since, until = silence
    found = (_unseen(known, other, silence, value) for other in of.whole)
    shown = next((restarts for restarts in found if restarts), {})
    grown = takeovers.grown(of.counters(until), since, until)
    # What the others have counted besides was before the restart: the cgroup tells what was since.
    missing = known.value + grown - value - sum(shown.values())
    if shown:
        last = max(shown)
        return {**shown, last: shown[last] + max(0.0, missing)}
    least = max(known.value * RESET_BELOW, most(until) * JITTER_SECONDS)
    if grown and (value < known.value * RESET_BELOW or missing > least):
        return {until: known.value + max(0.0, grown - value)}
    return {}


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
