"""A counter sample by sample: which of its falls are restarts, and which ones are taken back. Pure.

A counter that falls has restarted at 0 (M5), unless it soon is where it was before: faster than the
pod can have used that much. Then its low samples were never true. Until it is clear which, what was
counted before stands, so totals never fall.
"""

from collections.abc import Iterable

# A counter restarts at 0. A smaller dip is a late copy from a second emitter.
RESET_BELOW = 0.5
# A fall is a restart once a sample that comes so much later has not taken it back: two samples that
# are a minute apart may be wrong, or one of any interval.
CLEAR_SECONDS = 150.0
# A sample's value may be as much older or younger than its time says.
_JITTER_SECONDS = 15.0


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
        most: float,
        value: float | None = None,
        resets: Iterable[tuple[float, float]] = (),
        last_at: float | None = None,
    ) -> None:
        """Go on from what is known.

        Args:
            most: what it can grow by in a second; 0 of one that never restarts, so that any return
                takes a fall back.
            value: what it said last.
            resets: its falls so far, with the peaks before them.
            last_at: when it said that.
        """
        self.value = value
        self.resets = dict(resets)
        self.last_at = last_at
        self.dips: list[float] = []
        self._most = most

    def see(self, at: float, sample: float) -> None:
        """Add a sample; they come in order of time."""
        if self.value is None:
            self.value = sample
        elif sample < self.value * RESET_BELOW:
            self.resets[at] = self.value
            self.value = sample
        elif self.resets and (fall := self._taken_back(at, sample)) is not None:
            self.value = max(sample, self.resets[fall])
            self.resets = {since: peak for since, peak in self.resets.items() if since < fall}
            self.dips.append(at)
        else:
            self.value = max(sample, self.value)
        self.last_at = at

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
        return is_recent and value < peak * RESET_BELOW and peak > self._most * _JITTER_SECONDS

    def _taken_back(self, at: float, sample: float) -> float | None:
        """Which fall the sample takes back, with all later ones."""
        grown, seconds = sample - (self.value or 0.0), at - (self.last_at or at)
        if grown <= self._most * (seconds + _JITTER_SECONDS):
            return None
        return next(
            (
                since
                for since, peak in sorted(self.resets.items())
                if self._is_open(since) and sample >= peak * RESET_BELOW
            ),
            None,
        )


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
