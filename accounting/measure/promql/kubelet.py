"""Queries of the kubelet's figures, by whatever emits them: CPU, network, memory (M4)."""

from collections.abc import Iterable, Sequence

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, last, one_of, quote, span
from accounting.model.time import Window

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
# A pod may have used memory this long before it is first seen running.
MEMORY_LOOKBACK_SECONDS = 1800


QUOTA, PERIOD = "container_spec_cpu_quota", "container_spec_cpu_period"
MEMORY_LIMIT = "container_spec_memory_limit_bytes"


def cpu_limit(scope: Scope, window: Window, only: str = "") -> str:
    """Cores that pods' own cgroups are limited to (M10)."""
    quota, period = (
        last("id", pod_cgroup(scope, only, metric=metric), scope, window)
        for metric in (QUOTA, PERIOD)
    )
    return f"{quota} / {period}"


def memory_limit(scope: Scope, window: Window, only: str = "") -> str:
    """Bytes that pods' own cgroups are limited to; 0 where they are not."""
    return last("id", pod_cgroup(scope, only, metric=MEMORY_LIMIT), scope, window)


def relimited(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """Pods whose own cgroup's limits changed in the window, or in the time looked back (M10).

    A cgroup without a quota has a period only. Cgroups without a sample in the time looked back
    before the window count, too.
    """
    over = span(scope, window, lookback_seconds)
    before = Window(window.start - lookback_seconds, window.start)
    earlier = f"{span(scope, before)} offset {window.seconds}s"
    quota, period, memory = (
        pod_cgroup(scope, only, metric=metric) for metric in (QUOTA, PERIOD, MEMORY_LIMIT)
    )
    changed = [
        *(f"changes({series}{over}) > 0" for series in (quota, period, memory)),
        f"count_over_time({quota}{over}) != count_over_time({period}{over})",
        *(
            f"last_over_time({series}{span(scope, window)}) unless on (id) "
            f"last_over_time({series}{earlier})"
            for series in (period, memory)
        ),
    ]
    return " or ".join(f"group by ({scope.usage('pod')}) ({each})" for each in changed)


def raw_limits(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """Raw samples of the same limits."""
    names = f'__name__=~"{QUOTA}|{PERIOD}|{MEMORY_LIMIT}"'
    return pod_cgroup(scope, names, only, metric="") + span(scope, window, lookback_seconds)


def cpu(scope: Scope, window: Window) -> str:
    """CPU seconds of the pods' own cgroups: one level, which survives container restarts (M4)."""
    return last("id", pod_cgroup(scope), scope, window)


def lowest_cpu(scope: Scope, window: Window, only: str = "") -> str:
    """The lowest of the same: after a silence, it tells whether the counter fell meanwhile."""
    return f"min by (id) (min_over_time({pod_cgroup(scope, only)}{span(scope, window)}))"


def told_shortly_before(scope: Scope, window: Window) -> str:
    """The same cgroups, those of which ``resets`` sees the last sample before the window, too."""
    shortly = Window(window.start - RESET_LOOKBACK_SECONDS, window.start)
    series = f"{pod_cgroup(scope)}{span(scope, shortly)} offset {window.seconds}s"
    return f"group by (id) (last_over_time({series}))"


def pod_cgroup(scope: Scope, *matchers: str, metric: str = CPU) -> str:
    """CAdvisor's series of the pods' own cgroups."""
    selector = scope.usage_selector(f'{scope.usage("container")}=""', 'image=""', *matchers)
    return metric + selector


NO_PATH = 'id!~"/.*"'
"""Matches a bare container id, and a series without any."""


def named_containers(scope: Scope) -> list[str]:
    """Series of CPU that name pods and containers without a cgroup's path (M3).

    ``NO_PATH`` says the same as the two, but the index would have to add up all paths' series.
    """
    named = f'{scope.usage("container")}!=""'
    return [CPU + scope.usage_selector(named, no_path) for no_path in ('id=""', 'id=~"[^/].*"')]


def otel_pods(scope: Scope, only: str = "") -> str:
    """OpenTelemetry's pods of the namespace: it may be set to tell of pods, or of containers."""
    names = f'__name__=~"{OTEL_POD_CPU}|{OTEL_CONTAINER_CPU}"'
    return scope.selector(names, f"{OTEL_NAMESPACE}={quote(scope.namespace)}", only)


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
    return last(by, CPU + _boxes(scope, only), scope, window)


def network(scope: Scope, window: Window, metric: str) -> str:
    """Bytes ``RECEIVED`` or ``SENT`` per interface of the pod's network namespace."""
    return last("id, interface", metric + scope.usage_selector(), scope, window)


def resets(scope: Scope, window: Window, only: str = "") -> str:
    """Pods whose cgroup's counter fell, within the window or on the way into it (M5).

    Only a pod's own cgroup can outlive its counter, when its node reboots; containers and network
    namespaces get a new id, and with it a new series.
    """
    fell = f"resets({pod_cgroup(scope, only)}{span(scope, window, RESET_LOOKBACK_SECONDS)}) > 0"
    return f"group by ({scope.usage('pod')}) ({fell})"


def network_resets(scope: Scope, window: Window, only: str = "") -> str:
    """The same of pods' networks, which get a new id when they are made anew: only for a moment."""
    over = span(scope, window, RESET_LOOKBACK_SECONDS)
    return " or ".join(
        f"group by ({scope.usage('pod')}) (resets({metric}{scope.usage_selector(only)}{over}) > 0)"
        for metric in (RECEIVED, SENT)
    )


def box_resets(scope: Scope, window: Window, only: str = "") -> str:
    """Pods of which a container's counter fell in the window: only for a moment (M5)."""
    fell = f"resets({CPU}{_boxes(scope, only)}{span(scope, window)}) > 0"
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
