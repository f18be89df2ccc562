"""What a source can be asked: since when, until when, and how it spells its labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from accounting.errors import SeveralClusters, SourceRefused, SourceTooLarge
from accounting.measure.promql import ksm, kubelet, presence
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage import heartbeat
from accounting.measure.usage.samples import Points
from accounting.model.time import Window
from accounting.store.ledger import Progress

log = structlog.get_logger(__name__)

# With more other pods in the namespace, the engine leaves them out by name.
_MANY_OTHERS = 300
_SCHEDULED = "kube_pod_resource_request"
_HOUR = 3600
_DAY = 86400


@dataclass(frozen=True)
class Spoken:
    """How far a source has spoken.

    Attributes:
        until: what can be covered now, Unix seconds.
        silent_since: its last sample, if it says nothing any more.
    """

    until: int
    silent_since: float | None


def oldest(source: Source, scope: Scope, until: int, history_days: int) -> int:
    """Since when the source knows the namespace, to the hour, Unix seconds.

    Raises:
        SourceRefused: it does not know it at all.
    """
    day = _first_day(source, scope, until, history_days)
    if day is None:
        raise SourceRefused(
            f"{source.url} knows nothing of the namespace '{scope.namespace}'",
            "set ACCOUNTING_PROMETHEUS__NAMESPACE to the hub's namespace, and see"
            " 'notebooks-accounting doctor' for whether kube-state-metrics is scraped",
        )
    near = Window(int(day) - 2 * _DAY, min(int(day) + _DAY, until))
    try:
        hour = source.first_time(presence.recent(scope, _HOUR), near, _HOUR)
    except SourceTooLarge:  # then to the day
        hour = None
    return int(hour if hour is not None else day) - _HOUR


def _first_day(source: Source, scope: Scope, until: int, history_days: int) -> float | None:
    """The search is shortened for as long as the source refuses its length."""
    while True:
        whole = Window(until - history_days * _DAY, until)
        try:
            return source.first_time(presence.recent(scope, _DAY), whole, _DAY)
        except SourceTooLarge as exc:
            if history_days <= 1:
                raise
            history_days //= 2
            log.warning(
                "the source refuses so long a search: older data, if any, needs 'poll --since'",
                days=history_days,
                limit=exc.message,
            )


def spelled(source: Source, scope: Scope, start: float, end: float) -> Scope:
    """The scope in this cluster's spelling of labels, as it was in a span (M11)."""
    # Only the container's own series have a label `container` that may be renamed.
    state = _spelling(source, scope, start, end, "kube_pod_status_phase", "kube_pod_container_info")
    return replace(
        scope,
        exported_state=state,
        exported_usage=_spelling(source, scope, start, end, kubelet.CPU),
        is_closed=all(count > 1 for _, count in source.vector(presence.CLOSED_RANGE, int(end))),
    )


def _spelling(
    source: Source, scope: Scope, start: float, end: float, *metrics: str
) -> frozenset[str]:
    """The labels that must be read as ``exported_…``.

    A second job that does not honour labels repeats what the first one says: where some series are
    as they should be, those are read.
    """
    renamed = _label_names(source, presence.renamed(scope, *metrics), start, end)
    if not _exported(renamed):
        return frozenset()
    plain = presence.unrenamed(scope, metrics[0])
    return frozenset() if _has_series(source, plain, start, end) else _exported(renamed)


# Prometheus answers at most 11,000 steps.
_MOST_STEPS = 1000
_SHORTEST_STEP_SECONDS = 300


def refuse_several(source: Source, scope: Scope, start: int, end: int) -> None:
    """Several clusters' namespaces of the same name would be mixed up.

    Raises:
        SeveralClusters: there are, at some time in the span.
    """
    step = max(_SHORTEST_STEP_SECONDS, (end - start) // _MOST_STEPS)
    try:
        at = source.first_time(presence.several_clusters(scope), Window(start, end), step)
    except SourceTooLarge:  # then at its end
        at = float(end) if source.vector(presence.several_clusters(scope), end) else None
    if at is not None:
        raise SeveralClusters(
            f"{source.url} holds several clusters with a namespace '{scope.namespace}', as of"
            f" {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC: they would be mixed up",
            "tell them apart with ACCOUNTING_PROMETHEUS__MATCHERS, for example"
            ' cluster="production"; nothing was recorded',
        )


def with_emitters(source: Source, scope: Scope, start: float, end: float) -> Scope:
    """The scope, with what else than cAdvisor and kube-state-metrics speaks in a span (M3, M10)."""
    named = [kubelet.named_containers(scope), kubelet.POD_CPU + scope.usage_selector()]
    scheduled = presence.named_in(scope, _SCHEDULED)
    has_scheduling = _has_series(source, scheduled, start, end)
    return replace(
        scope,
        has_names=_has_series(source, named, start, end),
        has_otel=_has_series(source, [kubelet.otel_pods(scope)], start, end),
        has_scheduling=has_scheduling,
        exported_scheduling=_spelling(source, scope, start, end, _SCHEDULED)
        if has_scheduling
        else frozenset(),
    )


def _has_series(source: Source, selectors: Sequence[str], start: float, end: float) -> bool:
    """VictoriaMetrics answers with the metric's name alone where there is no series."""
    return bool(_label_names(source, selectors, start, end) - {"__name__"})


def _label_names(source: Source, selectors: Sequence[str], start: float, end: float) -> set[str]:
    """Of a span, half by half where the source refuses its length."""
    try:
        return source.label_names(selectors, start, end)
    except SourceTooLarge:
        if end - start <= _HOUR:
            raise
    middle = (start + end) / 2
    return _label_names(source, selectors, start, middle) | _label_names(
        source, selectors, middle, end
    )


def is_among_many(source: Source, scope: Scope, end: int) -> bool:
    """Whether the namespace holds many pods that are no notebooks."""
    others = source.vector(presence.other_pods(scope, Window(end - _HOUR, end)), end)
    return any(count > _MANY_OTHERS for _, count in others)


def beats(source: Source, scope: Scope, window: Window, lookback_seconds: int = 0) -> list[Points]:
    """Sample times of what the source says of the namespace, else of its pods (M7)."""
    reach = Window(window.start - lookback_seconds, window.end)
    for query in (presence.heartbeat, presence.pods_heartbeat, ksm.running):
        series = source.raw(query(scope, reach), window.end)
        if found := [points for _, points in series if points]:
            return found
    return []


def spoken(
    source: Source, scope: Scope, window: Window, step_seconds: int, before: Progress
) -> Spoken:
    """How far the source has spoken in a span.

    Args:
        source: whom to ask.
        scope: about which namespace.
        window: the span; may be longer than a window for polling.
        step_seconds: how much to ask for at a time, from the end back.
        before: the last sample known from before, and the usual scrape interval.
    """
    last, interval = before.spoken_at, before.interval_seconds
    late = window.end
    while late > window.start:
        part = Window(max(window.start, late - step_seconds), late)
        try:
            found = beats(source, scope, part)
        except SourceTooLarge:
            if step_seconds <= _SHORTEST_STEP_SECONDS:
                raise
            step_seconds = max(step_seconds // 2, _SHORTEST_STEP_SECONDS)
            continue
        if found:
            last = max(points[-1][0] for points in found)
            interval = heartbeat.scrape_interval(found, interval)
            break
        late = part.start
    since = float(window.start) if last is None else last
    if window.end - since <= heartbeat.GAP_INTERVALS * interval:
        return Spoken(window.end, None)
    return Spoken(max(int(since), window.start), since)


def _exported(names: Iterable[str]) -> frozenset[str]:
    return frozenset(
        name.removeprefix("exported_") for name in names if name.startswith("exported_")
    )
