"""Counters that say something impossible for a sample (cases.md, 1)."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from accounting.simulation.exporters.series import Reading, Series, Span
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster

SHARES = (0.0, 0.3, 0.6, 0.9)
"""Of a counter's life: about when it spikes."""
SPIKE = 1_730_000_000
"""What it says then besides what is true: core-seconds, or millions of bytes."""
_PART = 0.5
"""Of these times, about so many."""
_CLEAR_OF_END = 3
"""Intervals; what a counter said last must be true."""


def spiked(cluster: Cluster, pod: SimulatedPod, series: Series) -> Series:
    """The series with its spikes, if the pod's counters do that, and do not dip.

    A spike just after a dip hides when that ended: nobody can then tell it from a restart.
    """
    is_odd = "spiking" in pod.traits and "dipping" not in pod.traits
    if not is_odd or not series.family.endswith("_total"):
        return series
    more = SPIKE if "_cpu_" in series.family else SPIKE * 10**6
    rng = Random(f"{cluster.seed}/spikes/{series.family}/{series.labels}")  # noqa: S311 - repeatable, not secret
    spans = (part for span in series.spans for part in _parts(cluster, span, more, rng))
    return replace(series, spans=tuple(spans))


def _parts(cluster: Cluster, span: Span, more: int, rng: Random) -> Iterator[Span]:
    """The span, cut where it spikes."""
    interval = cluster.interval_seconds
    since, end = span.since, min(span.until, cluster.timetable.end) - _CLEAR_OF_END * interval
    for share in SHARES:
        at = max(since, span.since + share * (end - span.since) + rng.uniform(-2, 2) * interval)
        if at + interval < end and rng.random() < _PART:
            yield Span(since, at, span.reading)
            yield Span(at, at + interval, _High(span.reading, more))
            since = at + interval
    yield replace(span, since=since)


class _High:
    def __init__(self, reading: Reading, more: int) -> None:
        self._reading, self._more = reading, more

    def __call__(self, instant: float) -> str:
        told = self._reading if isinstance(self._reading, str) else self._reading(instant)
        return f"{float(told) + self._more:.6f}" if "." in told else str(int(told) + self._more)
