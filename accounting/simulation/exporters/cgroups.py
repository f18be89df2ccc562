"""Where a node keeps a pod's cgroups, and the kubelet's labels for them."""

from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.features import NodeShape

SCOPES = {"containerd": "cri-containerd", "docker": "docker", "cri-o": "crio"}
KIND_PREFIX = "/system.slice/docker-" + "5d" * 32 + ".scope"


def service_class(pod: SimulatedPod) -> str:
    """The pod's quality of service, in the kubelet's spelling."""
    figures = [(box.requests, box.limits) for box in pod.containers]
    if all(r.cpu and r.memory and (r.cpu, r.memory) == (x.cpu, x.memory) for r, x in figures):
        return "guaranteed"
    if any(r.cpu or r.memory or x.cpu or x.memory for r, x in figures):
        return "burstable"
    return "besteffort"


def pod_path(pod: SimulatedPod, shape: NodeShape) -> str:
    """The `id` of the pod's own cgroup."""
    level = service_class(pod)
    if shape.driver == "cgroupfs":
        top = "/docker/" + "5d" * 32 + "/kubelet/kubepods" if shape.nested else "/kubepods"
        middle = "" if level == "guaranteed" else f"/{level}"
        return f"{top}{middle}/pod{pod.uid}"
    prefix = "kubelet-kubepods" if shape.nested else "kubepods"
    top = (
        f"{KIND_PREFIX}/kubelet.slice/kubelet-kubepods.slice" if shape.nested else "/kubepods.slice"
    )
    uid = pod.uid.replace("-", "_")
    if level == "guaranteed":
        return f"{top}/{prefix}-pod{uid}.slice"
    return f"{top}/{prefix}-{level}.slice/{prefix}-{level}-pod{uid}.slice"


def container_path(pod: SimulatedPod, shape: NodeShape, container_id: str) -> str:
    """The `id` of one container's cgroup."""
    scope = SCOPES[shape.runtime]
    if shape.driver == "systemd":
        return f"{pod_path(pod, shape)}/{scope}-{container_id}.scope"
    leaf = f"{scope}-{container_id}" if shape.runtime == "cri-o" else container_id
    return f"{pod_path(pod, shape)}/{leaf}"


def alias(
    pod: SimulatedPod, shape: NodeShape, container: str, container_id: str, attempt: int
) -> str:
    """The `name` label: the bare id with containerd, `k8s_…` with docker and cri-o."""
    if shape.runtime == "containerd":
        return container_id
    return f"k8s_{container}_{pod.name}_{pod.namespace}_{pod.uid}_{attempt}"


def sandbox_label(shape: NodeShape) -> str:
    """The `container` label of the sandbox: containerd leaves it empty."""
    return "" if shape.runtime == "containerd" else "POD"
