"""What a source can be asked: since when, until when, and how it spells its labels."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from accounting.errors import SeveralClusters, SourceRefused, SourceTooLarge
from accounting.measure.promql import kepler, ksm, kubelet, presence
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage import heartbeat
from accounting.measure.usage.samples import Labels, Points, label
from accounting.measure.usage.sizes import SOON_SECONDS
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
        hour = _first_time(source, scope, lambda form: presence.recent(form, _HOUR), near, _HOUR)
    except SourceTooLarge:  # then to the day
        hour = None
    return int(hour if hour is not None else day) - _HOUR


def _first_time(
    source: Source,
    scope: Scope,
    query: Callable[[Scope], str],
    window: Window,
    step_seconds: int,
) -> float | None:
    """The first step at which a query has an answer in any spelling."""
    times = [
        source.first_time(query(form), window, step_seconds) for form in scope.spellings_of_state
    ]
    return min((at for at in times if at is not None), default=None)


def _first_day(source: Source, scope: Scope, until: int, history_days: int) -> float | None:
    """The search is shortened for as long as the source refuses its length."""
    while True:
        whole = Window(until - history_days * _DAY, until)
        try:
            return _first_time(source, scope, lambda s: presence.recent(s, _DAY), whole, _DAY)
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
    states, is_state_mixed = _spellings(source, scope, start, end, *presence.OF_PODS)
    usages, is_usage_mixed = _spellings(source, scope, start, end, kubelet.CPU)
    return replace(
        scope,
        exported_state=states[0],
        exported_usage=usages[0],
        other_state=tuple(states[1:]),
        other_usage=tuple(usages[1:]),
        has_foreign=is_state_mixed or is_usage_mixed,
        more_conflicts=_more_conflicts(source, scope, start, end),
        lacks_uid=_has_series(source, presence.without_uid(scope), start, end),
        is_closed=all(count > 1 for _, count in source.vector(presence.CLOSED_RANGE, int(end))),
    )


_CONFLICT = re.compile(r"(?:annotation|label)_\w+(_conflict\d+)")


def _more_conflicts(source: Source, scope: Scope, start: float, end: float) -> tuple[str, ...]:
    """The endings by which annotations and labels are told apart, but for the usual ones."""
    names = _label_names(source, presence.unnamed(scope), start, end)
    endings = {found[1] for name in names if (found := _CONFLICT.fullmatch(name))}
    return tuple(sorted(endings.difference(ksm.CONFLICTS)))


# Which of PLACE a scrape renames; usually none, or both.
_RENAMED = (
    frozenset[str](),
    frozenset({"namespace", "pod"}),
    frozenset({"pod"}),
    frozenset({"namespace"}),
)


def _spellings(
    source: Source, scope: Scope, start: float, end: float, *metrics: str
) -> tuple[list[frozenset[str]], bool]:
    """How our namespace's series are spelled.

    Several jobs may scrape the same, or a job may be changed: then all spellings are read, and what
    is said twice counts once.

    Returns:
        The sets of labels that must be read as ``exported_…``, at least one; whether there may be
        series of other namespaces' pods that have ours as the label ``namespace``.
    """
    exported = _exported(_label_names(source, presence.renamed(scope, *metrics), start, end))
    if not exported:
        return [frozenset()], False
    found = []
    for renamed in _RENAMED:
        told = [presence.spelled(scope, metric, renamed) for metric in metrics]
        if _has_series(source, told, start, end):
            boxes = [
                presence.spelled(scope, metric, renamed, 'exported_container!=""')
                for metric in metrics
            ]
            has_boxes = _has_series(source, boxes, start, end)
            found.append(renamed | {"container"} if has_boxes else renamed)
    return found or [frozenset()], "namespace" in exported


# Prometheus answers at most 11,000 steps.
_MOST_STEPS = 1000
_SHORTEST_STEP_SECONDS = 300


def refuse_several(source: Source, scope: Scope, start: int, end: int) -> None:
    """Several clusters' namespaces of the same name would be mixed up.

    Raises:
        SeveralClusters: there are, at some time in the span.
    """
    step = max(_SHORTEST_STEP_SECONDS, (end - start) // _MOST_STEPS)
    told = [presence.namespaces(form) for form in scope.spellings_of_state]
    by_pods = not _has_series(source, told, start, end)
    query = presence.several_clusters_by_pods if by_pods else presence.several_clusters
    try:
        at = _first_time(source, scope, query, Window(start, end), step)
    except SourceTooLarge:  # then at its end
        queries = [query(form) for form in scope.spellings_of_state]
        at = float(end) if any(source.vector(text, end) for text in queries) else None
    if at is not None:
        raise SeveralClusters(
            f"{source.url} holds several clusters with a namespace '{scope.namespace}', as of"
            f" {datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC: they would be mixed up",
            "tell them apart with ACCOUNTING_PROMETHEUS__MATCHERS, for example"
            ' cluster="production"; nothing was recorded',
        )


def with_emitters(source: Source, scope: Scope, start: float, end: float) -> Scope:
    """The scope, with what else than cAdvisor and kube-state-metrics speaks in a span (M3, M10)."""
    named = [
        selector
        for form in scope.spellings_of_usage
        for selector in (
            *kubelet.named_containers(form),
            kubelet.POD_CPU + form.usage_selector(),
        )
    ]
    scheduled = presence.named_in(scope, _SCHEDULED)
    since = start - RESET_LOOKBACK_SECONDS - SOON_SECONDS  # what is told of sizes stands so long
    has_scheduling = _has_series(source, scheduled, since, end)
    scheduling, *other_scheduling = (
        _spellings(source, scope, since, end, _SCHEDULED)[0]
        if has_scheduling
        else [frozenset[str]()]
    )
    return replace(
        scope,
        has_names=_has_series(source, named, start, end),
        has_otel=_has_series(source, [kubelet.otel_pods(scope)], start, end),
        has_scheduling=has_scheduling,
        exported_scheduling=scheduling,
        other_scheduling=tuple(other_scheduling),
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


def pod_names(source: Source, scope: Scope, window: Window) -> list[str]:
    """The names of the pods that count and are listed in a window; only its index is asked."""
    return sorted({label(labels, "pod") for labels in _listed(source, scope, window)})


def pod_uids(source: Source, scope: Scope, window: Window) -> set[str]:
    """The uids of the same pods."""
    return {labels.get("uid", "") for labels in _listed(source, scope, window)}


def has_other_zones(source: Source, scope: Scope, window: Window) -> bool:
    """Whether Kepler tells of zones besides the preferred one; only its index is asked."""
    series = kepler.of_other_zones(scope)
    return _has_series(source, [series], window.start, window.end)


def _listed(source: Source, scope: Scope, window: Window) -> Iterator[Labels]:
    """The labels of the pods' phase series; where their list is refused, of their samples.

    VictoriaMetrics lists 30,000 series at most, and answers questions about ten times as many.
    """
    is_ours = re.compile(scope.pod).fullmatch
    for form in scope.spellings_of_state:
        selector = "kube_pod_status_phase" + form.state_selector(ksm.RUNNING)
        try:
            found: Iterable[Labels] = source.label_sets(selector, window.start, window.end)
        except SourceTooLarge:
            found = [labels for labels, _ in source.vector(ksm.listed(form, window), window.end)]
        yield from (labels for labels in found if is_ours(label(labels, "pod")))


def is_among_many(source: Source, scope: Scope, end: int) -> bool:
    """Whether the namespace holds many pods that are no notebooks."""
    window = Window(end - _HOUR, end)
    queries = [presence.other_pods(form, window) for form in scope.spellings_of_state]
    try:
        counts = [count for query in queries for _, count in source.vector(query, end)]
    except SourceTooLarge:
        return True
    return any(count > _MANY_OTHERS for count in counts)


def beats(source: Source, scope: Scope, window: Window, lookback_seconds: int = 0) -> list[Points]:
    """Sample times of what the source says of the namespace, else of its pods (M7)."""
    reach = Window(window.start - lookback_seconds, window.end)
    for query in (presence.heartbeat, presence.pods_heartbeat, ksm.running):
        texts = dict.fromkeys(query(form, reach) for form in scope.spellings_of_state)
        raw = (series for text in texts for series in source.raw(text, window.end))
        series = [points for _, points in raw if points]
        if series:
            return series
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
