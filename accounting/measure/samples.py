"""What a window's answers say, in the domain's words: labels read, nonsense set aside. Pure.

A row of kube-state-metrics' is ``(labels, value)``, one of cAdvisor's a ``UsageRow``; a raw series
is ``(labels, [(time, value), …])``. A value that cannot be true (NaN, negative, a start in the
future) is not guessed at: it is left out and counted in ``Samples.rejected``, so that the operator
is told.
"""

import math
import re
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol

from accounting.measure.promql import (
    CONFLICTS,
    CPU,
    FLAVOR,
    GROUP,
    OTEL_CONTAINER_CPU,
    OTEL_POD,
    OTEL_POD_CPU,
    POD_CPU,
    RECEIVED,
    SENT,
    USER,
)
from accounting.model.pods import (
    POD_LEVEL,
    CounterKind,
    Implausible,
    Level,
    Owner,
    Resizes,
    Resources,
    SeriesKey,
    level_of,
)
from accounting.model.time import EARLIEST_AT

Labels = Mapping[str, str]
Row = tuple[Labels, float]
Points = Sequence[tuple[float, float]]
RawSeries = tuple[Labels, Points]


class UsageLabels(Protocol):
    """What is read of the labels of a cgroup's series; empty text where there is none."""

    @property
    def id(self) -> str:
        """The cgroup's path."""

    @property
    def interface(self) -> str:
        """Of a network's series."""


class UsageRow(Protocol):
    """What a cgroup's series said, as the answer writes it: tens of thousands are read at once."""

    @property
    def metric(self) -> UsageLabels:
        """Its labels."""

    @property
    def value(self) -> tuple[float, float]:
        """(time of the question, value)."""

    @property
    def pod(self) -> str:
        """Its pod's name; where honor_labels is off, from its ``exported_`` spelling."""


_HEX = "[0-9a-f]"
_UID = rf"pod({_HEX}{{8}}(?:[-_]{_HEX}{{4}}){{3}}[-_]{_HEX}{{12}})"
# containerd with cgroupfs under a systemd kubelet writes …pod<uid>.slice:cri-containerd:<id>.
_POD_IN_CGROUP = re.compile(rf"{_UID}(?:\.slice)?([/:].*)?$")
_CONTAINER_ID = re.compile(rf"({_HEX}{{64}})")

# No pod has used more than this: a mixed-up series, not a notebook.
MAX_CORES = 4096
MAX_BYTES = 2.0**60
# The largest machines of 2026 have 960 hardware threads.
NODE_CORES = 1024
_LONG_INTERVAL_SECONDS = 300


class Sighting(NamedTuple):
    """One pod's phase series in one window; the running times are None if it never ran in it."""

    uid: str
    namespace: str
    name: str
    first_running_at: float | None
    last_running_at: float | None
    last_listed_at: float


class Rejected(NamedTuple):
    """A value that cannot be true."""

    metric: str
    reason: Implausible


@dataclass(slots=True)
class Times:
    """When a pod was created, started and completed; None where the source does not say."""

    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None


SeriesNames = dict[tuple[str, str, str], tuple[str, SeriesKey]]
"""(metric, ``id``, interface) → (pod uid, which of its counters)."""

UidAt = Callable[[str, float], str]
"""(pod name, time) → uid of the pod that had the name then, or empty text."""


@dataclass(slots=True)
class Samples:
    """Everything that one window says, by pod uid. Times are Unix seconds.

    Attributes:
        sightings: phases.
        times: creation, start and completion.
        owners: what the hub's annotations say.
        resources: requests and limits: cores, bytes, accelerators.
        resizes: times at which they changed, and what they were from then on.
        images: image names.
        claims: size of all mounted volumes, bytes.
        memory_peaks: highest working set, bytes.
        readings: each counter's last value: CPU in core-seconds, network in bytes.
        raw: (time, value) of all samples, in order of time, of counters that fell or are doubtful.
        known_series: ``series`` of the window before. Parsing cgroup paths is most of the work,
            and the paths are the same from window to window.
        series: which pod and counter a series belongs to.
        orphans: uids that cAdvisor sees although kube-state-metrics does not.
        rejected: how many values were set aside, by metric and reason.
    """

    sightings: dict[str, Sighting] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    resources: dict[str, Resources] = field(default_factory=dict)
    resizes: dict[str, Resizes] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    memory_peaks: dict[str, float] = field(default_factory=dict)
    readings: dict[str, dict[SeriesKey, float]] = field(default_factory=dict)
    raw: dict[str, dict[SeriesKey, list[tuple[float, float]]]] = field(default_factory=dict)
    known_series: SeriesNames = field(default_factory=dict)
    series: SeriesNames = field(default_factory=dict)
    orphans: set[str] = field(default_factory=set)
    rejected: Tally[Rejected] = field(default_factory=Tally)

    @property
    def described(self) -> set[str]:
        """The uids of the pods that are described by anything but phases and usage."""
        said = (
            self.times,
            self.owners,
            self.resources,
            self.resizes,
            self.images,
            self.claims,
        )
        return set().union(*said)


def label(labels: Labels, name: str) -> str:
    """A label's value, where honor_labels is off from its ``exported_`` spelling."""
    return labels.get(f"exported_{name}") or labels.get(name, "")


class Cgroup(NamedTuple):
    """Whose a cgroup is: a pod's uid, and ``pod`` for its own or a container's id (M3, M4)."""

    uid: str
    level: str


_NOBODYS = Cgroup("", POD_LEVEL)


def cgroup(path: str) -> Cgroup:
    """Read a cgroup's path, however it is nested.

    systemd writes the uid with underscores; kubelets inside another cgroup (kind) put more in
    front.
    """
    found = _POD_IN_CGROUP.search(path)
    if found is None:
        return _NOBODYS
    uid, inner = found[1].replace("_", "-"), found[2]
    if not inner:
        return Cgroup(uid, POD_LEVEL)
    container = _CONTAINER_ID.search(inner)
    return Cgroup(uid, container[1] if container else inner.strip("/:"))


def implausible(value: float, low: float, high: float) -> Implausible | None:
    """Why a value cannot be true; None if it can."""
    if math.isnan(value):
        return Implausible.NOT_A_NUMBER
    if value < low:
        return Implausible.NEGATIVE if value < 0 else Implausible.TOO_SMALL
    return Implausible.TOO_LARGE if value > high else None


def merge_sightings(samples: Samples, sightings: Iterable[Sighting]) -> None:
    """Add the phase series; several emitters of one pod become one sighting (M4)."""
    for new in sightings:
        if not new.uid:
            samples.rejected[Rejected("kube_pod_status_phase", Implausible.NO_UID)] += 1
            continue
        old = samples.sightings.get(new.uid)
        samples.sightings[new.uid] = new if old is None else _joined(old, new)


def _joined(old: Sighting, new: Sighting) -> Sighting:
    firsts = [at for at in (old.first_running_at, new.first_running_at) if at is not None]
    lasts = [at for at in (old.last_running_at, new.last_running_at) if at is not None]
    return new._replace(
        first_running_at=min(firsts, default=None),
        last_running_at=max(lasts, default=None),
        last_listed_at=max(old.last_listed_at, new.last_listed_at),
    )


_TIME_FIELDS = {
    "kube_pod_created": "created_at",
    "kube_pod_start_time": "started_at",
    "kube_pod_completion_time": "completed_at",
}


def merge_times(samples: Samples, rows: Iterable[Row], latest_at: float) -> None:
    """Add start, creation and completion times, up to ``latest_at``."""
    for labels, value in rows:
        metric = labels.get("__name__", "")
        if reason := implausible(value, EARLIEST_AT, latest_at):
            samples.rejected[Rejected(metric, reason)] += 1
        elif uid := labels.get("uid"):
            setattr(samples.times.setdefault(uid, Times()), _TIME_FIELDS[metric], value)
        else:
            samples.rejected[Rejected(metric, Implausible.NO_UID)] += 1


def owner_of(labels: Labels) -> Owner:
    """What the annotations say, under whichever spelling (M11)."""

    def first(name: str) -> str:
        spellings = (name, *(name + suffix for suffix in CONFLICTS))
        return next((text for s in spellings if (text := labels.get(s, "").strip())), "")

    return Owner(first(USER), first(GROUP), first(FLAVOR))


def merge_resources(samples: Samples, rows: Iterable[Row]) -> None:
    """Add requests and limits; a request of zero reserves nothing and counts as none."""
    found: dict[str, dict[tuple[bool, str], float]] = defaultdict(dict)
    for labels, value in rows:
        metric = labels["__name__"]
        resource = labels["resource"]
        if reason := implausible(value, 0, MAX_BYTES if resource == "memory" else MAX_CORES):
            samples.rejected[Rejected(metric, reason)] += 1
        elif value > 0 and "uid" in labels:
            found[labels["uid"]][metric.endswith("requests"), resource] = value
    for uid, amounts in found.items():
        known = samples.resources.get(uid)
        new = _resources(amounts)
        samples.resources[uid] = new if known is None else _completed(known, new)


def merge_resizes(samples: Samples, series: Iterable[RawSeries]) -> None:
    """Add the sizes of pods that were resized: the first one, and each that followed."""
    said: dict[str, list[tuple[float, str, tuple[bool, str], float]]] = defaultdict(list)
    for labels, points in series:
        of = labels["__name__"].endswith("requests"), labels["resource"]
        container = label(labels, "container")
        high = MAX_BYTES if of[1] == "memory" else MAX_CORES
        said[labels.get("uid", "")] += [
            (at, container, of, value)
            for at, value in points
            if implausible(value, 0, high) is None
        ]
    for uid, sizes in said.items():
        if steps := _steps(sorted(sizes)):
            (_, first), *resizes = steps
            samples.resources[uid] = first
            samples.resizes[uid] = tuple(resizes)


def _steps(
    points: Sequence[tuple[float, str, tuple[bool, str], float]],
) -> list[tuple[float, Resources]]:
    """What all containers asked for together, at each time at which that changed."""
    current: dict[tuple[bool, str], dict[str, float]] = defaultdict(dict)
    steps: list[tuple[float, Resources]] = []
    for at, group in groupby(points, key=itemgetter(0)):
        for _, container, of, value in group:
            current[of][container] = value
        sums = {of: sum(each.values()) for of, each in current.items()}
        size = _resources({of: amount for of, amount in sums.items() if amount > 0})
        if not steps or steps[-1][1] != size:
            steps.append((at, size))
    return steps


def _completed(known: Resources, new: Resources) -> Resources:
    return Resources(
        *(
            new_value if value in {None, ""} else value
            for value, new_value in zip(astuple(known), astuple(new), strict=True)
        )
    )


def _resources(amounts: Mapping[tuple[bool, str], float]) -> Resources:
    gpus = sorted(
        (name, n)
        for (requested, name), n in amounts.items()
        if requested and name not in {"cpu", "memory"}
    )
    return Resources(
        cpu_request=amounts.get((True, "cpu")),
        cpu_limit=amounts.get((False, "cpu")),
        memory_request_bytes=amounts.get((True, "memory")),
        memory_limit_bytes=amounts.get((False, "memory")),
        gpu_count=sum(n for _, n in gpus) if gpus else None,
        gpu_resource=";".join(name for name, _ in gpus),
    )


def merge_claims(samples: Samples, mounts: Iterable[Row], sizes: Iterable[Row]) -> None:
    """Add the bytes of each pod's volume claims; a claim of unknown size leaves them unknown."""
    bytes_of: dict[str, float] = {}
    for labels, value in sizes:
        if reason := implausible(value, 0, MAX_BYTES):
            samples.rejected[Rejected("kube_persistentvolumeclaim", reason)] += 1
        else:
            bytes_of[labels["persistentvolumeclaim"]] = value
    mounted: dict[str, list[float | None]] = defaultdict(list)
    for labels, _ in mounts:
        mounted[labels.get("uid", "")].append(bytes_of.get(labels["persistentvolumeclaim"]))
    for uid, known in mounted.items():
        if None not in known:
            samples.claims[uid] = sum(size for size in known if size is not None)


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
    level = path or POD_LEVEL
    if metric == POD_CPU:
        level = Level.NAMED_POD
    elif kind is CounterKind.CPU and not path and (container := label(labels, "container")):
        level = labels.get("name") or f"{Level.NAMED_CONTAINER}{container}"
    return "", SeriesKey(kind, f"{level}/{interface}" if interface else level)


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


def set_aside_spikes(samples: Samples) -> None:
    """Leave out raw samples of CPU that no node can have reached since the sample before."""
    for lines in samples.raw.values():
        for key, points in lines.items():
            if key.kind is not CounterKind.CPU:
                continue
            kept: list[tuple[float, float]] = []
            for at, value in points:
                if kept and value - kept[-1][1] > most_growth(at - kept[-1][0]):
                    samples.rejected[Rejected(CPU, Implausible.TOO_LARGE)] += 1
                else:
                    kept.append((at, value))
            lines[key] = kept


def most_growth(seconds: float) -> float:
    """Core-seconds that the largest node can use in a time, and one more scrape interval."""
    return NODE_CORES * (seconds + _LONG_INTERVAL_SECONDS)


def keep_one_level(samples: Samples, tolerance_seconds: float) -> None:
    """Of the samples of CPU, keep at any time those of the best level that speaks (M4).

    A level counts from when all better ones have been silent for longer than ``tolerance_seconds``.
    Its earlier samples tell nothing new.
    """
    for lines in samples.raw.values():
        by_level: dict[Level, list[SeriesKey]] = defaultdict(list)
        for key in lines:
            if key.kind is CounterKind.CPU:
                by_level[level_of(key.series)].append(key)
        known_until = -math.inf
        for level in (level for level in Level if level in by_level):
            keys = by_level[level]
            last = max(lines[key][-1][0] for key in keys)
            if last <= known_until + tolerance_seconds:
                for key in keys:
                    del lines[key]
                continue
            for key in keys:
                lines[key] = [point for point in lines[key] if point[0] > known_until]
                if not lines[key]:
                    del lines[key]
            known_until = last


def _is_sandbox(key: SeriesKey, labels: Labels) -> bool:
    """The pause container's own CPU: part of the pod's cgroup, of no container that counts.

    Where ``id`` is dropped, its image or name tells it from the pod's cgroup.
    """
    if key.kind is not CounterKind.CPU or label(labels, "container") not in {"", "POD"}:
        return False
    if level_of(key.series) is not Level.CONTAINER and key.series != POD_LEVEL:
        return key.series == f"{Level.NAMED_CONTAINER}POD"
    return key.series != POD_LEVEL or bool(labels.get("image") or labels.get("name"))


def merge_raw(samples: Samples, series: Iterable[RawSeries], uid_at: UidAt) -> None:
    """Add raw samples of counters, all emitters of a counter merged in order of time."""
    for labels, points in series:
        _, high = _KINDS[labels["__name__"]]
        uid, key = _counter(labels["__name__"], labels)
        if (labels.get("id", "")[:1] == "/" and not uid) or _is_sandbox(key, labels):
            continue
        name = labels.get(OTEL_POD) or label(labels, "pod")
        for at, value in points:
            if reason := implausible(value, 0, high):
                samples.rejected[Rejected(labels["__name__"], reason)] += 1
            elif owner := uid or uid_at(name, at):
                line = samples.raw.setdefault(owner, {}).setdefault(key, [])
                line.append((at, value))
    for counters in samples.raw.values():
        for line in counters.values():
            line.sort()
