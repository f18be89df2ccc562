"""The switches that decide what the simulated cluster is like."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

Endpoints = Literal[
    "cadvisor", "containers", "cri", "resource", "cadvisor+resource", "containers+resource", "otel"
]
"""What tells a node's CPU: cAdvisor with pod cgroups; cAdvisor with container series only; the
runtime's own statistics on cAdvisor's endpoint (PodAndContainerStatsFromCRI); the kubelet's
``/metrics/resource``; two of them side by side; OpenTelemetry's kubelet receiver."""


@dataclass(frozen=True, slots=True)
class NodeShape:
    """How a node's container runtime and kubelet name cgroups.

    `nested` stands for a kubelet below another cgroup, as in kind. With cgroup version 2 the
    kubelet has no container_memory_max_usage_bytes. `metrics` is what tells CPU: one after another,
    in equal parts of the period. `gpu_replicas` is in how many parts each of its GPUs is shared.
    """

    runtime: Literal["docker", "containerd", "cri-o"] = "containerd"
    driver: Literal["systemd", "cgroupfs"] = "systemd"
    nested: bool = False
    cgroup_version: Literal[1, 2] = 2
    metrics: tuple[Endpoints, ...] = ("cadvisor",)
    gpu_replicas: int = 1


PLAIN = (NodeShape(), NodeShape())
MIXED = (
    NodeShape("containerd", "systemd"),
    NodeShape("docker", "cgroupfs", cgroup_version=1),
    NodeShape("cri-o", "systemd"),
    NodeShape("containerd", "systemd", nested=True),
    NodeShape("containerd", "cgroupfs", cgroup_version=1),
    NodeShape("docker", "systemd", cgroup_version=1),
    NodeShape("docker", "cgroupfs", nested=True, cgroup_version=1),
)


@dataclass(frozen=True, slots=True)
class Features:
    """What happens in the cluster. One node is made for each entry of `nodes`.

    The switches after `nodes` change the monitoring set-up or what pods hold, so no preset turns
    them on. `second_job` scrapes kube-state-metrics for a while without honor_labels, beside the
    other job. `node_lost` lets the last node die; with `nodes_untold`, only its pods tell it: they
    are not ready. `volumes` adds to `claims` what tells of homes, which stay when pods go.
    """

    quick_restarts: bool = False
    container_restarts: bool = False
    month_crossers: bool = False
    short_pods: bool = False
    old_pods: bool = False
    ksm_restarted: bool = False
    ksm_sharded: bool = False
    ksm_doubled: bool = False
    hole: bool = False
    ksm_silent: bool = False
    cadvisor_silent: bool = False
    slow_pending: bool = False
    never_running: bool = False
    evicted: bool = False
    completed: bool = False
    sidecars: bool = False
    unannotated: bool = False
    odd_requests: bool = False
    gpus: bool = False
    claims: bool = False
    other_pods: bool = False
    odd_users: bool = False
    annotation_conflicts: bool = False
    node_reboot: bool = False
    nodes: tuple[NodeShape, ...] = PLAIN

    allowlist_missing: bool = False
    volumes: bool = False
    resized: bool = False
    honor_labels_off: bool = False
    pod_level_dropped: bool = False
    id_dropped: bool = False
    uid_dropped: bool = False
    kepler: bool = False
    native_sidecars: bool = False
    init_containers: bool = False
    pod_resources: bool = False
    accelerators: bool = False
    dcgm: bool = False
    dips: bool = False
    spikes: bool = False
    second_job: bool = False
    node_lost: bool = False
    nodes_untold: bool = False

    @classmethod
    def none(cls) -> Self:
        """A quiet cluster: two plain nodes, notebooks only, nothing unusual."""
        return cls()

    @classmethod
    def all(cls) -> Self:
        """Everything that can happen at the same time, on seven nodes of different make."""
        variants = (
            "resized",
            "volumes",
            "allowlist_missing",
            "honor_labels_off",
            "pod_level_dropped",
            "id_dropped",
            "uid_dropped",
            "kepler",
            "native_sidecars",
            "init_containers",
            "pod_resources",
            "accelerators",
            "dcgm",
            "dips",
            "spikes",
            "second_job",
            "node_lost",
            "nodes_untold",
        )
        names = [name for name in cls.__slots__ if name not in (*variants, "nodes")]
        switched: dict[str, Any] = dict.fromkeys(names, True)
        return cls(**switched, nodes=MIXED)

    def but(self, **changes: Any) -> Self:
        """The same with some switches changed, as in `Features.all().but(hole=False)`."""
        return replace(self, **changes)
