"""When the source spoke, its scrape interval, and its gaps (M7). Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from accounting.measure.usage.samples import Points
from accounting.model.time import Gap, Window

ALIVE_INTERVALS = 2
"""A pod has vanished when the source has spoken for this many scrape intervals without it."""

GAP_INTERVALS = 3
"""The source is silent when nothing came for longer than this many scrape intervals."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """When the source spoke (M7).

    Attributes:
        spoken_at: its last sample up to the window's end; None if it never spoke.
        interval_seconds: its scrape interval.
        gaps: silences that ended, or began, within the window.
        spoke: whether it spoke within the window at all.
    """

    spoken_at: float | None
    interval_seconds: float
    gaps: tuple[Gap, ...]
    spoke: bool

    @property
    def alive_seconds(self) -> float:
        """How long a pod may be missing before it counts as gone."""
        return ALIVE_INTERVALS * self.interval_seconds


def scrape_interval(series: Iterable[Points], default_seconds: float) -> float:
    """The usual distance between two samples of one emitter, in whole seconds."""
    medians = [
        median(later[0] - earlier[0] for earlier, later in pairwise(points))
        for points in series
        if len(points) > 1
    ]
    return max(1.0, float(round(max(medians)))) if medians else default_seconds


def pulse(
    series: Sequence[Points], window: Window, spoken_before: float | None, default_seconds: float
) -> Pulse:
    """When the source spoke, from its heartbeats in and shortly before the window.

    Args:
        series: samples of each heartbeat series; may reach back before the window.
        window: the window.
        spoken_before: last sample known from earlier windows.
        default_seconds: the scrape interval if there are too few samples to tell.
    """
    interval = scrape_interval(series, default_seconds)
    times = sorted({at for points in series for at, _ in points if window.start < at <= window.end})
    longest = GAP_INTERVALS * interval
    known = times if spoken_before is None else [spoken_before, *times]
    gaps = [Gap(earlier, later) for earlier, later in pairwise(known) if later - earlier > longest]
    spoken = known[-1] if known else None
    return Pulse(spoken, interval, tuple(gaps), bool(times))
