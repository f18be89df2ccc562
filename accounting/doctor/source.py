"""Checks of the metrics' source."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from accounting.config import Settings
from accounting.doctor import emitters, energy
from accounting.doctor.accelerators import accelerators
from accounting.doctor.cluster import Patient
from accounting.doctor.database import watermark
from accounting.doctor.engine import Details
from accounting.doctor.finding import Finding, State, guarded
from accounting.doctor.volumes import homes
from accounting.errors import SeveralClusters
from accounting.measure.promql import presence, scheduler
from accounting.measure.promql.scope import Scope
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from accounting.wiring.source import source_of

_SOON = 600
_HOUR = 3600
_DAY = 86400


def metrics(settings: Settings, now: float) -> Iterator[Finding]:
    """Whether the source answers, and says all that records need."""
    with source_of(settings) as source:
        # The same way that a poll asks, so that its errors and cures are the same.
        source.vector("vector(1)", now)
        with closing(Details(settings)) as details:
            yield details.engine()
            yield from guarded("metrics", lambda: _cluster(settings, source, details, now))


def _cluster(settings: Settings, source: Source, details: Details, now: float) -> Iterator[Finding]:
    spelled = discovery.spelled(source, settings.scope(), now - _DAY, now)
    # A poll leaves pods out by name itself; here the counts are all that is asked for.
    patient = Patient(source, replace(spelled, among_many=True), now)
    state = patient.state_metrics(details)
    yield state
    if state.state is not State.FAILED:
        yield from _clusters(source, spelled, now)
        yield _labels(source, spelled, now)
        yield patient.scrape_interval(settings.prometheus.scrape_interval)
        yield patient.owners()
        yield from _scheduler(source, spelled, now)
        yield from accelerators(source, patient.scope, settings.site().kinds, now)
        if spelled.has_volumes:
            yield homes(source, spelled, now)
    yield patient.kubelets(details)
    yield from patient.cpu_level()
    yield from emitters.per_node(source, spelled, now)
    yield from energy.kepler(source, spelled, now)
    yield from _retention(settings, details, now)


def _clusters(source: Source, spelled: Scope, now: float) -> Iterator[Finding]:
    """Whether the namespace is one cluster's alone."""
    try:
        discovery.refuse_several(source, spelled, int(now) - _HOUR, int(now))
    except SeveralClusters as exc:
        yield Finding("clusters", State.FAILED, exc.message, exc.cure)
        return
    by = f", by {spelled.matchers}" if spelled.matchers else ""
    yield Finding("clusters", State.OK, f"one has the namespace '{spelled.namespace}'{by}")


def _labels(source: Source, spelled: Scope, now: float) -> Finding:
    if spelled.lacks_uid:
        what = (
            "a scrape of kube-state-metrics drops the label uid: the nodes' cgroups tell whose its"
            " series are, which the runtime's statistics and the resource endpoint cannot"
        )
        if not source.vector(presence.created_without_uid(spelled, _DAY), now):
            what += (
                "; kube_pod_created is not told either: where a user's next notebook begins within"
                " minutes, samples may count for the wrong one"
            )
        return Finding(
            "labels",
            State.WARNING,
            what,
            "let the scrape keep it (metric_relabel_configs with action labeldrop)",
        )
    spellings = (
        {spelled.exported_state, *spelled.other_state},
        {spelled.exported_usage, *spelled.other_usage},
    )
    names = frozenset[str]().union(*(names for found in spellings for names in found))
    if not names:
        return Finding("labels", State.OK, "labels are as the exporters wrote them")
    read = ", ".join(f"exported_{name}" for name in sorted(names))
    if any(len(found) > 1 for found in spellings):
        what = f"Prometheus renames them in some scrapes (honor_labels is off there); {read} are"
        return Finding("labels", State.OK, f"{what} read, too")
    what = f"Prometheus renames them when it scrapes (honor_labels is off); {read} are read instead"
    return Finding("labels", State.OK, what)


def _scheduler(source: Source, spelled: Scope, now: float) -> Iterator[Finding]:
    """Whether kube-scheduler, if it was scraped, still is."""
    if source.vector(scheduler.speaks(spelled, _SOON), now):
        yield Finding("sizes", State.OK, "kube-scheduler tells what pods hold")
    elif source.vector(scheduler.speaks(spelled, _DAY), now):
        yield Finding(
            "sizes",
            State.WARNING,
            "kube-scheduler told what pods hold within 24 h, and is silent now: resources of pods"
            " as a whole and overhead are unknown; what it said of notebooks that have not run yet"
            " may be lost",
            "scrape its /metrics/resources again; if that was given up, pods' containers tell it",
        )


def _retention(settings: Settings, details: Details, now: float) -> Iterator[Finding]:
    """Whether what has not been read yet is still there."""
    kept = details.retention_seconds()
    if kept is None:
        return
    said = f"samples are kept for {kept / _DAY:g} days"
    read_until = watermark(settings)
    behind = None if read_until is None else now - read_until
    cure = "poll now; keep samples longer than any outage (--storage.tsdb.retention.time)"
    if behind is not None and behind > kept:
        what = f"{said}, but the last poll ended {behind / _DAY:.1f} days ago: usage was lost"
        yield Finding("retention", State.FAILED, what, cure)
    elif behind is not None and behind > kept / 2:
        what = f"{said}, and the last poll ended {behind / _DAY:.1f} days ago"
        yield Finding("retention", State.WARNING, what, cure)
    else:
        yield Finding("retention", State.OK, said)
