"""Queries of kube-state-metrics: pods, their owners, what they asked for, volumes, nodes."""

import re

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, last, quote, span
from accounting.model.time import Window

USER = "annotation_hub_jupyter_org_username"
GROUP = "annotation_egi_eu_primary_group"
FLAVOR = "annotation_egi_eu_flavor"
CONFLICTS = tuple(f"_conflict{number}" for number in range(1, 31))
"""kube-state-metrics' suffixes when several annotation names become the same label name.

The usual ones; discovery finds others (``Scope.more_conflicts``).
"""


def spellings(scope: Scope, label: str) -> tuple[str, ...]:
    """A label's name, and those that it has where several names become the same."""
    return (label, *(label + ending for ending in (*CONFLICTS, *scope.more_conflicts)))


NOT_SIZES = "ephemeral_storage|storage|hugepages_.+|attachable_volumes_.+"
"""Kubernetes' own resources beside cores and memory; all others are vendors', or accelerators."""
_SIZES = f'resource!~"{NOT_SIZES}"'
RUNNING = 'phase="Running"'


def running(scope: Scope, window: Window) -> str:
    """Raw samples of phase Running: first, last and whether it still is (M6).

    Only raw samples carry the exact second of an end; a subquery costs more than all else.
    """
    return f"kube_pod_status_phase{scope.state_selector(RUNNING)}{span(scope, window)}"


def listed(scope: Scope, window: Window) -> str:
    """Which pods are listed at all."""
    series = f"kube_pod_status_phase{scope.state_selector(RUNNING)}"
    return last(f"uid, {scope.state('pod')}", series, scope, window)


def times(scope: Scope, window: Window, only: str = "") -> str:
    """Creation, start and completion."""
    names = '__name__=~"kube_pod_created|kube_pod_start_time|kube_pod_completion_time"'
    return last(f"__name__, {scope.pod_key}", scope.state_selector(names, only), scope, window)


def made_anew(scope: Scope, window: Window) -> str:
    """Names that one pod after another had, where the label ``uid`` is dropped."""
    created = "kube_pod_created" + scope.state_selector('uid=""') + span(scope, window)
    by = scope.state("pod")
    return f"max by ({by}) (max_over_time({created})) > min by ({by}) (min_over_time({created}))"


def finished(scope: Scope, window: Window, only: str = "") -> str:
    """Pods in a final phase (M6)."""
    phases = 'phase=~"Failed|Succeeded"'
    series = "kube_pod_status_phase" + scope.state_selector(phases, only)
    return f"{last(scope.pod_key, series, scope, window)} == 1"


def owners(scope: Scope, window: Window, only: str = "") -> str:
    """The hub's annotations, under every spelling (M11)."""
    labels = [USER, GROUP, FLAVOR]
    by = ", ".join([scope.pod_key, *(text for label in labels for text in spellings(scope, label))])
    return last(by, "kube_pod_annotations" + scope.state_selector(only), scope, window)


def resources(scope: Scope, window: Window, only: str = "") -> str:
    """What comes first of requests and limits, summed over the pod's containers (M10)."""
    return _resources(scope, window, only, limits=scope.limits_first)


def other_resources(scope: Scope, window: Window, only: str = "") -> str:
    """What comes second, for pods that do not give the first."""
    return _resources(scope, window, only, limits=not scope.limits_first)


def _resources(scope: Scope, window: Window, only: str, *, limits: bool) -> str:
    selector = scope.state_selector(
        f'__name__="kube_pod_container_resource_{"limits" if limits else "requests"}"',
        _SIZES,
        only,
    )
    per_container = last(
        f"__name__, {scope.pod_key}, resource, {scope.state('container')}", selector, scope, window
    )
    return f"sum by (__name__, {scope.pod_key}, resource) ({per_container})"


CONTAINER_INFO = "kube_pod_container_info"


def raw_cpu_limits(scope: Scope, window: Window, only: str) -> str:
    """Cores that containers are limited to over time, and which containers there are (M5)."""
    names = f'__name__=~"kube_pod_container_resource_limits|{CONTAINER_INFO}"'
    selector = scope.state_selector(names, 'resource=~"cpu|"', only)
    return selector + span(scope, window, RESET_LOOKBACK_SECONDS)


def init_resources(scope: Scope, window: Window, only: str = "") -> str:
    """Requests and limits of each init container (M10)."""
    selector = scope.state_selector(
        '__name__=~"kube_pod_init_container_resource_(requests|limits)"', _SIZES, only
    )
    return last(
        f"__name__, {scope.pod_key}, resource, {scope.state('container')}", selector, scope, window
    )


def sidecars(scope: Scope, window: Window, only: str = "") -> str:
    """Init containers that run on beside the others (``restartPolicy: Always``)."""
    selector = scope.state_selector('restart_policy="Always"', only)
    by = f"{scope.pod_key}, {scope.state('container')}"
    return last(by, "kube_pod_init_container_info" + selector, scope, window)


def resized(
    scope: Scope,
    window: Window,
    only: str = "",
    *,
    limits: bool,
    lookback_seconds: int,
    thorough: bool,
) -> str:
    """Pods of which requests, or limits, changed in or shortly before the window (M10).

    Args:
        scope: which pods.
        window: when.
        only: a matcher for some of them.
        limits: of which limits changed.
        lookback_seconds: how far behind the window's start to look.
        thorough: kube-state-metrics has restarted: its series before and after are compared, too.
    """
    over = span(scope, window, lookback_seconds)
    kind = "limits" if limits else "requests"
    metrics = [
        f"kube_pod_{of}container_resource_{kind}{scope.state_selector(_SIZES, only)}"
        for of in ("", "init_")
    ]
    if not thorough:
        return " or ".join(
            f"group by ({scope.pod_key}) (changes({series}{over}) > 0)" for series in metrics
        )
    by = f"{scope.pod_key}, resource, {scope.state('container')}"
    return " or ".join(
        f"group by ({scope.pod_key}) (max by ({by}) (max_over_time({series}{over}))"
        f" != min by ({by}) (min_over_time({series}{over})))"
        for series in metrics
    )


def raw_resources(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """Raw samples of requests and limits of some pods."""
    selector = scope.state_selector(
        '__name__=~"kube_pod_(init_)?container_resource_(requests|limits)"', _SIZES, only
    )
    return selector + span(scope, window, lookback_seconds)


_READY = 'condition="Ready",status="true"'


def readiness(scope: Scope, window: Window) -> str:
    """The least that was said of each node: 0 if it was not ready at some time of the window."""
    series = "kube_node_status_condition" + scope.selector(_READY)
    return f"min_over_time({series}{span(scope, window)})"


def unready_pods(scope: Scope, window: Window) -> str:
    """Pods that were not ready when they were last told of."""
    series = "kube_pod_status_ready" + scope.state_selector('condition="true"')
    return f"min by ({scope.pod_key}) (last_over_time({series}{span(scope, window)})) == 0"


def raw_pod_readiness(scope: Scope, window: Window, only: str) -> str:
    """Raw samples of whether some pods were ready, from shortly before the window on."""
    over = span(scope, window, RESET_LOOKBACK_SECONDS)
    return "kube_pod_status_ready" + scope.state_selector('condition="true"', only) + over


def raw_readiness(scope: Scope, window: Window, only: str) -> str:
    """Raw samples of whether some nodes were ready, from shortly before the window on."""
    over = span(scope, window, RESET_LOOKBACK_SECONDS)
    return "kube_node_status_condition" + scope.selector(_READY, only) + over


def pods_of_nodes(scope: Scope, window: Window, only: str) -> str:
    """Which pods were placed on some nodes."""
    return f"last_over_time(kube_pod_info{scope.state_selector(only)}{span(scope, window)})"


def claims(scope: Scope, window: Window) -> str:
    """Resource claims (DRA) of pods: that they exist, not how many devices they are."""
    series = "kube_pod_resourceclaim_info" + scope.state_selector()
    return f"last_over_time({series}{span(scope, window)})"


def node_labels(scope: Scope, window: Window) -> str:
    """Nodes' labels, as far as kube-state-metrics is allowed to show them."""
    return f"last_over_time(kube_node_labels{scope.selector()}{span(scope, window)})"


def images(scope: Scope, window: Window, only: str = "") -> str:
    """The image of the notebook's container."""
    container = f"{scope.state('container')}={quote(scope.container)}"
    return last(
        f"{scope.pod_key}, image",
        "kube_pod_container_info" + scope.state_selector(container, only),
        scope,
        window,
    )


def mounts(scope: Scope, window: Window, only: str = "") -> str:
    """Which volume claims a pod mounts."""
    info = "kube_pod_spec_volumes_persistentvolumeclaims_info" + scope.state_selector(only)
    return last(f"{scope.pod_key}, persistentvolumeclaim", info, scope, window)


def claim_sizes(scope: Scope, window: Window, only: str = "") -> str:
    """Bytes that volume claims of the namespace request."""
    selector = scope.selector(scope.state_place, only)
    metric = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
    return last("persistentvolumeclaim", metric + selector, scope, window)


def labelled(scope: Scope, window: Window) -> str:
    """The pods that carry the required label (M2)."""
    if scope.label is None:
        raise ValueError("this scope asks for no label")
    _, value = scope.label
    return " or ".join(
        last(
            scope.pod_key,
            "kube_pod_labels" + scope.state_selector(f"{s}={quote(value)}"),
            scope,
            window,
        )
        for name in required_labels(scope)
        for s in spellings(scope, name)
    )


def required_labels(scope: Scope) -> list[str]:
    """What kube-state-metrics calls the required label; none if the scope asks for none.

    Since 2.0 it writes capitals as ``_`` and the small letter (``mapToPrometheusLabels``).
    """
    if scope.label is None:
        return []
    name = re.sub(r"[^a-zA-Z0-9_]", "_", scope.label[0])
    snake = re.sub("([a-z0-9])([A-Z])", r"\1_\2", name).lower()
    return [f"label_{text}" for text in dict.fromkeys((snake, name))]


def raw_state(scope: Scope, window: Window, metric: str, only: str) -> str:
    """Raw samples of a describing metric, to see which of two descriptions came first."""
    return metric + scope.state_selector(only) + span(scope, window)
