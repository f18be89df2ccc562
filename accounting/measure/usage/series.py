"""What pods used: each series is one counter of one pod (M3, M4). Pure."""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from accounting.measure.promql.kepler import POD_JOULES
from accounting.measure.promql.kubelet import (
    CPU,
    OTEL_CONTAINER_CPU,
    OTEL_POD,
    OTEL_POD_CPU,
    POD_CPU,
    RECEIVED,
    SENT,
)
from accounting.measure.usage.cgroups import cgroup, container_id
from accounting.measure.usage.samples import (
    MAX_BYTES,
    MAX_CORES,
    Labels,
    Points,
    RawSeries,
    Rejected,
    Samples,
    UidAt,
    UsageRow,
    implausible,
    label,
)
from accounting.model.counters import CLEAR_SECONDS, Line
from accounting.model.pods import (
    POD_LEVEL,
    CounterKind,
    Implausible,
    Level,
    Resources,
    SeriesKey,
    level_of,
)

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

HARDLY_SECONDS = 0.1
"""Of CPU: less is what a cgroup says that counts nothing."""
# So is less than this part of what the containers say, which the pod's cgroup includes.
_WHOLE = 0.5


def merge_memory_peaks(samples: Samples, rows: Iterable[UsageRow]) -> None:
    """Add the highest working sets of the pods that ``id`` names."""
    for row in rows:
        _merge_memory(samples, cgroup(row.metric.id).uid, row.value[1])


def merge_raw_memory(samples: Samples, series: Iterable[RawSeries], uid_at: UidAt) -> None:
    """Add the highest working sets; without ``id`` the pod's name and the time tell whose (M3)."""
    for labels, points in series:
        name = label(labels, "pod")
        for at, value in points:
            _merge_memory(samples, uid_at(name, at), value)


def _merge_memory(samples: Samples, uid: str, value: float) -> None:
    if reason := implausible(value, 0, MAX_BYTES):
        samples.rejected[Rejected("container_memory_working_set_bytes", reason)] += 1
    elif uid:
        samples.memory_peaks[uid] = max(value, samples.memory_peaks.get(uid, 0))


def pods_without_path(rows: Iterable[UsageRow]) -> set[str]:
    """The names of the pods whose series lack a cgroup's path: none at all, or a bare id."""
    return {row.pod for row in rows if row.metric.id[:1] != "/"}


def usage_uid(row: UsageRow, uid_of_pod: Callable[[str], str]) -> str:
    """Whose a series is: by its cgroup, else by the pod's name (M3)."""
    path = row.metric.id
    return cgroup(path).uid if path[:1] == "/" else uid_of_pod(row.pod)


METRICS = {
    CounterKind.CPU: CPU,
    CounterKind.RECEIVED: RECEIVED,
    CounterKind.SENT: SENT,
    CounterKind.ENERGY: POD_JOULES,
}
_MOST_CPU = MAX_CORES * 86400.0 * 3660
_KINDS = {
    CPU: (CounterKind.CPU, _MOST_CPU),
    POD_CPU: (CounterKind.CPU, _MOST_CPU),
    OTEL_POD_CPU: (CounterKind.CPU, _MOST_CPU),
    OTEL_CONTAINER_CPU: (CounterKind.CPU, _MOST_CPU),
    RECEIVED: (CounterKind.RECEIVED, MAX_BYTES),
    SENT: (CounterKind.SENT, MAX_BYTES),
}


def _counter(metric: str, labels: Labels) -> tuple[str, SeriesKey]:
    """(uid, which of the pod's counters) of a series; the uid is empty where nothing tells it.

    A bare id is a container's: that of the runtime, which cAdvisor's paths end in, too.
    """
    kind, _ = _KINDS[metric]
    path, interface = labels.get("id", ""), labels.get("interface", "")
    if path[:1] == "/":
        return _counter_of(kind, path, interface)
    if metric == OTEL_POD_CPU:
        return labels.get("k8s_pod_uid", ""), SeriesKey(kind, Level.OTEL_POD)
    if metric == OTEL_CONTAINER_CPU:
        name = labels.get("k8s_container_name", "")
        return labels.get("k8s_pod_uid", ""), SeriesKey(kind, f"{Level.OTEL_CONTAINER}{name}")
    level = container_id(path) or POD_LEVEL
    if metric == POD_CPU:
        level = Level.NAMED_POD
    elif kind is CounterKind.CPU and not path and (container := label(labels, "container")):
        level = _named(labels.get("name", "")) or f"{Level.NAMED_CONTAINER}{container}"
    return "", SeriesKey(kind, f"{level}/{interface}" if interface else level)


def _named(name: str) -> str:
    """A container by its name, which is its id with containerd."""
    found = container_id(name)
    return (
        f"{Level.ALIAS}{name}" if found and not SeriesKey(CounterKind.CPU, found).by_id else found
    )


def _counter_of(kind: CounterKind, path: str, interface: str) -> tuple[str, SeriesKey]:
    uid, level = cgroup(path)
    return uid, SeriesKey(kind, f"{level}/{interface}" if interface else level)


def merge_readings(samples: Samples, rows: Iterable[UsageRow], metric: str) -> None:
    """Add a metric's last values; duplicates of one counter take the highest (M4).

    Without a path they are left out: the pod's name and the times of the samples will tell.
    """
    kind, high = _KINDS[metric]
    for row in rows:
        labels, (_, value) = row.metric, row.value
        path, interface = labels.id, labels.interface
        if path[:1] != "/":
            continue
        if not 0.0 <= value <= high:  # hot loop: ask for the reason only where there is one
            if reason := implausible(value, 0, high):
                samples.rejected[Rejected(metric, reason)] += 1
                samples.doubted.add(row.pod)
            continue
        named = metric, path, interface
        found = samples.known_series.get(named) or _counter_of(kind, path, interface)
        samples.series[named] = found
        uid, key = found
        if not uid:
            continue
        counters = samples.readings.get(uid)
        if counters is None:
            samples.readings[uid] = {key: value}
        elif counters.get(key, 0.0) <= value:
            counters[key] = value


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


def most_of(key: SeriesKey, resources: Resources | None, limit: float | None) -> float:
    """What a counter can grow by in a second, for all that is known: core-seconds, bytes or joules.

    0 of one that never restarts: a container or a network that is made anew has another id.

    Args:
        key: which counter.
        resources: what the pod asks for.
        limit: cores that it is limited to; None where it is not, or nobody says.
    """
    if key.by_id:
        return 0.0
    if key.kind in {CounterKind.RECEIVED, CounterKind.SENT}:
        return _SELDOM_MORE[key.kind]
    limit = limit or (resources.cpu_limit if resources else None)
    cores = _SELDOM_MORE[CounterKind.CPU]
    if limit:
        cores = _BEYOND_LIMIT * limit
    elif resources is not None:
        cores = max(cores, _BURST * (resources.cpu_request or 0.0))
    return cores * _CORE_WATTS if key.kind is CounterKind.ENERGY else cores


def keep_one_level(samples: Samples, tolerance_seconds: float) -> None:
    """Of ``samples.raw``, keep at any time the CPU of the best level that speaks (M4), in place.

    A level counts while all better ones are silent for longer than ``tolerance_seconds``. Its other
    samples tell nothing new, nor does the last value of a level that is left out.
    """
    for uid, lines in samples.raw.items():
        by_level = _levels(lines)
        spoken: list[float] = []
        for level in (level for level in Level if level in by_level):
            keys = by_level[level]
            told = {at for key in keys for at, _ in lines[key]}
            new = _in_silences(sorted(told), spoken, tolerance_seconds)
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


def _levels(lines: Mapping[SeriesKey, Points]) -> dict[Level, list[SeriesKey]]:
    """The counters of CPU by level; a pod's cgroup that stands still beside others counts nothing.

    There are nodes on which the pod's processes are in other cgroups (containerd with cgroupfs
    under a systemd kubelet).
    """
    by_level: dict[Level, list[SeriesKey]] = defaultdict(list)
    for key in lines:
        if key.kind is CounterKind.CPU:
            by_level[level_of(key.series)].append(key)
    own = by_level.get(Level.POD)
    if own:
        start, end = min(lines[k][0][0] for k in own), max(_sure_until(lines[k]) for k in own)
        grown = sum(_growth(lines[key], start, end) for key in own)
        others = (
            sum(_growth(lines[key], start, end) for key in keys)
            for level, keys in by_level.items()
            if level is not Level.POD
        )
        most = max(others, default=0.0)
        if most > HARDLY_SECONDS and grown < most * _WHOLE:
            del by_level[Level.POD]
    return by_level


def _sure_until(line: Points) -> float:
    """When the last sample is before a fall that may yet be taken back: of then growth is known."""
    seen = Line(0.0)
    for point in line:
        seen.see(*point)
    fell_at = seen.fell_at
    return line[-1][0] if fell_at is None else max(at for at, _ in line if at < fell_at)


def _growth(line: Points, start: float, end: float) -> float:
    """What a counter grew by between two times; after a reset, it grew from 0.

    Its first samples may be low ones of a dip: they are left out where many follow.
    """
    is_long = end - start > 2 * CLEAR_SECONDS
    since, seen, grown_from = start + CLEAR_SECONDS * is_long, Line(0.0), 0.0
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


def _is_sandbox(key: SeriesKey, labels: Labels) -> bool:
    """The pause container's own CPU: part of the pod's cgroup, of no container that counts.

    Where ``id`` is dropped, its image or name tells it from the pod's cgroup.
    """
    if key.kind is not CounterKind.CPU or label(labels, "container") not in {"", "POD"}:
        return False
    by_name = level_of(key.series) not in {Level.CONTAINER, Level.ALIAS}
    if by_name and key.series != POD_LEVEL:
        return key.series == f"{Level.NAMED_CONTAINER}POD"
    return key.series != POD_LEVEL or bool(labels.get("image") or labels.get("name"))


def merge_raw(
    samples: Samples,
    series: Iterable[RawSeries],
    uid_at: UidAt,
    container_of: Callable[[str, Points], str] | None = None,
) -> None:
    """Add raw samples of counters, all emitters of a counter merged in order of time.

    Args:
        samples: changed in place.
        series: raw samples.
        uid_at: which pod had a name when.
        container_of: whose a container is, by the name of its pod and its samples.
    """
    for labels, points in series:
        _, high = _KINDS[labels["__name__"]]
        uid, key = _counter(labels["__name__"], labels)
        if (labels.get("id", "")[:1] == "/" and not uid) or _is_sandbox(key, labels):
            continue
        name = labels.get(OTEL_POD) or label(labels, "pod")
        if key.by_id and not uid and container_of is not None:
            uid = container_of(name, points)
            if not uid:
                continue
        for at, value in points:
            if reason := implausible(value, 0, high):
                samples.rejected[Rejected(labels["__name__"], reason)] += 1
            elif owner := uid or uid_at(name, at):
                line = samples.raw.setdefault(owner, {}).setdefault(key, [])
                line.append((at, value))
    for counters in samples.raw.values():
        for line in counters.values():
            line.sort()
