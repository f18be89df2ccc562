"""What is told of home volumes: by kube-state-metrics, kubelets and a directory-size exporter."""

from collections.abc import Iterator
from math import inf

from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series, Span
from accounting.simulation.judges.volumes import SimulatedVolume
from accounting.simulation.world.cluster import Cluster

CLAIM_FAMILIES = ("kube_persistentvolumeclaim_created", "kube_persistentvolumeclaim_annotations")
NODE_FAMILIES = (
    "kubelet_volume_stats_used_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "dirsize_total_size_bytes",
)
FAMILIES = (*CLAIM_FAMILIES, *NODE_FAMILIES)
SHARE = 10 * 2**40
"""Bytes of the share that some homes are folders of."""


def claim_series(cluster: Cluster) -> Iterator[Series]:
    """When claims were made, and whose they say they are."""
    for volume in cluster.volumes:
        name, since = volume.claim.name, volume.created
        own = _labels(volume)
        made = f"{since:.0f}"
        yield Series.steady("kube_persistentvolumeclaim_created", name, own, since, value=made)
        if volume.is_annotated and not cluster.features.allowlist_missing:
            labels = (*own, ("annotation_hub_jupyter_org_username", volume.owner.user))
            yield Series.steady("kube_persistentvolumeclaim_annotations", name, labels, since)


def node_series(cluster: Cluster, node: str) -> Iterator[Series]:
    """What the kubelet tells of volumes while they are mounted; the first node has the exporter."""
    for volume in cluster.volumes:
        spans = [(since, until) for pod, since, until in volume.mounts if pod.node == node]
        if spans and volume.medium != "silent":
            yield from _mounted(volume, node, spans)
        if volume.medium == "share" and node == next(iter(cluster.shapes)):
            labels: Labels = (("namespace", volume.namespace), ("directory", volume.claim.name))
            yield Series(
                "dirsize_total_size_bytes", node, labels, (_used(volume, volume.created, inf),)
            )


def _mounted(
    volume: SimulatedVolume, node: str, spans: list[tuple[float, float]]
) -> Iterator[Series]:
    own = _labels(volume)
    used, capacity = NODE_FAMILIES[:2]
    if volume.medium == "share":
        told = tuple(Span(*span, str(SHARE // 3)) for span in spans)
        size = SHARE
    else:
        told = tuple(_used(volume, *span) for span in spans)
        size = volume.claim.size * 98 // 100
    yield Series(used, node, own, told)
    yield Series(capacity, node, own, tuple(Span(*span, str(size)) for span in spans))


def _used(volume: SimulatedVolume, since: float, until: float) -> Span:
    return Span(since, until, lambda at: str(volume.used_at(at)))


def _labels(volume: SimulatedVolume) -> Labels:
    return (("namespace", volume.namespace), ("persistentvolumeclaim", volume.claim.name))
