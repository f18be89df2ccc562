"""What records must say, from the simulated cluster's own truth and the times it was scraped."""

from collections.abc import Iterator
from datetime import datetime
from math import ceil, inf
from typing import Any

from accounting.model.records import Held, Status
from accounting.simulation.exporters.emitters import Emitter
from accounting.simulation.judges.expectation import ExpectedPod, Reader
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster
from tests.exactness.polling import RULES, SITE, Written

MB = 2**20
GB = 2**30

Figures = dict[str, Any]


def expected(cluster: Cluster) -> dict[str, Figures]:
    """By uid, for every pod that a scrape saw running: what its last record says about it."""
    kubelets = {e.node: e for e in cluster.emitters if e.kind == "cadvisor"}
    return {
        one.pod.uid: _figures(cluster, one, kubelets[one.pod.node])
        for one in Reader(cluster).pods()
        if one.has_running_sample or one.completed_at is not None
    }


def shown(written: Written) -> dict[str, Figures]:
    """The same figures of the last record of each pod."""
    return {uid: {name: row[name] for name in _NAMES} for uid, row in written.pods.items()}


def differences(written: Written, cluster: Cluster) -> dict[str, Figures]:
    """By uid: field → (recorded, expected), of all that differs; empty if the records are right."""
    recorded, right = shown(written), expected(cluster)
    return {
        uid: {
            name: (recorded.get(uid, {}).get(name), right.get(uid, {}).get(name))
            for name in _NAMES
            if recorded.get(uid, {}).get(name) != right.get(uid, {}).get(name)
        }
        for uid in sorted(recorded.keys() | right.keys())
        if recorded.get(uid) != right.get(uid)
    }


def _figures(cluster: Cluster, one: ExpectedPod, kubelet: Emitter) -> Figures:
    pod = one.pod
    annotated = pod.annotated and not cluster.features.allowlist_missing
    vo = pod.owner.vo if annotated else RULES.default
    user = pod.user if annotated else ""
    held = Held.OWNER_UNKNOWN if cluster.features.allowlist_missing else Held.NO
    return {
        "site": SITE.name,
        "compute_service": SITE.compute_service,
        "cloud_type": SITE.cloud_type,
        "machine": pod.name,
        "user": user,
        "group": pod.primary_group or "" if annotated else "",
        "vo": vo,
        "fqan": pod.owner.fqan if annotated else f"/{RULES.default}",
        "vo_rule": "entitlement" if annotated else "default",
        "held": held.value,
        "image": pod.image,
        "flavor": pod.flavor if annotated else "",
        "start_at": pod.started,
        "cpu_seconds": None if one.cpu_seconds is None else int(one.cpu_seconds),
        "received_gb": _whole_gb(one.network_received),
        "sent_gb": _whole_gb(one.network_sent),
        "cpu_count": _cpu_count(pod),
        "memory_mb": _memory_mb(cluster, pod, kubelet),
        "disk_gb": ceil(sum(c.size for c in pod.claims) / GB) if pod.claims else None,
        "gpu_count": pod.gpus or None,
    }


_NAMES = (
    "site",
    "compute_service",
    "cloud_type",
    "machine",
    "user",
    "group",
    "vo",
    "fqan",
    "vo_rule",
    "held",
    "image",
    "flavor",
    "start_at",
    "cpu_seconds",
    "received_gb",
    "sent_gb",
    "cpu_count",
    "memory_mb",
    "disk_gb",
    "gpu_count",
)


def _whole_gb(count: int | None) -> int | None:
    return None if count is None else count // GB


def _cpu_count(pod: SimulatedPod) -> float | None:
    requests, limits = pod.requested("cpu"), pod.requested("cpu", limits=True)
    return round(requests or limits, 3) or SITE.default_cpu_count


def _memory_mb(cluster: Cluster, pod: SimulatedPod, kubelet: Emitter) -> int | None:
    """What was requested, else the limits, else the most that a scrape saw in use."""
    requests, limits = pod.requested("memory"), pod.requested("memory", limits=True)
    if requests or limits:
        return round((requests or limits) / MB)
    scrapes = kubelet.scrapes(
        cluster.timetable.start, cluster.timetable.end, cluster.interval_seconds
    )
    seen = [at / 1000 for at in scrapes if _is_listed(pod, at / 1000)]
    if cluster.features.pod_level_dropped:
        boxes = (*pod.containers, pod.sandbox)
        peak = max((box.working_set_at(at) for at in seen for box in boxes), default=None)
    else:
        peak = max((pod.working_set_at(at) for at in seen), default=None)
    return None if peak is None else round(peak / MB)


def _is_listed(pod: SimulatedPod, at: float) -> bool:
    return any(epoch.since <= at < epoch.until for epoch in pod.epochs)


def silences(cluster: Cluster) -> list[tuple[float, float]]:
    """When kube-state-metrics said nothing."""
    times = cluster.timetable
    return [gap for gap in (times.hole, times.ksm_silence) if gap]


def ends_in_a_silence(cluster: Cluster, pod: SimulatedPod) -> bool:
    """Whether no scrape came between a silence's begin and the pod's end."""
    return any(
        since <= pod.run_until < _next_scrape(cluster, pod, until)
        for since, until in silences(cluster)
    )


def _next_scrape(cluster: Cluster, pod: SimulatedPod, after: float) -> float:
    interval = cluster.interval_seconds
    speaking = [e for e in cluster.emitters if e.kind != "cadvisor" and e.covers(pod.uid)]
    times = [e.scrapes(after, after + 2 * interval, interval) for e in speaking]
    return min(line[0] for line in times if line) / 1000


def true_wall(cluster: Cluster, pod: SimulatedPod, until: float = inf) -> float:
    return pod.wall_seconds(min(until, cluster.timetable.end))


def walls(cluster: Cluster, written: Written) -> Iterator[tuple[SimulatedPod, float, float]]:
    """(pod, recorded wall seconds, true wall seconds)"""
    for uid, row in written.pods.items():
        pod = cluster.pods_by_uid[uid]
        yield pod, row["wall_seconds"], true_wall(cluster, pod)


def ended(cluster: Cluster) -> set[str]:
    """The pods that had ended for long enough that the last scrapes show it."""
    latest = cluster.timetable.end - 3 * cluster.interval_seconds
    return {pod.uid for pod in cluster.counted_pods if pod.run_until < latest}


def completed(written: Written) -> set[str]:
    return {uid for uid, row in written.pods.items() if row["status"] == Status.COMPLETED.value}


def unix(at: datetime) -> int:
    return int(at.timestamp())
