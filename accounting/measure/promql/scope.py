"""Which pods a query is about, and how this cluster spells their labels."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from accounting.model.time import Window

# The look for counters that fell reaches this far behind its window, longer than a node takes to
# reboot: so none can restart unseen between two windows.
RESET_LOOKBACK_SECONDS = 900

_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


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
        other_state, other_usage, other_scheduling: further spellings beside these, where several
            jobs scrape the same, or a job was changed.
        names: only pods of these names; all if empty.
        has_foreign: a scrape puts our namespace, where its exporter runs, on series of other ones'
            pods: those are left out.
        lacks_uid: some series of kube-state-metrics have no label ``uid``: the scrape drops it.
        among_many: the namespace holds many other pods: let the engine leave them out by name.
            Otherwise its search through all names costs more than the few that are left out here.
        limits_first: limits come before requests.
        is_closed: a range includes its first instant, as in Prometheus 2.
        has_names: some series of CPU name pods and containers without a cgroup's path.
        has_otel: OpenTelemetry's kubelet metrics are there.
        has_scheduling: kube-scheduler's /metrics/resources is scraped.
        has_volumes: home volumes are measured.
        more_conflicts: endings of annotations' and labels' names beyond the usual ``CONFLICTS``.
        matchers: further ones for all series, as PromQL has them; empty for none.
        energy_zones: Kepler's zones to read, the preferred one first; empty: energy is not read.
    """

    namespace: str
    pod: str
    container: str = "notebook"
    label: tuple[str, str] | None = None
    exported_state: frozenset[str] = frozenset()
    exported_usage: frozenset[str] = frozenset()
    exported_scheduling: frozenset[str] = frozenset()
    other_state: tuple[frozenset[str], ...] = ()
    other_usage: tuple[frozenset[str], ...] = ()
    other_scheduling: tuple[frozenset[str], ...] = ()
    names: tuple[str, ...] = ()
    has_foreign: bool = False
    lacks_uid: bool = False
    among_many: bool = False
    limits_first: bool = False
    is_closed: bool = True
    has_names: bool = False
    has_otel: bool = False
    has_scheduling: bool = False
    has_volumes: bool = False
    more_conflicts: tuple[str, ...] = ()
    matchers: str = ""
    energy_zones: tuple[str, ...] = ()

    @property
    def spellings_of_state(self) -> tuple[Self, ...]:
        """This scope in each spelling of kube-state-metrics' series."""
        return (self, *(replace(self, exported_state=other) for other in self.other_state))

    @property
    def spellings_of_usage(self) -> tuple[Self, ...]:
        """This scope in each spelling of cAdvisor's series."""
        return (self, *(replace(self, exported_usage=other) for other in self.other_usage))

    @property
    def spellings_of_scheduling(self) -> tuple[Self, ...]:
        """This scope in each spelling of kube-scheduler's series."""
        others = (replace(self, exported_scheduling=other) for other in self.other_scheduling)
        return (self, *others)

    def state(self, name: str) -> str:
        """A label's name in kube-state-metrics' series."""
        return f"exported_{name}" if name in self.exported_state else name

    @property
    def pod_key(self) -> str:
        """The labels that tell a pod in kube-state-metrics' series."""
        return f"uid, {self.state('pod')}" if self.lacks_uid else "uid"

    def usage(self, name: str) -> str:
        """A label's name in cAdvisor's series."""
        return f"exported_{name}" if name in self.exported_usage else name

    def scheduling(self, name: str) -> str:
        """A label's name in kube-scheduler's series."""
        return f"exported_{name}" if name in self.exported_scheduling else name

    @property
    def state_place(self) -> str:
        """Matchers for the namespace in kube-state-metrics' series."""
        return self._place(self.state("namespace"))

    @property
    def usage_place(self) -> str:
        """Matchers for the namespace in cAdvisor's series."""
        return self._place(self.usage("namespace"))

    def _place(self, namespace: str) -> str:
        ours = f"{namespace}={quote(self.namespace)}"
        is_renamed = namespace != "namespace"
        return ours if is_renamed or not self.has_foreign else f'{ours},exported_namespace=""'

    def state_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in kube-state-metrics' series."""
        return self._matching(self.state_place, self.state("pod"), *matchers)

    def usage_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in cAdvisor's series."""
        return self._matching(self.usage_place, self.usage("pod"), *matchers)

    def scheduling_selector(self, *matchers: str) -> str:
        """Matchers for the namespace, and pods if need be, in kube-scheduler's series."""
        place = self._place(self.scheduling("namespace"))
        return self._matching(place, self.scheduling("pod"), *matchers)

    def _matching(self, place: str, pod: str, *matchers: str) -> str:
        by_name = f"{pod}=~{quote(self.pod)}" if self.among_many else ""
        if self.names:
            by_name = one_of(pod, self.names)
        return self.selector(place, by_name, *matchers)

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


def last(by: str, selector: str, scope: Scope, window: Window) -> str:
    """What each series that matches said last within the window, once for each ``by``."""
    return f"max by ({by}) (last_over_time({selector}{span(scope, window)}))"
