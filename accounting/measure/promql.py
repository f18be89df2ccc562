"""All PromQL, with the reason beside each query.

Every query is evaluated at the window's end over its whole length. ``last_over_time`` sees what a
series said last even when it has vanished since; an instant selector would go on seeing it for the
five-minute lookback. ``max by`` drops the labels nobody needs before they travel, and takes
duplicate emitters (restarted, sharded or doubled kube-state-metrics, pairs of Prometheus servers)
once (M4). Values, never ``rate`` or ``increase``: those extrapolate (M5).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from accounting.model.time import Window

USER = "annotation_hub_jupyter_org_username"
GROUP = "annotation_egi_eu_primary_group"
FLAVOR = "annotation_egi_eu_flavor"
CONFLICTS = tuple(f"_conflict{number}" for number in range(1, 10))
"""kube-state-metrics' suffixes when two annotation names become the same label name."""

CPU = "container_cpu_usage_seconds_total"
RECEIVED = "container_network_receive_bytes_total"
SENT = "container_network_transmit_bytes_total"
# The kubelet's /metrics/resource names pods and containers only: no cgroup, no id.
POD_CPU = "pod_cpu_usage_seconds_total"
COUNTERS = f"{CPU}|{RECEIVED}|{SENT}|{POD_CPU}"
# OpenTelemetry's kubelet receiver, as its Prometheus exporters write it.
OTEL_POD_CPU = "k8s_pod_cpu_time_seconds_total"
OTEL_CONTAINER_CPU = "container_cpu_time_seconds_total"
OTEL_NAMESPACE, OTEL_POD = "k8s_namespace_name", "k8s_pod_name"

NOT_SIZES = "ephemeral_storage|storage|hugepages_.+|attachable_volumes_.+"
"""Kubernetes' own resources beside cores and memory; all others are vendors', or accelerators."""
_SIZES = f'resource!~"{NOT_SIZES}"'

# The look for counters that fell reaches this far behind its window, longer than a node takes to
# reboot: so none can restart unseen between two windows.
RESET_LOOKBACK_SECONDS = 900
# A pod may have used memory this long before it is first seen running.
MEMORY_LOOKBACK_SECONDS = 1800

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_RUNNING = 'phase="Running"'


@dataclass(frozen=True)
class Scope:
    """Which pods count (M2), and how this cluster's labels are spelled (M11).

    Attributes:
        namespace: the hub's namespace.
        pod: regular expression for pod names, anchored by the engine.
        container: name of the container whose image counts.
        label: an optional pod label that must match, as (name, value).
        exported_state: labels that kube-state-metrics' series carry as ``exported_…``, because the
            scrape does not honour labels.
        exported_usage: the same for cAdvisor's series.
        exported_scheduling: the same for kube-scheduler's.
        among_many: the namespace holds many other pods: let the engine leave them out by name.
            Otherwise its search through all names costs more than the few that are left out here.
        limits_first: limits come before requests.
        is_closed: a range includes its first instant, as in Prometheus 2.
        has_names: some series of CPU name pods and containers without a cgroup's path.
        has_otel: OpenTelemetry's kubelet metrics are there.
        has_scheduling: kube-scheduler's /metrics/resources is scraped.
        matchers: further ones for all series, as PromQL has them; empty for none.
    """

    namespace: str
    pod: str
    container: str = "notebook"
    label: tuple[str, str] | None = None
    exported_state: frozenset[str] = frozenset()
    exported_usage: frozenset[str] = frozenset()
    exported_scheduling: frozenset[str] = frozenset()
    among_many: bool = False
    limits_first: bool = False
    is_closed: bool = True
    has_names: bool = False
    has_otel: bool = False
    has_scheduling: bool = False
    matchers: str = ""

    def state(self, name: str) -> str:
        """A label's name in kube-state-metrics' series."""
        return f"exported_{name}" if name in self.exported_state else name

    def usage(self, name: str) -> str:
        """A label's name in cAdvisor's series."""
        return f"exported_{name}" if name in self.exported_usage else name

    def scheduling(self, name: str) -> str:
        """A label's name in kube-scheduler's series."""
        return f"exported_{name}" if name in self.exported_scheduling else name

    def state_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in kube-state-metrics' series."""
        return self._matching(self.state("namespace"), self.state("pod"), *matchers)

    def usage_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in cAdvisor's series."""
        return self._matching(self.usage("namespace"), self.usage("pod"), *matchers)

    def scheduling_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in kube-scheduler's series."""
        return self._matching(self.scheduling("namespace"), self.scheduling("pod"), *matchers)

    def _matching(self, namespace: str, pod: str, *matchers: str) -> str:
        by_name = f"{pod}=~{quote(self.pod)}" if self.among_many else ""
        return self.selector(f"{namespace}={quote(self.namespace)}", by_name, *matchers)

    def selector(self, *matchers: str) -> str:
        """These matchers, and those of all series."""
        return "{" + ",".join(matcher for matcher in (*matchers, self.matchers) if matcher) + "}"


def quote(text: str) -> str:
    """A PromQL string literal."""
    return json.dumps(text, ensure_ascii=False)


def one_of(label: str, values: Iterable[str]) -> str:
    """A matcher for any of ``values``; engines look such a list up in their index.

    Only if nothing is escaped that need not be: otherwise Prometheus tries the expression on every
    value that the label has, which takes ten times as long.
    """
    escaped = (_SPECIAL.sub(r"\\\g<0>", value) for value in sorted(values))
    return f"{label}=~{quote('|'.join(escaped))}"


def span(scope: Scope, window: Window, extra_seconds: int = 0) -> str:
    """The range of a window: its start belongs to the window before.

    Where a range includes both ends, it is one millisecond short.
    """
    return f"[{(window.seconds + extra_seconds) * 1000 - scope.is_closed}ms]"


CLOSED_RANGE = "count_over_time(vector(1)[1s:1s])"
"""At a whole second: 2 where a range includes its first instant, else 1."""


def renamed(scope: Scope, *metrics: str) -> list[str]:
    """Selectors of our namespace's series of which the scrape renamed a label that is read (M11).

    Usually there are none, which the index tells at once, whatever the metrics' size. Series of
    other namespaces say nothing about ours.
    """
    ours = quote(scope.namespace)
    places = (f'namespace={ours},exported_namespace=""', f"exported_namespace={ours}")
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


def unrenamed(scope: Scope, *metrics: str) -> list[str]:
    """Selectors of our namespace's series as they are where labels are honoured."""
    ours = f'namespace={quote(scope.namespace)},exported_namespace="",exported_pod=""'
    return [metric + scope.selector(ours) for metric in metrics]


def running(scope: Scope, window: Window) -> str:
    """Raw samples of phase Running: first, last and whether it still is (M6).

    Only raw samples carry the exact second of an end; a subquery costs more than all else.
    """
    return f"kube_pod_status_phase{scope.state_selector(_RUNNING)}{span(scope, window)}"


def heartbeat(scope: Scope, window: Window) -> str:
    """Raw samples of what kube-state-metrics says about the namespace itself (M7).

    An idle service has no pods, but its namespace goes on being reported.
    """
    selector = scope.selector(f"{scope.state('namespace')}={quote(scope.namespace)}")
    return f"kube_namespace_created{selector}{span(scope, window)}"


def pods_heartbeat(scope: Scope, window: Window) -> str:
    """The same of the hub's own pods, where namespaces are not reported."""
    return f"kube_pod_created{_others(scope)}{span(scope, window)}"


def _others(scope: Scope) -> str:
    return scope.selector(
        f"{scope.state('namespace')}={quote(scope.namespace)}",
        f"{scope.state('pod')}!~{quote(scope.pod)}",
    )


def other_pods(scope: Scope, window: Window) -> str:
    """How many pods of the namespace are not notebooks."""
    return f"count(last_over_time(kube_pod_created{_others(scope)}{span(scope, window)}))"


def presence(scope: Scope, seconds: int) -> str:
    """Whether the source knew the namespace in the last ``seconds``."""
    selector = scope.selector(
        '__name__=~"kube_namespace_created|kube_pod_created"',
        f"{scope.state('namespace')}={quote(scope.namespace)}",
    )
    return f"count(last_over_time({selector}[{seconds}s]))"


CLUSTER_LABELS = ("cluster", "cluster_id", "cluster_name", "k8s_cluster", "k8s_cluster_name")
"""What stores usually tell clusters apart by."""
# Longer than an instant selector looks back: of a namespace that was made anew, the one before is
# not seen that long.
_BESIDE_SECONDS = 600


def several_clusters(scope: Scope) -> str:
    """Answers if there are namespaces of that name in several clusters at the same time.

    They were made at different times, or a label tells them apart. One that was deleted and made
    anew is one after the other.
    """
    place = f"{scope.state('namespace')}={quote(scope.namespace)}"

    def lasting(label: str = "") -> str:
        told = f'{label}!=""' if label else ""
        series = "kube_namespace_created" + scope.selector(place, told)
        return f"({series} and {series} offset {_BESIDE_SECONDS}s)"

    by_label = [f"count(count by ({label}) ({lasting(label)})) > 1" for label in CLUSTER_LABELS]
    return " or ".join([f'count(count_values("made", {lasting()})) > 1', *by_label])


def _last(by: str, selector: str, scope: Scope, window: Window) -> str:
    return f"max by ({by}) (last_over_time({selector}{span(scope, window)}))"


def times(scope: Scope, window: Window, only: str = "") -> str:
    """Creation, start and completion."""
    names = '__name__=~"kube_pod_created|kube_pod_start_time|kube_pod_completion_time"'
    return _last("__name__, uid", scope.state_selector(names, only), scope, window)


def finished(scope: Scope, window: Window, only: str = "") -> str:
    """Pods in a final phase (M6)."""
    phases = 'phase=~"Failed|Succeeded"'
    last = _last("uid", "kube_pod_status_phase" + scope.state_selector(phases, only), scope, window)
    return f"{last} == 1"


def owners(scope: Scope, window: Window, only: str = "") -> str:
    """The hub's annotations, under every spelling (M11)."""
    labels = [USER, GROUP, FLAVOR]
    by = ", ".join(["uid", *labels, *(label + c for label in labels for c in CONFLICTS)])
    return _last(by, "kube_pod_annotations" + scope.state_selector(only), scope, window)


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
    per_container = _last(
        f"__name__, uid, resource, {scope.state('container')}", selector, scope, window
    )
    return f"sum by (__name__, uid, resource) ({per_container})"


def init_resources(scope: Scope, window: Window, only: str = "") -> str:
    """Requests and limits of each init container (M10)."""
    selector = scope.state_selector(
        '__name__=~"kube_pod_init_container_resource_(requests|limits)"', _SIZES, only
    )
    return _last(f"__name__, uid, resource, {scope.state('container')}", selector, scope, window)


def sidecars(scope: Scope, window: Window, only: str = "") -> str:
    """Init containers that run on beside the others (``restartPolicy: Always``)."""
    selector = scope.state_selector('restart_policy="Always"', only)
    by = f"uid, {scope.state('container')}"
    return _last(by, "kube_pod_init_container_info" + selector, scope, window)


def scheduled_resources(scope: Scope, window: Window, only: str = "") -> str:
    """What kube-scheduler reserves: it knows the resources of the pod as a whole (M10)."""
    by = f"__name__, {scope.scheduling('pod')}, resource"
    return _last(by, _scheduled(scope, only), scope, window)


def _scheduled(scope: Scope, only: str = "") -> str:
    names = '__name__=~"kube_pod_resource_(request|limit)"'
    return scope.scheduling_selector(names, 'resource=~"cpu|memory"', only)


def cpu_limit(scope: Scope, window: Window, only: str = "") -> str:
    """Cores that pods' own cgroups are limited to (M10)."""
    quota, period = (
        _last("id", pod_cgroup(scope, only, metric=f"container_spec_cpu_{name}"), scope, window)
        for name in ("quota", "period")
    )
    return f"{quota} / {period}"


def memory_limit(scope: Scope, window: Window, only: str = "") -> str:
    """Bytes that pods' own cgroups are limited to; 0 where they are not."""
    metric = "container_spec_memory_limit_bytes"
    return _last("id", pod_cgroup(scope, only, metric=metric), scope, window)


def resized(scope: Scope, window: Window, lookback_seconds: int, *, thorough: bool) -> str:
    """Pods of which a request or limit changed in or shortly before the window (M10).

    Args:
        scope: which pods.
        window: when.
        lookback_seconds: how far behind the window's start to look.
        thorough: kube-state-metrics has restarted: its series before and after are compared, too.
    """
    over = span(scope, window, lookback_seconds)
    selected = scope.state_selector(_SIZES)
    metrics = [
        f"kube_pod_{of}container_resource_{kind}{selected}"
        for of in ("", "init_")
        for kind in ("requests", "limits")
    ]
    if not thorough:
        return " or ".join(f"group by (uid) (changes({series}{over}) > 0)" for series in metrics)
    by = f"uid, resource, {scope.state('container')}"
    return " or ".join(
        f"group by (uid) (max by ({by}) (max_over_time({series}{over}))"
        f" != min by ({by}) (min_over_time({series}{over})))"
        for series in metrics
    )


def rescheduled(scope: Scope, window: Window, lookback_seconds: int) -> str:
    """The same of what kube-scheduler says, by name."""
    over = span(scope, window, lookback_seconds)
    pod = scope.scheduling("pod")
    return f"group by ({pod}) (changes({_scheduled(scope)}{over}) > 0)"


def raw_resources(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """Raw samples of requests and limits of some pods."""
    selector = scope.state_selector(
        '__name__=~"kube_pod_(init_)?container_resource_(requests|limits)"', _SIZES, only
    )
    return selector + span(scope, window, lookback_seconds)


def raw_scheduled(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """The same of what kube-scheduler says."""
    return _scheduled(scope, only) + span(scope, window, lookback_seconds)


_READY = 'condition="Ready",status="true"'


def unready_nodes(scope: Scope, window: Window) -> str:
    """Nodes that were not ready at some time of the window."""
    series = "kube_node_status_condition" + scope.selector(_READY)
    return f"min_over_time({series}{span(scope, window)}) == 0"


def raw_readiness(scope: Scope, window: Window, only: str) -> str:
    """Raw samples of whether some nodes were ready, from shortly before the window on."""
    over = span(scope, window, RESET_LOOKBACK_SECONDS)
    return "kube_node_status_condition" + scope.selector(_READY, only) + over


def pods_of_nodes(scope: Scope, window: Window, only: str) -> str:
    """Which pods were placed on some nodes."""
    return f"last_over_time(kube_pod_info{scope.state_selector(only)}{span(scope, window)})"


DCGM_ENGINE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
DCGM_UTIL = "DCGM_FI_DEV_GPU_UTIL"
DCGM_ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


def claims(scope: Scope, window: Window) -> str:
    """Resource claims (DRA) of pods: that they exist, not how many devices they are."""
    series = "kube_pod_resourceclaim_info" + scope.state_selector()
    return f"last_over_time({series}{span(scope, window)})"


def node_labels(scope: Scope, window: Window) -> str:
    """Nodes' labels, as far as kube-state-metrics is allowed to show them."""
    return f"last_over_time(kube_node_labels{scope.selector()}{span(scope, window)})"


def device_use(scope: Scope, window: Window, pods: Iterable[str]) -> Iterator[str]:
    """Raw samples of what DCGM says of the devices of some pods, in either spelling.

    dcgm-exporter is usually scraped without honouring labels.
    """
    pods = list(pods)
    name = f'__name__=~"{DCGM_ENGINE}|{DCGM_UTIL}|{DCGM_ENERGY}"'
    over = span(scope, window, RESET_LOOKBACK_SECONDS)
    for prefix, other in (("exported_", ""), ("", 'exported_pod=""')):
        place = f"{prefix}namespace={quote(scope.namespace)}"
        yield scope.selector(name, place, one_of(f"{prefix}pod", pods), other) + over


def images(scope: Scope, window: Window, only: str = "") -> str:
    """The image of the notebook's container."""
    container = f"{scope.state('container')}={quote(scope.container)}"
    return _last(
        "uid, image",
        "kube_pod_container_info" + scope.state_selector(container, only),
        scope,
        window,
    )


def mounts(scope: Scope, window: Window, only: str = "") -> str:
    """Which volume claims a pod mounts."""
    info = "kube_pod_spec_volumes_persistentvolumeclaims_info" + scope.state_selector(only)
    return _last("uid, persistentvolumeclaim", info, scope, window)


def claim_sizes(scope: Scope, window: Window, only: str = "") -> str:
    """Bytes that volume claims of the namespace request."""
    selector = scope.selector(f"{scope.state('namespace')}={quote(scope.namespace)}", only)
    metric = "kube_persistentvolumeclaim_resource_requests_storage_bytes"
    return _last("persistentvolumeclaim", metric + selector, scope, window)


def labelled(scope: Scope, window: Window) -> str:
    """The pods that carry the required label (M2)."""
    if scope.label is None:
        raise ValueError("this scope asks for no label")
    name, value = scope.label
    sanitized = "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)
    spellings = (sanitized, *(sanitized + conflict for conflict in CONFLICTS))
    return " or ".join(
        _last("uid", "kube_pod_labels" + scope.state_selector(f"{s}={quote(value)}"), scope, window)
        for s in spellings
    )


def cpu(scope: Scope, window: Window) -> str:
    """CPU seconds of the pods' own cgroups: one level, which survives container restarts (M4)."""
    return _last("id", pod_cgroup(scope), scope, window)


def lowest_cpu(scope: Scope, window: Window, only: str = "") -> str:
    """The lowest of the same: after a silence, it tells whether the counter fell meanwhile."""
    return f"min by (id) (min_over_time({pod_cgroup(scope, only)}{span(scope, window)}))"


def pod_cgroup(scope: Scope, *matchers: str, metric: str = CPU) -> str:
    """CAdvisor's series of the pods' own cgroups."""
    selector = scope.usage_selector(f'{scope.usage("container")}=""', 'image=""', *matchers)
    return metric + selector


NO_PATH = 'id!~"/.*"'
"""Matches a bare container id, and a series without any."""


def named_containers(scope: Scope) -> str:
    """Series of CPU that name pods and containers without a cgroup's path (M3)."""
    return CPU + scope.usage_selector(f'{scope.usage("container")}!=""', NO_PATH)


def otel_pods(scope: Scope, only: str = "") -> str:
    """OpenTelemetry's pods of the namespace."""
    return OTEL_POD_CPU + scope.selector(f"{OTEL_NAMESPACE}={quote(scope.namespace)}", only)


def without_path(scope: Scope, window: Window) -> str:
    """Pods whose counters are scraped without a cgroup's path, which tells whose they are (M3).

    Containers are left out: they count only where the pod's own counter is missing.
    """
    pod, over = scope.usage("pod"), span(scope, window)
    own = CPU + scope.usage_selector(f'{scope.usage("container")}=""', 'image=""', NO_PATH)
    traffic = scope.usage_selector(f'__name__=~"{RECEIVED}|{SENT}"', NO_PATH)
    return " or ".join(
        f"group by ({pod}) (last_over_time({series}{over}))" for series in (own, traffic)
    )


def told_by_others(scope: Scope, seconds: float, only: str = "", pods: Sequence[str] = ()) -> str:
    """Pods of which others than their own cgroup told CPU in the last ``seconds``, by name (M4).

    Asked at steps of ``seconds`` over a window, it misses no pod of which the own cgroup was silent
    for longer than that while others spoke: no pod's last sample can be asked for.

    Args:
        scope: which pods.
        seconds: how long the own cgroup may be silent.
        only: a matcher for cAdvisor's series.
        pods: the same pods' names, for OpenTelemetry's; all if empty.
    """
    pod, over = scope.usage("pod"), f"[{round(seconds * 1000)}ms]"
    others = [f"group by ({pod}) (last_over_time({CPU}{_boxes(scope, only)}{over}))"]
    if scope.has_otel:
        told = otel_pods(scope, one_of(OTEL_POD, pods) if pods else "")
        others.append(_by_pod(scope, f"last_over_time({told}{over})"))
    own = f"group by ({pod}) (last_over_time({pod_cgroup(scope, only)}{over}))"
    return f"({' or '.join(others)}) unless on ({pod}) {own}"


def _boxes(scope: Scope, *matchers: str) -> str:
    """Matchers for containers' series, without the pause container's."""
    container = scope.usage("container")
    return scope.usage_selector(f'{container}!=""', f'{container}!="POD"', *matchers)


def _by_pod(scope: Scope, otel: str) -> str:
    """OpenTelemetry's pods under cAdvisor's label for them."""
    renamed = f'label_replace({otel}, "{scope.usage("pod")}", "$1", "{OTEL_POD}", "(.*)")'
    return f"group by ({scope.usage('pod')}) ({renamed})"


def container_cpu(scope: Scope, window: Window, only: str = "") -> str:
    """CPU seconds per container, for pods whose own cgroup is not scraped (M4)."""
    by = f"id, name, {scope.usage('pod')}"
    return _last(by, CPU + _boxes(scope, only), scope, window)


def network(scope: Scope, window: Window, metric: str) -> str:
    """Bytes ``RECEIVED`` or ``SENT`` per interface of the pod's network namespace."""
    return _last("id, interface", metric + scope.usage_selector(), scope, window)


def resets(scope: Scope, window: Window, only: str = "") -> str:
    """Pods whose cgroup's counter fell, within the window or on the way into it (M5).

    Only a pod's own cgroup can outlive its counter, when its node reboots; containers and network
    namespaces get a new id, and with it a new series.
    """
    fell = f"resets({pod_cgroup(scope, only)}{span(scope, window, RESET_LOOKBACK_SECONDS)}) > 0"
    return f"group by ({scope.usage('pod')}) ({fell})"


def raw_counters(scope: Scope, window: Window, only: str) -> str:
    """Raw samples of the counters of some pods: where one fell, every sample counts (M5)."""
    selector = scope.usage_selector(f'__name__=~"{COUNTERS}"', only)
    return selector + span(scope, window, RESET_LOOKBACK_SECONDS)


def raw_otel(scope: Scope, window: Window, pods: Iterable[str]) -> str:
    """The same from OpenTelemetry's kubelet receiver."""
    selector = scope.selector(
        f'__name__=~"{OTEL_POD_CPU}|{OTEL_CONTAINER_CPU}"',
        f"{OTEL_NAMESPACE}={quote(scope.namespace)}",
        one_of(OTEL_POD, pods),
    )
    return selector + span(scope, window, RESET_LOOKBACK_SECONDS)


def raw_state(scope: Scope, window: Window, metric: str, only: str) -> str:
    """Raw samples of a describing metric, to see which of two descriptions came first."""
    return metric + scope.state_selector(only) + span(scope, window)


def memory_peak(scope: Scope, window: Window, only: str = "") -> str:
    """Highest working set, for pods that neither request nor limit memory (M10)."""
    selector = scope.usage_selector(only) + span(scope, window, MEMORY_LOOKBACK_SECONDS)
    peak = f"max_over_time(container_memory_working_set_bytes{selector})"
    return f"max by (id, {scope.usage('pod')}) ({peak})"


def raw_memory(scope: Scope, window: Window, only: str) -> str:
    """Raw working sets: where ``id`` is dropped, the time of a sample tells whose it is (M3)."""
    selector = scope.usage_selector(only) + span(scope, window, MEMORY_LOOKBACK_SECONDS)
    return f"container_memory_working_set_bytes{selector}"


def seen_by_cadvisor(scope: Scope, window: Window, only: str = "") -> str:
    """Pods that cAdvisor saw in a short window, by any of their cgroups (M7).

    One of several shards of kube-state-metrics may be silent while the others speak; a cgroup does
    not outlive its pod.
    """
    series = CPU + scope.usage_selector(only)
    return f"group by (id, {scope.usage('pod')}) (last_over_time({series}{span(scope, window)}))"


def of_pod(scope: Scope, uid: str) -> dict[str, str]:
    """What a person asks to see one pod's samples; by its uid, which names nobody.

    Args:
        scope: which pods count.
        uid: the pod's; of letters, digits and dashes.

    Returns:
        What it shows → an instant query, to be drawn over the pod's life.
    """
    ours = f"{scope.state('namespace')}={quote(scope.namespace)}"
    mine = scope.selector(ours, f"uid={quote(uid)}")
    path = uid.replace("-", "[-_]")
    cgroup = scope.selector(
        f"{scope.usage('namespace')}={quote(scope.namespace)}", f'id=~".*pod{path}.*"'
    )
    running = scope.selector(ours, f"uid={quote(uid)}", _RUNNING)
    return {
        "It ran": f"kube_pod_status_phase{running} == 1",
        "Its start and end": f'{{__name__=~"kube_pod_(start|completion)_time",{mine[1:]}',
        "CPU seconds of its cgroups": f"max by (id) ({CPU}{cgroup})",
        "What it asked for": f"kube_pod_container_resource_requests{mine}",
        "Whether the source spoke": f"count(kube_namespace_created{scope.selector(ours)})",
    }
