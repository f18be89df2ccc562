"""Counters that fall for a sample or two and then go on as if nothing had been.

Only what can be told from a restart is made: where a counter could have come back by itself, nobody
can say which of the two it was.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from random import Random

from accounting.simulation.exporters.series import Reading, Series, Span
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster

SHARES = (0.25, 0.45, 0.65, 0.85)
"""Of a counter's life: about when it dips."""
DEPTHS = (0.0, 0.0, 0.02, 0.3, 0.96)
"""What a counter says, as a share of what is true."""
_CONTAINER = re.compile(r"[0-9a-f]{64}(\.scope)?$")
_CLEAR_OF_END = 5
"""Intervals; what a counter said last stands."""
_LATE_SECONDS = 20.0
_LATE_COPY = 0.5
"""A share of what is true above which a low value is a late copy, and never taken for a restart."""


def dipped(cluster: Cluster, pod: SimulatedPod, series: Series, cores_unit: float) -> Series:
    """The series with its dips, if the pod's counters do that.

    Args:
        cluster: its scrape interval is how long a sample stands.
        pod: whose.
        series: one of its counters.
        cores_unit: what it counts for a second of a core, at most; of a container that is named by
            its id, and so never restarts, any dip can be told.
    """
    if "dipping" not in pod.traits or not series.family.endswith("_total"):
        return series
    enough = 0.0
    if not any(_CONTAINER.search(value) for _, value in series.labels):
        seconds = cluster.interval_seconds + _LATE_SECONDS
        enough = cores_unit * most_cores(pod) * seconds
    rng = Random(f"{cluster.seed}/{series.family}/{series.labels}")  # noqa: S311 - repeatable, not secret
    spans = (part for span in series.spans for part in _parts(cluster, pod, span, enough, rng))
    return replace(series, spans=tuple(spans))


def most_cores(pod: SimulatedPod) -> float:
    """More cores than a pod can have used for long, as far as kube-state-metrics tells."""
    boxes = [box.limits.cpu for box in pod.containers if box.part == "container"]
    if pod.whole is None and all(boxes):
        times = 2 if pod.resized_at is None else 4  # it is doubled then
        return times * pod.requested("cpu", limits=True)
    return max(16.0, 4 * pod.requested("cpu"))


def _parts(
    cluster: Cluster, pod: SimulatedPod, span: Span, enough: float, rng: Random
) -> Iterator[Span]:
    """The span, cut where it dips."""
    since, end = span.since, min(span.until, cluster.timetable.end)
    interval = cluster.interval_seconds
    for share in SHARES:
        at = span.since + share * (end - span.since) + rng.uniform(-2, 2) * interval
        depth, back = rng.choice(DEPTHS), at + rng.choice((1, 2)) * interval
        if at - interval < since or back > end - _CLEAR_OF_END * interval:
            continue
        if _number(span.reading, at) * (1 - depth) < enough and depth < _LATE_COPY:
            continue
        if not _is_scraped(cluster, pod, at - interval, back + interval):
            continue
        yield Span(since, at, span.reading)
        yield Span(at, back, _Low(span.reading, depth))
        since = back
    yield replace(span, since=since)


class _Low:
    def __init__(self, reading: Reading, depth: float) -> None:
        self._reading, self._depth = reading, depth

    def __call__(self, instant: float) -> str:
        low = _number(self._reading, instant) * self._depth
        return str(int(low)) if "." not in _text(self._reading, instant) else f"{low:.6f}"


def _number(reading: Reading, instant: float) -> float:
    return float(_text(reading, instant))


def _text(reading: Reading, instant: float) -> str:
    return reading if isinstance(reading, str) else reading(instant)


def _is_scraped(cluster: Cluster, pod: SimulatedPod, since: float, until: float) -> bool:
    """Whether the pod's node is scraped all the time."""
    node = (e for e in cluster.emitters if e.node == pod.node)
    return all(any(a <= since and until <= b for a, b in emitter.spans) for emitter in node)
