"""Queries of Kepler (0.10 or newer): the energy that pods took.

Source: Kepler's docs/user/metrics.md. Labels that it gives its series do not clash with those of a
scrape: no ``exported_`` spelling is needed.
"""

from collections.abc import Sequence

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope, last, one_of, quote, span
from accounting.model.time import Window

POD_JOULES = "kepler_pod_cpu_joules_total"
KEY = "pod_id, zone"
"""What a counter is of. A pod that has ended may be told a second time, as ``terminated``."""
_OF_THE_POD = "pod_name, pod_namespace, node_name"
"""A pod's series never differ in these; in others, those of another Kepler do."""


def joules(scope: Scope, window: Window) -> str:
    """Joules of each pod that Kepler tells the preferred zone of, by each Kepler that tells them.

    The two states of a pod are one counter: max, not sum (M4). That there are several series of a
    state is told by these and ``told_shortly_before``: to look for it as ``resets_of`` does would
    take half as long as all else about the zone.
    """
    series = POD_JOULES + _selector(scope, _of(scope.energy_zones[0])) + span(scope, window)
    return f"max without ({_OF_THE_POD}) (last_over_time({series}))"


def other_joules(scope: Scope, window: Window, only: str = "") -> str:
    """Joules of pods without that zone: of the first one of the others that Kepler tells of them.

    Zones overlap, so one is enough; those of a pod are of one node, and count alike.
    """
    return " or on (pod_id) ".join(
        last(KEY, POD_JOULES + _selector(scope, _of(zone), only), scope, window)
        for zone in scope.energy_zones[1:]
    )


def of_other_zones(scope: Scope) -> str:
    """The series of all zones to read but the preferred one."""
    return POD_JOULES + _selector(scope, _one_of(scope.energy_zones[1:]))


def resets(scope: Scope, window: Window) -> str:
    """Pods of which a series fell: all of a node's do when its Kepler restarts (M5).

    The preferred zone's tell it; ``resets_of`` is about pods that have no such zone.
    """
    zone = _of(scope.energy_zones[0])
    series = POD_JOULES + _selector(scope, zone) + span(scope, window, RESET_LOOKBACK_SECONDS)
    return f"group by (pod_id) (resets({series}) > 0)"


def resets_of(scope: Scope, window: Window, only: str) -> str:
    """Of some pods, those of which a zone's counter fell.

    Falls within a series, and counters of several: a Kepler that is another pod begins one.
    """
    series = POD_JOULES + _selector(scope, only) + span(scope, window, RESET_LOOKBACK_SECONDS)
    of_each = f"count by ({KEY}, state) (last_over_time({series}))"
    return f"group by (pod_id) (resets({series}) > 0) or group by (pod_id) ({of_each} > 1)"


def told_shortly_before(scope: Scope, window: Window) -> str:
    """Pods of which ``resets`` sees the last sample before the window, too; as ``joules`` does."""
    zone = _of(scope.energy_zones[0])
    return f"group without ({_OF_THE_POD}) ({_last_before(scope, window, zone)})"


def told_before_of_others(scope: Scope, window: Window) -> str:
    """The same of pods that have other zones."""
    zones = _one_of(scope.energy_zones[1:])
    return f"group by (pod_id) ({_last_before(scope, window, zones)})"


def _last_before(scope: Scope, window: Window, zones: str) -> str:
    shortly = Window(window.start - RESET_LOOKBACK_SECONDS, window.start)
    series = POD_JOULES + _selector(scope, zones) + span(scope, shortly)
    return f"last_over_time({series} offset {window.seconds}s)"


def lowest(scope: Scope, window: Window, only: str) -> str:
    """The lowest of some pods; below what is known, the counter fell on the way into the window."""
    series = POD_JOULES + _selector(scope, only) + span(scope, window)
    return f"min by ({KEY}) (min_over_time({series}))"


def raw_joules(scope: Scope, window: Window, only: str, *, zone: str) -> str:
    """Raw samples of some pods' counters: where one fell, every sample counts."""
    selector = _selector(scope, _of(zone), only)
    return POD_JOULES + selector + span(scope, window, RESET_LOOKBACK_SECONDS)


def _of(zone: str) -> str:
    return f"zone={quote(zone)}"


def _one_of(zones: Sequence[str]) -> str:
    return f"zone=~{quote('|'.join(zones))}"


def _selector(scope: Scope, *matchers: str) -> str:
    by_name = f"pod_name=~{quote(scope.pod)}" if scope.among_many else ""
    if scope.names:
        by_name = one_of("pod_name", scope.names)
    place = f"pod_namespace={quote(scope.namespace)}"
    if not any(matcher.startswith("zone=") for matcher in matchers):
        matchers = (_one_of(scope.energy_zones), *matchers)
    return scope.selector(place, by_name, *matchers)
