"""A counter sample by sample: which of its falls are restarts, and which ones are taken back. Pure.

A counter that falls has restarted at 0 (M5), unless it soon is where it was before: faster than the
pod can have used that much; or much faster than it did before the fall, and just where it would be
without it. Then its low samples were never true. Until it is clear which, what was counted before
stands, so totals never fall.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

# A counter restarts at 0. A smaller dip is a late copy from a second emitter.
RESET_BELOW = 0.5
# A fall is a restart once a sample that comes so much later has not taken it back: two samples that
# are a minute apart may be wrong, or one of any interval.
CLEAR_SECONDS = 150.0
JITTER_SECONDS = 15.0
"""A sample's value may be as much older or younger than its time says."""
# A counter that is lower than it can grow in that time is not waited for.
_SHALLOW_SECONDS = 7.5
# A fall is a restart at once if the counter was silent before, as while a node reboots, and so many
# samples grow since: a wrong one may be repeated once.
_SURE = 3
_SILENT = 2.0
"""A silence is so many times as long as what lies between the samples after it."""
# How fast it grew before a fall is told by so many samples, of so long before it, to a sample so
# long after it. Short windows know no older ones (900 s together), and long ones must judge alike.
_RECENT = 4
_RECENT_SECONDS = 600.0
_SOON_SECONDS = 300.0
# A return is so many times as fast, and ends within so many times of what that would have made,
# or within this part of what was counted.
_MUCH_FASTER = 4.0
_AHEAD = 2.0
_NEAR = 0.02

Point = tuple[float, float]
"""(time, what it said)"""
Most = Callable[[float], float]
"""What a counter could grow by in a second, by time."""


def always(most: float) -> Most:
    """The same at any time."""
    return lambda _: most


class Line:
    """What is known of a counter after some of its samples.

    Attributes:
        value: what it last said; while it dips, the low value. None before the first sample.
        resets: time of the first sample after a fall → the peak before it.
        last_at: time of the last sample.
        dips: when falls were taken back.
    """

    def __init__(
        self,
        most: Most,
        value: float | None = None,
        resets: Iterable[tuple[float, float]] = (),
        last_at: float | None = None,
    ) -> None:
        """Go on from what is known.

        Args:
            most: what it could grow by in a second; 0 of one that never restarts, so that
                any return takes a fall back.
            value: what it said last.
            resets: its falls so far, with the peaks before them.
            last_at: when it said that.
        """
        self.value = value
        self.resets = dict(resets)
        self.last_at = last_at
        self.dips: list[float] = []
        self._most = most
        self._seen: list[Point] = []
        self._before: dict[float, Sequence[Point]] = {}

    def remember(self, points: Iterable[Point]) -> None:
        """Take in samples that are known already: they tell how fast it grew.

        The last one of a window, which alone was read, may have been a low one.
        """
        self._seen = list(points)
        self._before = {since: self._seen_before(since) for since in self.resets}
        line, fell_at = Line(self._most), max(self.resets, default=-math.inf)
        for at, sample in self._seen:
            if at >= fell_at:
                line.see(at, sample)
        highest = line.value or 0.0
        if self.value is not None and not line.resets and self.value >= highest * RESET_BELOW:
            self.value = max(self.value, highest)

    def see(self, at: float, sample: float) -> None:
        """Add a sample; they come in order of time."""
        if self.value is None:
            self.value = sample
        elif sample < self.value * RESET_BELOW:
            self.resets[at] = self.value
            self.value = sample
            self._before[at] = self._seen_before(at)
        elif self.resets and (fall := self._taken_back(at, sample)) is not None:
            self.value = max(sample, self.resets[fall])
            self.resets = {since: peak for since, peak in self.resets.items() if since < fall}
            self.dips.append(at)
        elif sample > self.value:
            self.value = sample
        self.last_at = at
        self._seen.append((at, sample))

    def _seen_before(self, at: float) -> Sequence[Point]:
        first = bisect_right(self._seen, (at - _RECENT_SECONDS, math.inf))
        return [point for point in self._seen[first:] if point[0] < at]

    @property
    def fell_at(self) -> float | None:
        """The first of the falls that may yet be taken back."""
        return min((since for since in self.resets if self._is_open(since)), default=None)

    @property
    def total(self) -> float:
        """All that was ever counted."""
        return total_of(self.value or 0.0, self.resets.items(), self.fell_at)

    def _is_open(self, since: float) -> bool:
        """Whether a fall may be taken back: it is recent, and was deep enough to tell."""
        peak, value = self.resets[since], self.value or 0.0
        is_recent = self.last_at is not None and self.last_at < since + CLEAR_SECONDS
        is_deep = is_recent and value < peak * RESET_BELOW
        is_told = is_deep and peak > self._most(since) * _SHALLOW_SECONDS
        return is_told and not self._has_begun(since)

    def _has_begun(self, since: float) -> bool:
        """Whether a fall surely was a restart, since a silence hides it and the counter grows."""
        first = bisect_left(self._seen, (since,))
        low = self._seen[first : first + _SURE]
        if len(low) < _SURE or any(late <= early for (_, early), (_, late) in pairwise(low)):
            return False
        before = self._before.get(since)
        silence = since - before[-1][0] if before else _RECENT_SECONDS
        usual = max(late - early for (early, _), (late, _) in pairwise(low))
        most = self._most(since) * (silence + JITTER_SECONDS)
        return silence > _SILENT * usual and low[0][1] <= most

    def _taken_back(self, at: float, sample: float) -> float | None:
        """Which fall the sample takes back, with all later ones."""
        if self.last_at is None or self.last_at >= max(self.resets) + CLEAR_SECONDS:
            return None  # nearly always: none is open
        grown, seconds = sample - (self.value or 0.0), at - self.last_at + JITTER_SECONDS
        for since, peak in sorted(self.resets.items()):
            if self._is_open(since) and (
                (sample >= peak * RESET_BELOW and grown > self._most(at) * seconds)
                or self._goes_on(since, at, sample, grown / seconds)
            ):
                return since
        return None

    def _goes_on(self, since: float, at: float, sample: float, pace: float) -> bool:
        """Whether a sample is where the counter would be without a fall, and cannot be so soon.

        Args:
            since: the fall.
            at: of the sample.
            sample: what it says.
            pace: how much it grew in a second since the sample before.
        """
        before = _growth(self._before.get(since, ()))[-_RECENT:]
        if len(before) < _RECENT or at > since + _SOON_SECONDS:
            return False
        usual = max((late - early) / max(b - a, 1.0) for (a, early), (b, late) in pairwise(before))
        last_at, peak = before[-1]
        highest = peak * (1 + _NEAR) + _AHEAD * usual * (at - last_at)
        return peak <= sample <= highest and pace > _MUCH_FASTER * usual


def _growth(points: Iterable[Point]) -> list[Point]:
    """The samples along which a counter grew, since it last was lower for long.

    It depends on the samples alone, and not on what was counted before them.
    """
    growth: list[Point] = []
    low: list[Point] = []
    for at, value in points:
        if not growth or value >= growth[-1][1]:
            growth.append((at, value))
            low = []
            continue
        low.append((at, value))
        if at - low[0][0] >= CLEAR_SECONDS:
            growth, low = _growth(low), []
    return growth


def total_of(
    value: float, resets: Iterable[tuple[float, float]], fell_at: float | None = None
) -> float:
    """A counter's value and the peaks before its restarts; of an open fall, what is sure.

    Args:
        value: what it last said.
        resets: (time of the first sample after a fall, the peak before it).
        fell_at: the first of the falls that may yet be taken back.
    """
    if fell_at is None:
        return value + sum(peak for _, peak in resets)
    sure, highest = 0.0, value
    for since, peak in resets:
        if since < fell_at:
            sure += peak
        else:
            highest = max(highest, peak)
    return sure + highest
