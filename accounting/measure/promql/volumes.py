"""Queries about home volumes: claims and who mounts them, and what is used of them.

Two questions a day's part: all of a namespace's claims are wanted, and each metric has one row or
a few for each of them.
"""

from accounting.measure.promql.ksm import GROUP, USER, spellings
from accounting.measure.promql.scope import Scope, last, quote
from accounting.model.time import Window

SIZE = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
CREATED = "kube_persistentvolumeclaim_created"
ANNOTATIONS = "kube_persistentvolumeclaim_annotations"
MOUNTS = "kube_pod_spec_volumes_persistentvolumeclaims_info"
USED = "kubelet_volume_stats_used_bytes"
CAPACITY = "kubelet_volume_stats_capacity_bytes"
DIRECTORY = "dirsize_total_size_bytes"


def claims(scope: Scope, window: Window) -> str:
    """Claims: their size, when they were made, whose they say they are, and which pods mount them.

    A claim's name tells its owner only as long as nobody names claims otherwise (M1).
    """
    names = (*spellings(scope, USER), *spellings(scope, GROUP))
    by = ", ".join(["__name__", "persistentvolumeclaim", "uid", *names])
    metrics = f'__name__=~"{SIZE}|{CREATED}|{ANNOTATIONS}|{MOUNTS}"'
    return last(by, scope.selector(metrics, scope.state_place), scope, window)


def use(scope: Scope, window: Window) -> str:
    """What kubelets say of mounted volumes, and a directory-size exporter of directories.

    Both spellings are asked: kubelets are usually scraped honouring labels, exporters often not.
    """
    by = "__name__, persistentvolumeclaim, directory"
    metrics = f'__name__=~"{USED}|{CAPACITY}|{DIRECTORY}"'
    return " or ".join(
        last(by, scope.selector(metrics, f"{label}={quote(scope.namespace)}"), scope, window)
        for label in ("namespace", "exported_namespace")
    )
