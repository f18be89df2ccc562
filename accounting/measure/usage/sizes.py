"""What pods asked for, and when that changed (M10). Pure."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from accounting.measure.promql.kubelet import MEMORY_LIMIT, PERIOD, QUOTA
from accounting.measure.usage.cgroups import cgroup
from accounting.measure.usage.samples import (
    MAX_BYTES,
    MAX_CORES,
    Asks,
    Labels,
    Of,
    Part,
    Points,
    RawSeries,
    Rejected,
    Row,
    Samples,
    UidAt,
    UsageRow,
    implausible,
    label,
)
from accounting.model.pods import Resources

SOON_SECONDS = 300.0
"""The figure of a whole pod may be scraped this much later than its containers', and counts from
the start. One that comes later was not scraped before, and counts from then on. One from before
the pod ran counts if it is no older: polls of any length look back so far."""

Sidecars = AbstractSet[tuple[str, str]]
"""(uid, container) of native sidecars."""


def merge_resources(
    samples: Samples,
    rows: Iterable[Row],
    sidecars: Sidecars = frozenset(),
    uid_of: Callable[[Labels], str] = lambda labels: labels.get("uid", ""),
) -> None:
    """Add requests and limits; a request of zero reserves nothing and counts as none."""
    changed = set()
    for labels, value in rows:
        metric, resource = labels["__name__"], labels["resource"]
        if reason := implausible(value, 0, _high(resource)):
            samples.rejected[Rejected(metric, reason)] += 1
        elif value > 0 and (uid := uid_of(labels)):
            asked = samples.asks.setdefault(uid, {}).setdefault(_of(metric, resource), {})
            asked[_asking(labels, sidecars)] = value
            changed.add(uid)
    for uid in changed:
        samples.resources[uid] = _resources(_effective(samples.asks[uid]))


def merge_cgroup_limits(samples: Samples, rows: Iterable[UsageRow], resource: str) -> None:
    """Add what pods' own cgroups are limited to (``spec.resources``), where nobody else says."""
    for row in rows:
        uid, value = cgroup(row.metric.id).uid, row.value[1]
        if uid and value > 0 and implausible(value, 0, _high(resource)) is None:
            asks = samples.asks.setdefault(uid, {})
            if (False, resource) not in asks:
                asks[False, resource] = {(Part.POD, ""): value}
                samples.resources[uid] = _resources(_effective(asks))


def cgroup_limits(series: Iterable[RawSeries], told: Sequence[RawSeries]) -> list[RawSeries]:
    """Raw limits of pods' own cgroups, in kube-scheduler's words, where nobody else says.

    0 stands for none.

    Args:
        series: what cAdvisor says of quotas, periods and memory.
        told: what others say of the same pods.
    """
    others = {_place(labels) for labels, _ in told if "_limit" in labels["__name__"]}
    said: dict[tuple[str, str], dict[str, Points]] = defaultdict(dict)
    for labels, points in series:
        uid, metric = cgroup(labels.get("id", "")).uid, labels["__name__"]
        resource = "memory" if metric == MEMORY_LIMIT else "cpu"
        if uid and (label(labels, "pod"), resource) not in others:
            said[uid, resource][metric] = [*said[uid, resource].get(metric, ()), *points]
    return [
        ({"__name__": "kube_pod_resource_limit", "uid": uid, "resource": resource}, points)
        for (uid, resource), metrics in said.items()
        if (points := metrics.get(MEMORY_LIMIT) or _cores(metrics))
    ]


def _place(labels: Labels) -> tuple[str, str]:
    return label(labels, "pod"), labels["resource"]


def _cores(metrics: Mapping[str, Points]) -> Points:
    """Cores: each quota, divided by its period. A period without a quota says: no limit (0)."""
    quotas = dict(metrics.get(QUOTA, ()))
    return [(at, quotas.get(at, 0.0) / period) for at, period in metrics.get(PERIOD, ()) if period]


def merge_resizes(
    samples: Samples,
    series: Iterable[RawSeries],
    running: Mapping[str, float],
    sidecars: Sidecars,
    uid_at: UidAt,
    *,
    since: float,
) -> None:
    """Add the sizes of some pods: the first one, and each that followed.

    Args:
        samples: gets them.
        series: what is said of the pods' sizes, and perhaps of others'.
        running: since when the pods were seen running, by uid.
        sidecars: which init containers run on.
        uid_at: whose a pod's name was when, for what names pods only.
        since: when all of them are told from; of the whole pod's some may be older.
    """
    said: dict[str, list[_Point]] = defaultdict(list)
    for labels, points in series:
        metric, resource = labels["__name__"], labels["resource"]
        who = _asking(labels, sidecars)
        for at, value in points:
            uid = labels.get("uid") or uid_at(label(labels, "pod"), at)
            if uid in running and implausible(value, 0, _high(resource)) is None:
                of_pod = said[uid]
                is_old = who[0] is Part.POD and at < running[uid] - SOON_SECONDS
                if not is_old:
                    of_pod.append(_Point(at, who, _of(metric, resource), value))
    for uid, points_of_pod in said.items():
        if not points_of_pod:
            samples.resources.pop(uid, None)
            continue
        (_, first), *resizes = _steps(points_of_pod, max(running[uid], since))
        samples.resources[uid] = first
        samples.resizes[uid] = tuple(resizes)


class _Point(NamedTuple):
    at: float
    who: tuple[Part, str]
    of: Of
    value: float


def _steps(points: Sequence[_Point], begun_at: float) -> list[tuple[float, Resources]]:
    """What a pod asked for, at each time at which that changed.

    Args:
        points: what was said.
        begun_at: from when on all who tell of it are read.
    """
    in_time = sorted(points, key=itemgetter(0))
    soon = max(in_time[0].at, begun_at) + SOON_SECONDS
    current, parts = _said_first(point for point in in_time if point.at <= soon)
    whole = {of: soon for of, asked in current.items() if (Part.POD, "") in asked}
    told: dict[Of, list[float]] = defaultdict(list)
    for at, who, of, _ in in_time:
        if who[0] is Part.POD:
            told[of].append(at)
    end = in_time[-1].at
    steps: list[tuple[float, Resources]] = []
    for at, group in groupby(in_time, key=itemgetter(0)):
        for _, who, of, value in group:
            if who[0] is Part.POD:
                whole[of] = max(at, whole.get(of, at))
                current[of] = {who: value}
                continue
            has_changed = parts[of].get(who, value) != value
            parts[of][who] = value
            # The whole pod's figure is from before the change: from here on, the parts count.
            if of not in whole or (has_changed and _is_silent(told[of], whole[of], at, end)):
                whole.pop(of, None)
                current[of] = dict(parts[of])
        size = _resources(_effective(current))
        if not steps or steps[-1][1] != size:
            steps.append((at, size))
    return steps


def _said_first(in_time: Iterable[_Point]) -> tuple[Asks, Asks]:
    """What counts at first, and what the containers ask for.

    Who tells of a pod is scraped one after another: what each says first is no change.
    """
    whole: Asks = {}
    parts: Asks = defaultdict(dict)
    for _, who, of, value in in_time:
        if who[0] is Part.POD:
            whole.setdefault(of, {who: value})
        else:
            parts[of].setdefault(who, value)
    counts: Asks = defaultdict(dict, {of: dict(asked) for of, asked in parts.items()})
    return counts | whole, parts


def _is_silent(told: Sequence[float], last: float, at: float, end: float) -> bool:
    """Whether nobody spoke for long before a time, or nobody does soon after it.

    Args:
        told: when somebody spoke, in order.
        last: when last before, or until when silence is none.
        at: that time.
        end: until when it would be known.
    """
    following = bisect_right(told, at)
    spoken_at = told[following] if following < len(told) else end
    return max(at - last, spoken_at - at) > SOON_SECONDS


def _asking(labels: Labels, sidecars: Sidecars) -> tuple[Part, str]:
    metric, container = labels["__name__"], label(labels, "container")
    if metric.startswith("kube_pod_resource_"):
        return Part.POD, ""
    if not metric.startswith("kube_pod_init_"):
        return Part.CONTAINER, container
    is_sidecar = (labels.get("uid", ""), container) in sidecars
    return Part.SIDECAR if is_sidecar else Part.INIT, container


def _of(metric: str, resource: str) -> Of:
    return "_request" in metric, resource


def _high(resource: str) -> float:
    return MAX_BYTES if resource == "memory" else MAX_CORES


def _effective(asks: Asks) -> dict[Of, float]:
    """What Kubernetes reserves for a pod: ``PodRequests`` of k8s.io/component-helpers/resource.

    Containers and native sidecars run together; each other init container runs beside those
    sidecars only that begin before it, which no metric tells: it is taken alone.
    """
    effective = {}
    for of, asked in asks.items():
        by_part: dict[Part, list[float]] = {part: [] for part in Part}
        for (part, _), value in asked.items():
            by_part[part].append(value)
        together = sum(by_part[Part.CONTAINER]) + sum(by_part[Part.SIDECAR])
        inits = max(by_part[Part.INIT], default=0.0)
        amount = max(by_part[Part.POD], default=max(together, inits))
        if amount > 0:
            effective[of] = amount
    return effective


def _resources(amounts: Mapping[tuple[bool, str], float]) -> Resources:
    # Kubernetes takes a request of a device only if its limit is the same: either tells it.
    others = {name: n for (_, name), n in amounts.items() if name not in {"cpu", "memory"}}
    return Resources(
        cpu_request=amounts.get((True, "cpu")),
        cpu_limit=amounts.get((False, "cpu")),
        memory_request_bytes=amounts.get((True, "memory")),
        memory_limit_bytes=amounts.get((False, "memory")),
        accelerators=tuple(sorted(others.items())),
    )
