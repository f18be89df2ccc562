"""CPU, whatever tells it: cAdvisor, the runtime, the kubelet's own endpoint, OpenTelemetry."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accounting.simulation.exporters.cadvisor import parts
from accounting.simulation.exporters.emitters import GRACE_SECONDS
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features, NodeShape
from tests.exactness.expected import ends_in_a_silence, unix, walls
from tests.exactness.polling import Written, poll

START = datetime(2026, 3, 31, 22, 30, tzinfo=UTC)
END = datetime(2026, 4, 1, 0, 30, tzinfo=UTC)
INTERVAL = 30.0

Ledgers = Callable[[], str]

SHAPES = {
    "containers only": NodeShape(metrics=("containers",)),
    "resource endpoint alone": NodeShape(metrics=("resource",)),
    "resource endpoint beside cAdvisor": NodeShape(metrics=("cadvisor+resource",)),
    "resource endpoint beside containers": NodeShape(metrics=("containers+resource",)),
    "CRI statistics of containerd": NodeShape(metrics=("cri",)),
    "CRI statistics of CRI-O": NodeShape("cri-o", metrics=("cri",)),
    "OpenTelemetry": NodeShape(metrics=("otel",)),
    "cAdvisor, then CRI statistics": NodeShape(metrics=("cadvisor", "cri")),
    "cAdvisor, then the resource endpoint": NodeShape(metrics=("cadvisor", "resource")),
    "cAdvisor, then containers only": NodeShape(metrics=("cadvisor", "containers")),
    "the resource endpoint, then cAdvisor": NodeShape(metrics=("resource", "cadvisor")),
    "CRI statistics, then cAdvisor": NodeShape("cri-o", metrics=("cri", "cadvisor")),
    "cAdvisor, then OpenTelemetry": NodeShape(metrics=("cadvisor", "otel")),
    "both, then one": NodeShape("docker", "cgroupfs", metrics=("cadvisor+resource", "resource")),
    "there and back": NodeShape(metrics=("cadvisor", "resource", "cadvisor")),
}
WHOLE_POD = {"cadvisor", "resource", "otel"}
"""The endpoints with a counter of each pod as a whole."""
QUIET = Features.none().but(short_pods=True, sidecars=True, quick_restarts=True)
RESTARTING = QUIET.but(container_restarts=True)


def test_every_emitter_is_measured_alike_in_any_steps(tmp_path: Path, new_ledger: Ledgers) -> None:
    check_world(tmp_path, new_ledger, QUIET.but(nodes=tuple(SHAPES.values())), seed=11, pods=180)


@pytest.mark.parametrize("name", ["resource endpoint alone", "cAdvisor, then CRI statistics"])
def test_restarts_are_counted_through_a_switch(
    tmp_path: Path, new_ledger: Ledgers, name: str
) -> None:
    shape = SHAPES[name]
    check_world(tmp_path, new_ledger, RESTARTING.but(nodes=(shape, shape)), seed=5, pods=70)


def check_world(
    folder: Path,
    new_ledger: Ledgers,
    features: Features,
    *,
    seed: int,
    pods: int,
    also: Callable[[str, int, int], Written] | None = None,
) -> tuple[Cluster, Written]:
    """Poll a cluster of two hours in both engines and several steps, and hold it to the truth.

    ``also`` is another way to poll a Prometheus, by its address, from a time up to another.
    """
    cluster = Cluster.generate(
        seed, START, END, pods=pods, mean_life=2400, features=features, interval_seconds=INTERVAL
    )
    start, end = unix(START), unix(END)
    populate(cluster, folder / "prometheus")
    with (
        run_prometheus(folder / "prometheus") as prometheus,
        run_victoria_metrics(folder / "victoria") as victoria,
    ):
        import_history(cluster, victoria.url)
        once = poll(prometheus.url, new_ledger(), end)
        often = poll(prometheus.url, new_ledger(), *range(start + 60, end, 420), end)
        elsewhere = poll(victoria.url, new_ledger(), end, step=1200)
        otherwise = also(prometheus.url, start, end) if also else once
    check(cluster, once)
    assert cpu(often) == cpu(once)
    assert often == once
    assert elsewhere == once
    assert otherwise == once
    return cluster, once


def cpu(found: Written) -> dict[str, int | None]:
    return {uid: row["cpu_seconds"] for uid, row in found.pods.items()}


def check(cluster: Cluster, found: Written) -> None:
    wrong = {}
    for uid, seconds in cpu(found).items():
        pod = cluster.pods_by_uid[uid]
        low, high = bounds(cluster, pod)
        if not low <= (seconds or 0) <= high or (seconds is None and high > 0):
            wrong[uid] = (cluster.shapes[pod.node].metrics, pod.traits, low, seconds, high)
    assert wrong == {}
    for pod, wall, truth in walls(cluster, found):
        # It counts until the control plane notices that its node is lost.
        late = GRACE_SECONDS + 2 * INTERVAL if pod.ending == "lost" else 0.0
        if not ends_in_a_silence(cluster, pod):
            assert -1 - 2 * INTERVAL <= wall - truth <= late, (pod.traits, pod.ending)


def bounds(cluster: Cluster, pod: SimulatedPod) -> tuple[float, float]:
    """What may be recorded: up to what was used by the last scrape of the pod's node.

    Less are: the sandbox, of which containers know nothing; parts of seconds, one a container; a
    few scrapes' use where a container had restarted or ended before another emitter took over;
    runs that were over before the first scrape, where nothing counts the pod as a whole; two
    scrapes' use of a pod that ended so soon after its node had changed, or had rebooted
    (docs/measuring.md, CPU, 9).
    """
    kubelet = next(e for e in cluster.emitters if e.node == pod.node)
    scrapes = kubelet.scrapes(cluster.timetable.start, cluster.timetable.end, INTERVAL)
    seen = [at / 1000 for at in scrapes if any(e.since <= at / 1000 < e.until for e in pod.epochs)]
    if not seen:
        return 0.0, 0.0
    high = pod.cpu_at(seen[-1])
    count = sum(len(box.incarnations) for box in pod.containers)
    low = high - pod.sandbox.cpu_between(0, seen[-1]) - 1 - count
    metrics = cluster.shapes[pod.node].metrics
    if count > len(pod.containers) or any(box.finished for box in pod.containers):
        low -= (4 + len(metrics)) * INTERVAL * most_cores(pod)
    if len(pod.epochs) > 1:  # its node rebooted: what it used after the last scrape before
        low -= INTERVAL * most_cores(pod)
        if seen[-1] < pod.epochs[-1].since + 3 * INTERVAL:
            low -= 2 * INTERVAL * most_cores(pod)
    if ends_after_a_switch(cluster, pod, seen[-1]):
        low -= 2 * INTERVAL * most_cores(pod)
    if not counts_whole_pod(cluster, pod, seen):
        runs = ((box, run) for box in pod.containers for run in box.incarnations)
        low -= sum(box.cpu_between(r.since, r.until) for box, r in runs if r.until <= seen[0])
    return low, high


def ends_after_a_switch(cluster: Cluster, pod: SimulatedPod, last: float) -> bool:
    """Whether its last scrape came within three intervals after its node's emitter changed."""
    changes = (since for _, since, _ in parts(cluster, cluster.shape_of(pod)))
    return any(since <= last < since + 3 * INTERVAL for since in changes)


def counts_whole_pod(cluster: Cluster, pod: SimulatedPod, scrapes: Sequence[float]) -> bool:
    """Whether one of the scrapes had a counter of the whole pod."""
    return any(
        not WHOLE_POD.isdisjoint(endpoints.split("+"))
        for endpoints, since, until in parts(cluster, cluster.shape_of(pod))
        if any(since <= at < until for at in scrapes)
    )


def most_cores(pod: SimulatedPod) -> float:
    return sum(box.load.idle_cores + box.load.busy_cores for box in pod.containers)
