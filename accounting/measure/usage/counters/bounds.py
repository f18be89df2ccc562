"""What a counter can grow by: more is a spike, or at least doubted (M3, M5). Pure."""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable

from accounting.measure.promql.ksm import CONTAINER_INFO
from accounting.measure.usage.counters.series import METRICS
from accounting.measure.usage.samples import (
    MAX_CORES,
    Points,
    RawSeries,
    Rejected,
    Samples,
    implausible,
    label,
)
from accounting.model.pods import CounterKind, Implausible, Resources, SeriesKey

# The largest machines of 2026 have 960 hardware threads and network ports of 800 Gbit/s, and take
# less than 20 kW. Core-seconds, bytes and joules per second.
_NODE_MOST = {
    CounterKind.CPU: 1024.0,
    CounterKind.RECEIVED: 2e11,
    CounterKind.SENT: 2e11,
    CounterKind.ENERGY: 2e4,
}
# More than this is seldom seen of a notebook: then all samples are read.
_SELDOM_MORE = {
    CounterKind.CPU: 16.0,
    CounterKind.RECEIVED: 1e9,
    CounterKind.SENT: 1e9,
    CounterKind.ENERGY: 2e3,
}
_BURST = 4.0
_BEYOND_LIMIT = 2.0
# A core seldom takes half of that.
_CORE_WATTS = 30.0
# A sample's value may be as much older or younger than its time says.
_HOUSEKEEPING_SECONDS = 60.0
_LONG_INTERVAL_SECONDS = 300.0
# A limit holds until it is told again, and what was used meanwhile is seen a little later: the
# highest of so long counts; where nothing was told, of that much longer. A fixed reach, so that
# windows of any length judge alike.
_LIMITED_SECONDS = (300.0, 900.0)


def set_aside_spikes(
    samples: Samples, started_at: Callable[[str], float | None], since: float
) -> None:
    """Leave out raw samples that no node can have reached since the one before (cases.md, 1).

    Args:
        samples: changed in place.
        started_at: when a pod started, by uid, Unix seconds: its counters were 0 then; None where
            nobody says, and the first sample must be believed.
        since: samples up to then were counted as set aside by the window before.
    """
    for uid, lines in samples.raw.items():
        start = started_at(uid)
        for key, points in list(lines.items()):
            most = _NODE_MOST[key.kind]
            known = None if start is None else (start, 0.0)
            kept: list[tuple[float, float]] = []
            for at, value in points:
                if known and value - known[1] > most * (
                    max(0.0, at - known[0]) + _HOUSEKEEPING_SECONDS
                ):
                    if at > since:
                        samples.rejected[Rejected(METRICS[key.kind], Implausible.TOO_LARGE)] += 1
                else:
                    # A dip makes no spike of what follows it.
                    known = at, max(value, known[1] if known else 0.0)
                    kept.append((at, value))
            lines[key] = kept
            if not kept:
                del lines[key]
                samples.readings.get(uid, {}).pop(key, None)


def seldom_more(kind: CounterKind, seconds: float, resources: Resources | None) -> float:
    """What a counter seldom grows by in a time: of more, all samples are read, to find spikes.

    Args:
        kind: core-seconds or bytes.
        seconds: the time; one long scrape interval is added.
        resources: what the pod asks for; it may use several times as much.
    """
    usual = _SELDOM_MORE[kind]
    if kind is CounterKind.CPU and resources is not None:
        asked = max(resources.cpu_request or 0.0, resources.cpu_limit or 0.0)
        usual = max(usual, _BURST * asked)
    return usual * (seconds + _LONG_INTERVAL_SECONDS)


def most_of(key: SeriesKey, resources: Resources | None, limits: Points, at: float) -> float:
    """What a counter could grow by in a second, for all that is known: core-seconds, bytes, joules.

    0 of one that never restarts: a container or a network that is made anew has another id.

    Args:
        key: which counter.
        resources: what the pod asks for.
        limits: cores that it is limited to, in order of time; infinite where one container is not,
            and none where no container is, or nobody says.
        at: when.
    """
    if key.by_id:
        return 0.0
    if key.kind in {CounterKind.RECEIVED, CounterKind.SENT}:
        return _SELDOM_MORE[key.kind]
    limit = _limit_at(limits, at) or (resources.cpu_limit if resources else None)
    cores = _SELDOM_MORE[CounterKind.CPU]
    if limit and limit < math.inf:
        cores = _BEYOND_LIMIT * limit
    elif resources is not None:
        cores = max(cores, _BURST * (resources.cpu_request or 0.0))
    return cores * _CORE_WATTS if key.kind is CounterKind.ENERGY else cores


def _limit_at(limits: Points, at: float) -> float | None:
    until = bisect_right(limits, (at, math.inf))
    for seconds in _LIMITED_SECONDS:
        since = bisect_right(limits, (at - seconds, math.inf))
        if since < until:
            return max(cores for _, cores in limits[since:until])
    return None


def cores_limited(series: Iterable[RawSeries]) -> dict[str, list[tuple[float, float]]]:
    """Cores that pods are limited to, by uid and time; infinite when a container was not limited.

    Args:
        series: limits of containers, and what containers there are (``ksm.raw_cpu_limits``).
    """
    limits: _Told = defaultdict(lambda: defaultdict(dict))
    boxes: _Told = defaultdict(lambda: defaultdict(dict))
    for labels, points in series:
        uid, box = labels.get("uid", ""), label(labels, "container")
        told = boxes if labels["__name__"] == CONTAINER_INFO else limits
        for at, value in points:
            if told is boxes or implausible(value, 0, MAX_CORES) is None:
                told[uid][at][box] = value
    return {
        uid: [
            (at, sum(cores.values()) if boxes[uid][at].keys() <= cores.keys() else math.inf)
            for at, cores in sorted(by_time.items())
        ]
        for uid, by_time in limits.items()
    }


_Told = dict[str, dict[float, dict[str, float]]]
"""uid → time → container → value"""
