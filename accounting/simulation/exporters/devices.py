"""What nodes' labels and DCGM say of accelerators."""

from collections.abc import Iterator

from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series, Span
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster

ENGINE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
NODE_LABELS = "kube_node_labels"
FAMILIES = (NODE_LABELS, ENGINE, ENERGY)

PRODUCT = "NVIDIA-A100-SXM4-40GB"
BUSY = 0.5
"""How busy each device is, 0 to 1."""
WATTS = 300.0
_COUNTED_BEFORE = 7e9
"""Millijoules that a device had taken before its pod came."""


def node_series(cluster: Cluster) -> Iterator[Series]:
    """The labels of NVIDIA's feature discovery, as kube-state-metrics shows them."""
    if not cluster.features.accelerators:
        return
    since, until = cluster.timetable.start, cluster.timetable.end
    for node, shape in cluster.shapes.items():
        product = PRODUCT if shape.gpu_replicas == 1 else f"{PRODUCT}-SHARED"
        labels: Labels = (
            ("node", node),
            ("label_nvidia_com_gpu_product", product),
            ("label_nvidia_com_gpu_replicas", str(shape.gpu_replicas)),
        )
        yield Series.steady(NODE_LABELS, node, labels, since, until)


def pod_series(cluster: Cluster, pod: SimulatedPod) -> Iterator[Series]:
    """DCGM's of the NVIDIA device that a pod holds; of a MIG slice there is no energy."""
    resource = next((name for name in pod.devices if name.startswith("nvidia_com_")), "")
    if not cluster.features.dcgm or not resource or pod.running_from is None:
        return
    labels: Labels = (
        ("namespace", pod.namespace),
        ("pod", pod.name),
        ("pod_uid", pod.uid),
        ("UUID", f"GPU-{pod.uid}"),
        ("modelName", "NVIDIA A100-SXM4-40GB"),
    )
    if "_mig_" in resource:
        labels = (*labels, ("GPU_I_PROFILE", "1g.5gb"), ("GPU_I_ID", "7"))
    begin, end = pod.running_from, pod.run_until
    yield Series.steady(ENGINE, pod.node, labels, begin, end, value=f"{BUSY}")
    if "_mig_" not in resource:
        span = Span(begin, end, lambda at: f"{_COUNTED_BEFORE + (at - begin) * WATTS * 1000:.0f}")
        yield Series(ENERGY, pod.node, labels, (span,))
