"""Checks of what the cluster's metrics say."""

import math
from collections.abc import Iterator
from itertools import pairwise

from accounting.doctor.engine import Details
from accounting.doctor.finding import Finding, State
from accounting.measure.promql import ksm, kubelet
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Row
from accounting.model.time import Window

ALLOWLIST = (
    "--metric-annotations-allowlist="
    "pods=[hub.jupyter.org/username,egi.eu/primary_group,egi.eu/flavor]"
)

_DAY = 86400
_RECENT_SECONDS = 900
_STALE_SECONDS = 300
_SLOW_SCRAPE_SECONDS = 90
_DRIFT = 1.5
_CPU = "container_cpu_usage_seconds_total"


class Patient:
    """A cluster's metrics at one moment."""

    def __init__(self, source: Source, scope: Scope, now: float) -> None:
        self._source = source
        self.scope = self._scope = scope
        self._now = now
        self._day = Window(int(now) - _DAY, int(now))

    def _ask(self, query: str) -> list[Row]:
        return self._source.vector(query, self._now)

    def _number(self, query: str) -> float:
        rows = self._ask(query)
        return rows[0][1] if rows else 0.0

    def _age(self, selector: str) -> float | None:
        """Seconds since the newest sample; infinite if there was none for minutes."""
        rows = self._ask(f"max(timestamp({selector}))")
        if rows:
            return self._now - rows[0][1]
        return math.inf if self._number(f"count(last_over_time({selector}[1d]))") else None

    @property
    def _namespace(self) -> str:
        return self._scope.selector(self._scope.state_place)

    def state_metrics(self, details: Details) -> Finding:
        """Whether kube-state-metrics speaks of the namespace, and how fresh that is."""
        name, namespace = "kube-state-metrics", self._scope.namespace
        age = self._age(f"kube_namespace_created{self._namespace}")
        if age is None:
            age = self._age(f"kube_pod_created{self._namespace}")
        if age is None:
            known = "kube_namespace_created" + self._scope.selector()
            if self._number(f"count(last_over_time({known}[1d]))"):
                return Finding(
                    name,
                    State.FAILED,
                    f"it knows no namespace '{namespace}'",
                    "set ACCOUNTING_PROMETHEUS__NAMESPACE to the hub's namespace",
                )
            return Finding(
                name,
                State.FAILED,
                f"Prometheus has none of its metrics{details.trouble('kube-state-metrics')}",
                "install kube-state-metrics and let Prometheus scrape it",
            )
        return _fresh(name, age, f"speaks of the namespace '{namespace}'", details)

    def kubelets(self, details: Details) -> Finding:
        """Whether cAdvisor is scraped, and how fresh that is."""
        # Of all, not of notebooks: none may be running.
        age = self._age(_CPU + self._scope.selector('id="/"'))
        if age is None:
            age = self._age(_CPU + self._scope.usage_selector())
        if age is None:
            age = self._age(kubelet.otel_pods(self._scope))
        if age is None:
            return Finding(
                "cAdvisor",
                State.FAILED,
                f"Prometheus has no {_CPU}{details.trouble('cadvisor')}",
                "let Prometheus scrape the kubelets' /metrics/cadvisor",
            )
        return _fresh("cAdvisor", age, "the kubelets' containers are measured", details)

    def scrape_interval(self, expected: float) -> Finding:
        """How often kube-state-metrics is scraped."""
        series = self._source.raw(
            f"kube_namespace_created{self._namespace}[{_RECENT_SECONDS}s]", self._now
        )
        steps = sorted(
            later[0] - earlier[0] for _, points in series for earlier, later in pairwise(points)
        )
        if not steps:
            return Finding(
                "scrape interval",
                State.WARNING,
                "too few samples to tell",
                "look again in some minutes",
            )
        usual = steps[len(steps) // 2]
        if usual > _SLOW_SCRAPE_SECONDS:
            return Finding(
                "scrape interval",
                State.WARNING,
                f"{usual:.0f} s: ends of notebooks are known only that exactly, and notebooks"
                " shorter than that may be missed",
                "scrape kube-state-metrics and the kubelets every 30 to 60 s",
            )
        if not expected / _DRIFT <= usual <= expected * _DRIFT:
            return Finding(
                "scrape interval",
                State.OK,
                f"{usual:.0f} s; ACCOUNTING_PROMETHEUS__SCRAPE_INTERVAL assumes {expected:g} s"
                " where samples are too few to tell",
            )
        return Finding("scrape interval", State.OK, f"{usual:.0f} s")

    def owners(self) -> Finding:
        """Whether the hub's annotations arrive (M11)."""
        pods = self._notebooks()
        if not pods:
            return Finding(
                "owners",
                State.WARNING,
                f"no pod like '{self._scope.pod}' ran in '{self._scope.namespace}' in 24 h",
                "start a notebook and look again; see ACCOUNTING_PROMETHEUS__POD",
            )
        named = self._annotated(ksm.USER)
        if not named:
            return Finding(
                "owners",
                State.FAILED,
                f"none of {pods} notebooks has the hub's annotations: whose they are is unknown",
                f"start kube-state-metrics with {ALLOWLIST}",
            )
        grouped = self._annotated(ksm.GROUP)
        if not grouped:
            return Finding(
                "owners",
                State.WARNING,
                f"none of {pods} notebooks has a primary group: all go to the default VO, if any",
                "let the hub write egi.eu/primary_group on its pods, and start"
                f" kube-state-metrics with {ALLOWLIST}; or set ACCOUNTING_VO__DEFAULT",
            )
        return Finding(
            "owners",
            State.OK,
            f"of {pods} notebooks in 24 h, {named} have a user and {grouped} a primary group",
        )

    @property
    def _ran(self) -> str:
        selector = self._scope.state_selector('phase="Running"')
        return f"(max by (uid) (max_over_time(kube_pod_status_phase{selector}[1d])) == 1)"

    def _notebooks(self) -> int:
        return int(self._number(f"count({self._ran})"))

    def _annotated(self, label: str) -> int:
        spellings = ksm.spellings(self._scope, label)
        selectors = [self._scope.state_selector(f'{spelling}!=""') for spelling in spellings]
        any_of = " or ".join(
            f"group by (uid) (last_over_time(kube_pod_annotations{selector}[1d]))"
            for selector in selectors
        )
        return int(self._number(f"count({self._ran} and on (uid) ({any_of}))"))

    def cpu_level(self) -> Iterator[Finding]:
        """Which level of CPU counters is there (M3, M4)."""
        of_pods = self._number(f"count({kubelet.cpu(self._scope, self._day)})")
        others = (kubelet.POD_CPU + self._scope.usage_selector(), kubelet.otel_pods(self._scope))
        is_told = any(self._number(f"count(last_over_time({series}[1d]))") for series in others)
        of_containers = self._number(f"count({kubelet.container_cpu(self._scope, self._day)})")
        if of_pods:
            selector = self._scope.usage_selector('id!=""')
            with_id = self._number(f"count(last_over_time({_CPU}{selector}[1d]))")
            note = "" if with_id else "; 'id' is dropped, so pods are told by name"
            yield Finding("CPU", State.OK, f"counted for whole pods{note}")
        elif is_told:
            yield Finding("CPU", State.OK, "counted for whole pods")
        elif of_containers:
            yield Finding(
                "CPU",
                State.WARNING,
                "counted per container only: what the last run of a restarted container used"
                " after its last scrape is lost",
                "do not drop the kubelets' series without a container label"
                ' (metric_relabel_configs that drop container="")',
            )
        elif self._notebooks():
            yield Finding(
                "CPU",
                State.FAILED,
                f"no {_CPU} for the notebooks of 24 h: CPU time stays unknown",
                "let Prometheus keep the kubelets' /metrics/cadvisor of all nodes",
            )


def _fresh(name: str, age: float, what: str, details: Details) -> Finding:
    if age <= _STALE_SECONDS:
        return Finding(name, State.OK, f"{what}; last sample {max(age, 0):.0f} s ago")
    return Finding(
        name,
        State.FAILED,
        f"silent now, though it spoke within 24 h{details.trouble(name)}",
        "see the targets' page of Prometheus; usage waits, and is read when it speaks again",
    )
