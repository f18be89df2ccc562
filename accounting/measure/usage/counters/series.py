"""What pods used: each series is one counter of one pod (M3, M4). Pure."""

from collections.abc import Callable, Iterable

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
from accounting.model.pods import (
    POD_LEVEL,
    CounterKind,
    Level,
    SeriesKey,
    level_of,
)


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
