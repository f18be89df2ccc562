"""What a person asks to see a pod's samples."""

from accounting.measure.promql.ksm import RUNNING
from accounting.measure.promql.kubelet import CPU
from accounting.measure.promql.scope import Scope, quote


def of_pod(scope: Scope, uid: str) -> dict[str, str]:
    """What a person asks to see one pod's samples; by its uid, which names nobody.

    Args:
        scope: which pods count.
        uid: the pod's; of letters, digits and dashes.

    Returns:
        What it shows → an instant query, to be drawn over the pod's life.
    """
    ours = scope.state_place
    mine = scope.selector(ours, f"uid={quote(uid)}")
    path = uid.replace("-", "[-_]")
    cgroup = scope.selector(scope.usage_place, f'id=~".*pod{path}.*"')
    running = scope.selector(ours, f"uid={quote(uid)}", RUNNING)
    return {
        "It ran": f"kube_pod_status_phase{running} == 1",
        "Its start and end": f'{{__name__=~"kube_pod_(start|completion)_time",{mine[1:]}',
        "CPU seconds of its cgroups": f"max by (id) ({CPU}{cgroup})",
        "What it asked for": f"kube_pod_container_resource_requests{mine}",
        "Whether the source spoke": f"count(kube_namespace_created{scope.selector(ours)})",
    }
