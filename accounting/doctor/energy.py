"""Whether Kepler tells what energy is accounted for by."""

from collections import defaultdict
from collections.abc import Iterator

from accounting.doctor.finding import Finding, State
from accounting.measure.promql.kepler import POD_JOULES
from accounting.measure.promql.scope import Scope, quote
from accounting.measure.source.prometheus import Source

_RECENT = "[1h]"
_OLD = "kepler_container_joules_total"
"""Kepler before 0.10 has no pods' uids."""
_BUILD = "kepler_build_info"
_INSTALL = "install Kepler 0.10 or newer on all nodes, and have Prometheus scrape it"


def kepler(source: Source, scope: Scope, now: float) -> Iterator[Finding]:
    """Which Kepler and which zones there are; none where energy is not asked for."""
    if not scope.energy_zones:
        return

    def asked(query: str) -> list[dict[str, str]]:
        return [dict(labels) for labels, _ in source.vector(query, now)]

    place = scope.selector(f"pod_namespace={quote(scope.namespace)}")
    zones = asked(f"group by (zone) (last_over_time({POD_JOULES}{place}{_RECENT}))")
    everywhere = POD_JOULES + scope.selector()
    if not zones and asked(f"group by (zone) (last_over_time({everywhere}{_RECENT}))"):
        yield Finding("Kepler", State.OK, "speaks, and of no notebook in the last hour")
        return
    version = _version(asked(f"group by (version) (last_over_time({_BUILD}{_RECENT}))"))
    if not zones:
        yield _missing(version, is_old=bool(asked(f"group (last_over_time({_OLD}{_RECENT}))")))
        return
    told = sorted({labels.get("zone", "") for labels in zones})
    wanted = next((zone for zone in scope.energy_zones if zone in told), None)
    said = f"{version}tells of the zones {', '.join(told)}"
    if wanted is None:
        cure = "name one of them in ACCOUNTING_ENERGY__ZONES, or mend Kepler's RAPL zones"
        yield Finding("Kepler", State.WARNING, f"{said}; none of them is wanted", cure)
    else:
        yield Finding("Kepler", State.OK, f"{said}; {wanted} is taken, and never a sum")


def _missing(version: str, *, is_old: bool) -> Finding:
    if is_old:
        what = "is older than 0.10: its series name no pod's uid"
        return Finding("Kepler", State.WARNING, what, _INSTALL)
    if version:
        what = f"{version}tells of no pod"
        cure = "have Kepler's metricsLevel include 'pod'; most virtual machines show no RAPL zones"
        return Finding("Kepler", State.WARNING, what, cure)
    what = "is not in Prometheus: energy stays unknown, or estimated"
    return Finding("Kepler", State.WARNING, what, _INSTALL)


def _version(found: list[dict[str, str]]) -> str:
    versions: dict[str, int] = defaultdict(int)
    for labels in found:
        versions[labels.get("version", "")] += 1
    known = sorted(version for version in versions if version)
    return f"{', '.join(known)} " if known else ""
