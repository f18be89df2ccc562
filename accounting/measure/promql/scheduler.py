"""Queries of kube-scheduler, which knows the resources of a pod as a whole (M10)."""

from accounting.measure.promql.scope import Scope, last, span
from accounting.model.time import Window


def scheduled_resources(scope: Scope, window: Window, only: str = "") -> str:
    """What kube-scheduler reserves: it knows the resources of the pod as a whole (M10)."""
    by = f"__name__, {scope.scheduling('pod')}, resource"
    return last(by, _scheduled(scope, only), scope, window)


def _scheduled(scope: Scope, only: str = "") -> str:
    names = '__name__=~"kube_pod_resource_(request|limit)"'
    return scope.scheduling_selector(names, 'resource=~"cpu|memory"', only)


def rescheduled(scope: Scope, window: Window, lookback_seconds: int) -> str:
    """The same of what kube-scheduler says, by name."""
    over = span(scope, window, lookback_seconds)
    pod = scope.scheduling("pod")
    return f"group by ({pod}) (changes({_scheduled(scope)}{over}) > 0)"


def raw_scheduled(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """The same of what kube-scheduler says."""
    return _scheduled(scope, only) + span(scope, window, lookback_seconds)
