"""Queries of Kepler (0.10 or newer): the energy that pods took.

Source: Kepler's docs/user/metrics.md. Labels that it gives its series do not clash with those of a
scrape: no ``exported_`` spelling is needed.
"""

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, last, one_of, quote, span
from accounting.model.time import Window

POD_JOULES = "kepler_pod_cpu_joules_total"
KEY = "pod_id, zone"
"""What a counter is of. A pod that has ended may be told a second time, as ``terminated``."""


def joules(scope: Scope, window: Window) -> str:
    """Joules of each pod by zone. The two states of a pod are one counter: max, not sum (M4)."""
    return last(KEY, POD_JOULES + _selector(scope), scope, window)


def resets(scope: Scope, window: Window) -> str:
    """Pods of which a counter fell: all of a node's do when its Kepler restarts (M5)."""
    series = POD_JOULES + _selector(scope) + span(scope, window, RESET_LOOKBACK_SECONDS)
    return f"group by (pod_id) (resets({series}) > 0)"


def lowest(scope: Scope, window: Window) -> str:
    """The lowest of the same; below what is known, the counter fell on the way into the window."""
    series = POD_JOULES + _selector(scope) + span(scope, window)
    return f"min by ({KEY}) (min_over_time({series}))"


def raw_joules(scope: Scope, window: Window, only: str) -> str:
    """Raw samples of some pods' counters: where one fell, every sample counts."""
    return POD_JOULES + _selector(scope, only) + span(scope, window, RESET_LOOKBACK_SECONDS)


def _selector(scope: Scope, *matchers: str) -> str:
    by_name = f"pod_name=~{quote(scope.pod)}" if scope.among_many else ""
    if scope.names:
        by_name = one_of("pod_name", scope.names)
    place = f"pod_namespace={quote(scope.namespace)}"
    zones = f"zone=~{quote('|'.join(scope.energy_zones))}"
    return scope.selector(place, by_name, zones, *matchers)
