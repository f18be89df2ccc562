"""Queries about home volumes: claims, and what is used of them.

``ksm.mounts`` tells who mounts them. Each is about a day's part: all of a namespace's
claims are wanted, and each metric has one row or a few for each of them.
"""

from accounting.measure.promql.ksm import GROUP, USER, spellings
from accounting.measure.promql.scope import Scope, last, quote
from accounting.model.time import Window

SIZE = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
CREATED = "kube_persistentvolumeclaim_created"
ANNOTATIONS = "kube_persistentvolumeclaim_annotations"
USED = "kubelet_volume_stats_used_bytes"
CAPACITY = "kubelet_volume_stats_capacity_bytes"
DIRECTORY = "dirsize_total_size_bytes"


DESCRIBED_SECONDS = 3600
"""What a claim is does not change: of a longer time, its end tells it of nearly all."""


def claims(scope: Scope, window: Window) -> str:
    """Claims: their size, when they were made and whose they say they are.

    Of a long window ``descriptions`` tells the latter two of claims that were deleted meanwhile.
    """
    end = Window(max(window.start, window.end - DESCRIBED_SECONDS), window.end)
    size = last("__name__, persistentvolumeclaim", SIZE + _of_claims(scope), scope, window)
    return f"{size} or {descriptions(scope, end)}"


def descriptions(scope: Scope, window: Window, only: str = "") -> str:
    """When claims were made, and whose they say they are.

    A claim's name tells its owner only as long as nobody names claims otherwise (M1).
    """
    claim = "__name__, persistentvolumeclaim"
    whose = ", ".join([claim, *spellings(scope, USER), *spellings(scope, GROUP)])
    # ``or`` leaves out what differs by its name alone.
    made = f"{claim}, {scope.state('namespace')}"
    return " or ".join(
        last(by, metric + _of_claims(scope, only), scope, window)
        for by, metric in ((made, CREATED), (whose, ANNOTATIONS))
    )


def _of_claims(scope: Scope, only: str = "") -> str:
    return scope.selector(scope.state_place, only)


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
