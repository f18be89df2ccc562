"""Queries of kube-scheduler, which knows the resources of a pod as a whole (M10)."""

from accounting.measure.promql.scope import Scope, last, span
from accounting.model.time import Window

_REQUEST, _LIMIT = "kube_pod_resource_request", "kube_pod_resource_limit"


def scheduled_resources(scope: Scope, window: Window, only: str = "") -> str:
    """What kube-scheduler reserves: it knows the resources of the pod as a whole (M10)."""
    by = f"__name__, {scope.scheduling('pod')}, resource"
    return last(by, _scheduled(scope, only), scope, window)


def _scheduled(scope: Scope, only: str = "", metric: str = f"{_REQUEST}|{_LIMIT}") -> str:
    names = f'__name__=~"{metric}"'
    return scope.scheduling_selector(names, 'resource=~"cpu|memory"', only)


def speaks(scope: Scope, seconds: int) -> str:
    """Whether kube-scheduler told of anybody's pod."""
    return f"group(last_over_time({_REQUEST}{scope.selector()}[{seconds}s]))"


def rescheduled(scope: Scope, window: Window, lookback_seconds: int) -> str:
    """The same of what kube-scheduler says, by name.

    Metric by metric: ``changes`` drops their names, and their other labels are the same.
    """
    over = span(scope, window, lookback_seconds)
    pod = scope.scheduling("pod")
    return " or ".join(
        f"group by ({pod}) (changes({_scheduled(scope, metric=metric)}{over}) > 0)"
        for metric in (_REQUEST, _LIMIT)
    )


def first_scheduled(scope: Scope, window: Window, lookback_seconds: int) -> str:
    """Pods, by name, with values of kube-scheduler now, but none in the time looked back."""
    before = Window(window.start - lookback_seconds, window.start)
    by, series = scope.scheduling("pod"), _scheduled(scope)
    return (
        f"group by ({by}) (last_over_time({series}{span(scope, window)})) unless group by ({by})"
        f" (last_over_time({series}{span(scope, before)} offset {window.seconds}s))"
    )


def raw_scheduled(scope: Scope, window: Window, lookback_seconds: int, only: str) -> str:
    """The same of what kube-scheduler says."""
    return _scheduled(scope, only) + span(scope, window, lookback_seconds)
