"""Queries about the source itself: whether it spoke, and how it spells its labels."""

from accounting.measure.promql.ksm import RUNNING, USER, required_labels, spellings
from accounting.measure.promql.scope import Scope, quote, span
from accounting.model.time import Window

PHASE = "kube_pod_status_phase"
OF_PODS = (
    PHASE,
    "kube_pod_annotations",
    "kube_pod_start_time",
    "kube_pod_container_info",
    "kube_pod_container_resource_requests",
)
"""What kube-state-metrics says of pods; several jobs may scrape parts of it, each in its way."""
PLACE = ("namespace", "pod")
"""The labels that say where a pod is; a scrape may rename either, or both."""
CLOSED_RANGE = "count_over_time(vector(1)[1s:1s])"
"""At a whole second: 2 where a range includes its first instant, else 1."""


def renamed(scope: Scope, *metrics: str) -> list[str]:
    """Selectors of our namespace's series of which the scrape renamed a label that is read (M11).

    Usually there are none, which the index tells at once, whatever the metrics' size. Those whose
    exporter runs in our namespace may be of others: see ``Scope.has_foreign``.
    """
    ours = quote(scope.namespace)
    places = (f"namespace={ours}", f"exported_namespace={ours}")
    return [
        metric + scope.selector(place, f'exported_{label}!=""')
        for metric in metrics
        for label in ("namespace", "pod", "container")
        for place in places
    ]


def named_in(scope: Scope, metric: str) -> list[str]:
    """Selectors of our namespace's series, however their labels are spelled."""
    ours = quote(scope.namespace)
    places = (f"{label}={ours}" for label in ("namespace", "exported_namespace"))
    return [metric + scope.selector(place) for place in places]


def without_uid(scope: Scope) -> list[str]:
    """Selectors of pods of our namespace of which the scrape dropped the uid (cases.md, 4).

    Of phases, only what is read: the index looks through all series of a selector.
    """
    ours = quote(scope.namespace)
    return [
        metric + scope.selector(f"{label}={ours}", 'uid=""', RUNNING if metric == PHASE else "")
        for metric in OF_PODS
        for label in ("namespace", "exported_namespace")
    ]


def created_without_uid(scope: Scope, seconds: int) -> str:
    """Whether kube-state-metrics tells when pods without a uid were made."""
    places = (form.state_selector('uid=""') for form in scope.spellings_of_state)
    return " or ".join(
        f"group(last_over_time(kube_pod_created{place}[{seconds}s]))" for place in places
    )


def unnamed(scope: Scope) -> list[str]:
    """Selectors of pods that have a label that is read in none of its usual spellings (M11)."""
    ours = quote(scope.namespace)
    places = [f"{label}={ours}" for label in ("namespace", "exported_namespace")]
    wanted = [("kube_pod_annotations", [USER])]
    if scope.label is not None:
        wanted.append(("kube_pod_labels", required_labels(scope)))
    return [
        metric + scope.selector(place, *(f'{s}=""' for n in names for s in spellings(scope, n)))
        for metric, names in wanted
        for place in places
    ]


def spelled(scope: Scope, metric: str, renamed: frozenset[str], more: str = "") -> str:
    """A selector of our namespace's series of which these of ``PLACE`` are renamed, no others."""
    ours = "exported_namespace" if "namespace" in renamed else "namespace"
    others = (f'exported_{name}{"!=" if name in renamed else "="}""' for name in PLACE)
    return metric + scope.selector(f"{ours}={quote(scope.namespace)}", *others, more)


def heartbeat(scope: Scope, window: Window) -> str:
    """Raw samples of what kube-state-metrics says about the namespace itself (M7).

    An idle service has no pods, but its namespace goes on being reported.
    """
    selector = scope.selector(scope.state_place)
    return f"kube_namespace_created{selector}{span(scope, window)}"


def pods_heartbeat(scope: Scope, window: Window) -> str:
    """The same of the hub's own pods, where namespaces are not reported."""
    return f"kube_pod_created{_others(scope)}{span(scope, window)}"


def _others(scope: Scope, labelled: str = "") -> str:
    return scope.selector(
        f'{labelled}!=""' if labelled else "",
        scope.state_place,
        f"{scope.state('pod')}!~{quote(scope.pod)}",
    )


def other_pods(scope: Scope, window: Window) -> str:
    """How many pods of the namespace are not notebooks."""
    return f"count(last_over_time(kube_pod_created{_others(scope)}{span(scope, window)}))"


def recent(scope: Scope, seconds: int) -> str:
    """Whether the source knew the namespace in the last ``seconds``."""
    selector = scope.selector(
        '__name__=~"kube_namespace_created|kube_pod_created"',
        scope.state_place,
    )
    return f"count(last_over_time({selector}[{seconds}s]))"


CLUSTER_LABELS = (
    "cluster",
    "cluster_id",
    "cluster_name",
    "clusterName",
    "k8s_cluster",
    "k8s_cluster_name",
    "kube_cluster",
    "kubernetes_cluster",
)
"""What stores usually tell clusters apart by."""
# Longer than an instant selector looks back: of a namespace that was made anew, the one before is
# not seen that long.
_BESIDE_SECONDS = 600


def several_clusters(scope: Scope) -> str:
    """Answers if there are namespaces of that name in several clusters at the same time.

    They were made at different times, or a label tells them apart. One that was deleted and made
    anew is one after the other.
    """
    place = scope.state_place

    def lasting(label: str = "") -> str:
        told = f'{label}!=""' if label else ""
        series = "kube_namespace_created" + scope.selector(place, told)
        return f"({series} and {series} offset {_BESIDE_SECONDS}s)"

    by_label = [f"count(count by ({label}) ({lasting(label)})) > 1" for label in CLUSTER_LABELS]
    return " or ".join([f'count(count_values("made", {lasting()})) > 1', *by_label])


def several_clusters_by_pods(scope: Scope) -> str:
    """The same where namespaces are not reported: a label of the pods tells clusters apart."""
    return " or ".join(
        f"count(count by ({label}) (kube_pod_created{_others(scope, label)})) > 1"
        for label in CLUSTER_LABELS
    )


def namespaces(scope: Scope) -> str:
    """A selector of what is said of the namespace itself."""
    place = scope.state_place
    return "kube_namespace_created" + scope.selector(place)
