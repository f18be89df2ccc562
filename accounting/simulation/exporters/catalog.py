"""Every series of a cluster, by family, for a period."""

from collections.abc import Collection, Iterator

from accounting.simulation.exporters import cadvisor, devices, kepler, state_metrics, volumes
from accounting.simulation.exporters.series import Series
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster

FAMILIES = (
    *state_metrics.FAMILIES,
    *cadvisor.FAMILIES,
    *kepler.FAMILIES,
    *devices.FAMILIES,
    *volumes.FAMILIES,
)
"""All family names, in the order in which they are written."""

LEAN_FAMILIES = frozenset(FAMILIES) - {
    "kube_namespace_created",
    "kube_namespace_status_phase",
    "kube_pod_labels",
}
"""Without what accounting reads for no figure."""


def state_metrics_series(cluster: Cluster, since: float, until: float) -> Iterator[Series]:
    """What kube-state-metrics has to say in [since, until), whoever of its instances says it."""
    yield from state_metrics.cluster_series(cluster)
    yield from volumes.claim_series(cluster)
    yield from devices.node_series(cluster)
    for pod in cluster.pods:
        if pod.created < until and pod.listed_until > since:
            yield from state_metrics.pod_series(cluster, pod)


def cadvisor_series(
    cluster: Cluster, since: float, until: float, node: str | None = None
) -> Iterator[Series]:
    """What the kubelet of the node (or of all nodes) has to say in [since, until)."""
    for name in cluster.shapes if node is None else (node,):
        yield from cadvisor.node_series(cluster, name)
        yield from volumes.node_series(cluster, name)
    for pod in cluster.pods:
        if _ran(pod, since, until) and (node is None or pod.node == node):
            yield from cadvisor.pod_series(cluster, pod)
            yield from devices.pod_series(cluster, pod)


def kepler_series(
    cluster: Cluster, since: float, until: float, node: str | None = None
) -> Iterator[Series]:
    """What the Kepler of the node (or of all nodes) has to say in [since, until)."""
    for pod in cluster.pods:
        late = since - cluster.interval_seconds  # those that have ended are told once more
        if _ran(pod, late, until) and (node is None or pod.node == node):
            yield from kepler.pod_series(cluster, pod)


def by_family(
    cluster: Cluster, since: float, until: float, families: Collection[str] | None = None
) -> dict[str, list[Series]]:
    """All series that may have samples in [since, until), grouped by family in writing order."""
    wanted = FAMILIES if families is None else [name for name in FAMILIES if name in families]
    grouped: dict[str, list[Series]] = {name: [] for name in wanted}
    for series in (
        *state_metrics_series(cluster, since, until),
        *cadvisor_series(cluster, since, until),
        *kepler_series(cluster, since, until),
    ):
        if series.family in grouped:
            grouped[series.family].append(series)
    return grouped


def _ran(pod: SimulatedPod, since: float, until: float) -> bool:
    begin = pod.running_from
    return begin is not None and begin < until and pod.run_until > since
