"""Checks of what tells of home volumes, where they are measured."""

from collections.abc import Iterable

from accounting.doctor.cluster import ALLOWLIST
from accounting.doctor.finding import Finding, State
from accounting.measure.promql import volumes
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Row, owner_of
from accounting.model.time import Window

CLAIMS_ALLOWLIST = "persistentvolumeclaims=[hub.jupyter.org/username,egi.eu/primary_group]"

_DAY = 86400


def homes(source: Source, scope: Scope, now: float) -> Finding:
    """Whether claims say whose they are, and whether anything measures what is in them."""
    day = Window(int(now) - _DAY, int(now))
    forms = scope.spellings_of_state
    rows = [row for form in forms for row in source.vector(volumes.claims(form, day), now)]
    claims = _names(rows, volumes.SIZE)
    if not claims:
        return Finding(
            "home volumes",
            State.WARNING,
            f"kube-state-metrics shows no volume claim in '{scope.namespace}'",
            "let it show persistentvolumeclaims (--resources), unless homes are folders of a share"
            " that a directory-size exporter tells of",
        )
    told_of = [row for row in rows if owner_of(row[0]).user]
    named = len(_names(told_of, volumes.ANNOTATIONS))
    if not named:
        return Finding(
            "home volumes",
            State.WARNING,
            f"none of {len(claims)} volume claims shows whose it is: each counts for the user"
            " whose notebook mounts it",
            f"start kube-state-metrics with {ALLOWLIST},{CLAIMS_ALLOWLIST}",
        )
    use = source.vector(volumes.use(scope, day), now)
    if not use:
        return Finding(
            "home volumes",
            State.WARNING,
            f"nothing tells what is in {len(claims)} volumes: their size counts as used",
            "let Prometheus scrape the kubelets' /metrics (kubelet_volume_stats_…) and keep it, or"
            " run a directory-size exporter",
        )
    told = len(_names(use, volumes.USED))
    folders = sum(labels.get("__name__") == volumes.DIRECTORY for labels, _ in use)
    what = f"of {len(claims)} volume claims in 24 h, {named} show whose they are"
    return Finding(
        "home volumes", State.OK, f"{what}; kubelets tell of {told}, an exporter of {folders}"
    )


def _names(rows: Iterable[Row], metric: str) -> set[str]:
    return {
        labels.get("persistentvolumeclaim", "")
        for labels, _ in rows
        if labels.get("__name__") == metric
    }
