"""Counters that fall for a moment and come back: they have not restarted (M5)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Rejected
from accounting.model.pods import Implausible
from accounting.simulation.stores.engines import run_victoria_metrics
from accounting.store.engine.database import Database
from tests.exactness.matrix import combined
from tests.exactness.notebooks import ENGINES
from tests.exactness.polling import poller
from tests.exactness.test_exact_cases import END, LIFE, START, Case, imported, served, usual
from tests.exactness.varied import (
    FIRST,
    Expected,
    both,
    half,
    hold_to,
    otel,
    own,
    without_own,
)

CPU = "container_cpu_usage_seconds_total"


def of_pod(case: Case) -> str:
    return own(case)


def of_container(case: Case) -> str:
    return case.cgroup(f"/kubepods/burstable/pod{case.uid}/{FIRST}", "notebook")


def of_bare_id(case: Case) -> str:
    return case.cgroup(FIRST, "notebook")


def of_named_pod(case: Case) -> str:
    return f'pod_cpu_usage_seconds_total{{namespace="{case.name}",pod="jupyter-a"}}'


def of_named_container(case: Case) -> str:
    return f'{CPU}{{namespace="{case.name}",pod="jupyter-a",container="notebook"}}'


def of_otel_container(case: Case) -> str:
    return otel(case, "notebook")


LEVELS = (
    of_pod,
    of_container,
    of_bare_id,
    of_named_pod,
    of_named_container,
    otel,
    of_otel_container,
)
# By number: sample 60 is the last one of a month, of an hour, and of each step of 600 s; 61 the
# first one of the next; windows of 430 s end between 64 and 65, 71 and 72, …
DIPS: dict[str, dict[int, float]] = {
    "over a month's end": {60: 4.0, 61: 5.0, 71: 0.0, 72: 0.0, 100: 30.0, 110: 3200.0},
    "at a month's end": {60: 0.0, 64: 700.0, 90: 2640.0},
}
MORE = {
    "just after a month's end": {61: 0.0},
    "early": {15: 0.0, 25: 3.0, 26: 4.0, 40: 0.0},
    "to nearly what it was": {60: 1740.0, 90: 2640.0, 110: 3200.0},
}


def dipping(number: int, series_of: Callable[[Case], str], dips: dict[int, float]) -> Expected:
    case = without_own(number)
    series = series_of(case)
    case.say(series, half)
    for sample, value in dips.items():
        case.seen[series][sample] = (START + 60 * sample, value)
    return Expected(case)


def dipping_with_its_node() -> Expected:
    """Everything that the node tells dips, the pod's own cgroup and its container."""
    expected = dipping(495, of_pod, {80: 0.0})
    series = of_container(expected.case)
    expected.case.say(series, half)
    expected.case.seen[series][80] = (START + 4800, 0.0)
    return expected


def containers_that_dip_below_their_pod() -> Expected:
    """A pod's cgroup does not stand still because its containers seem to do more."""
    expected = dipping(496, of_pod, {})
    series = of_container(expected.case)
    expected.case.say(series, half)
    for sample in (50, 70, 90, 119):
        expected.case.seen[series][sample] = (START + 60 * sample, 0.0)
    expected.case.seen[of_pod(expected.case)][119] = (START + 60 * 119, 100.0)
    return expected


def containers_that_dip_before_they_take_over() -> Expected:
    """Samples of before are read again for a second dip: there the first one is just over.

    They have been made anew, so that the pod's cgroup has counted more than they have.
    """
    expected = dipping(505, of_pod, {})
    case = expected.case
    series = of_container(case)
    case.say(series, lambda at: max(0.0, half(at) - 600.25))
    for sample in (75, 76, 90):
        case.seen[series][sample] = (START + 60 * sample, 0.0)
    case.seen[of_pod(case)] = case.seen[of_pod(case)][:80]
    return replace(expected, last={"cpu_seconds": LIFE // 2 - 30})


def pod_that_seems_to_stand_still() -> Expected:
    """All that its node tells dips at the end of a window, and its containers come back first.

    Its own cgroup grew by more than it shows there: the next source does not count instead, whose
    dip nobody would see taken back before its own turn.
    """
    case = without_own(501)

    def counted(since: float) -> float:
        return min(since, 3000) + max(since - 4620, 0) * 0.75

    for series_of, low in ((of_pod, (78, 79, 80)), (of_container, (78,)), (of_named_pod, (79, 80))):
        case.say(series := series_of(case), counted)
        for sample in low:
            case.seen[series][sample] = (START + 60 * sample, 0.0)
    for series in (of_pod(case), of_container(case)):
        case.seen[series] = case.seen[series][:101]
    return Expected(case, {"cpu_seconds": int(counted(LIFE))})


def dip_before_a_silence() -> Expected:
    """Its node is silent until no look back reaches the fall: its limit alone tells that it dipped.

    Nobody uses so much meanwhile who is limited to half a core.
    """
    expected = dipping(502, of_pod, {63: 0.0})
    case = expected.case
    labels = f'{case.state},container="notebook",resource="cpu"'
    case.say(f"kube_pod_container_resource_limits{{{labels}}}", lambda _: 0.5)
    points = case.seen[of_pod(case)]
    case.seen[of_pod(case)] = points[:64] + points[100:]
    return expected


def dip_before_its_limit_is_raised() -> Expected:
    """So young that its limit alone tells the dip, before it may use eight times as much."""
    case = without_own(503)
    case.say(own(case), lambda at: at * 0.9)
    case.seen[own(case)][3] = (START + 180, 0.0)
    labels = f'{case.state},container="notebook",resource="cpu"'
    limits = f"kube_pod_container_resource_limits{{{labels}}}"
    case.say(limits, lambda at: 1.0 if at < 3600 else 8.0)
    return Expected(case, {"cpu_seconds": int(LIFE * 0.9)})


def traffic(case: Case) -> str:
    labels = f'namespace="{case.name}",pod="jupyter-a",id="/kubepods/pod{case.uid}/{FIRST}"'
    return f'container_network_receive_bytes_total{{{labels},interface="eth0"}}'


def slight_dip_at_the_last_sample(number: int, ends_at: int) -> Expected:
    """Its network is the one that was known: nothing else says that its node has rebooted."""
    case = usual(f"varied-{number}", number)
    case.say(traffic(case), lambda at: at * 1000)
    for series, points in case.seen.items():
        if "namespace_created" not in series:
            case.seen[series] = [point for point in points if point[0] <= START + ends_at]
    before = case.seen[own(case)][-2][1]
    case.seen[own(case)][-1] = (START + ends_at, before - 10)
    return Expected(case, {"cpu_seconds": int(before), "wall": ends_at})


def slight_dip_at_the_last_sample_and_a_window_s_end() -> Expected:
    return slight_dip_at_the_last_sample(499, 6600)


def slight_dip_at_the_last_sample_within_a_window() -> Expected:
    return slight_dip_at_the_last_sample(500, 6840)


def dip_of_traffic() -> Expected:
    case = usual("varied-498", 498)
    series = traffic(case)
    case.say(series, lambda at: at * 2**20)
    case.seen[series][57] = (START + 3420, 0.0)
    case.seen[series][80] = (START + 4800, 1000.0)
    return Expected(case, {"received_gb": LIFE * 2**20 // 2**30})


def restart(number: int, series_of: Callable[[Case], str], at: int, pace: float) -> Expected:
    """It begins anew, and has soon counted as much as before."""
    case = without_own(number)

    def counted(since: float) -> float:
        return since / 100 if since < at else (since - at) * pace

    case.say(series_of(case), counted)
    return Expected(case, {"cpu_seconds": int(counted(at - 60) + counted(LIFE))})


def restart_beside_a_limit() -> Expected:
    """Only its sidecar is limited, so nothing bounds what the pod uses."""
    expected = restart(504, of_pod, 3660, 1.5)
    case = expected.case
    for series in [name for name in case.seen if "_resource_requests" in name]:
        del case.seen[series]
    for box in ("notebook", "sync"):
        case.say(
            f'kube_pod_container_info{{{case.state},container="{box}",image="i"}}', lambda _: 1
        )
    labels = f'{case.state},container="sync",resource="cpu"'
    case.say(f"kube_pod_container_resource_limits{{{labels}}}", lambda _: 0.1)
    return expected


RESTARTS = {
    f"restart {series_of.__name__} at {at} s": restart(number, series_of, at, 1.5)
    for number, (series_of, at) in enumerate(
        (
            (series_of, at)
            for series_of in (of_pod, of_named_container)
            for at in (3600, 3660, 4320)
        ),
        480,
    )
}
OTHERS = (
    dipping_with_its_node,
    containers_that_dip_below_their_pod,
    containers_that_dip_before_they_take_over,
    pod_that_seems_to_stand_still,
    dip_before_a_silence,
    dip_before_its_limit_is_raised,
    dip_of_traffic,
    restart_beside_a_limit,
    slight_dip_at_the_last_sample_and_a_window_s_end,
    slight_dip_at_the_last_sample_within_a_window,
)
CASES = {
    **{
        f"{series_of.__name__} {what}".replace("_", " "): dipping(number, series_of, DIPS[what])
        for number, (series_of, what) in enumerate(
            ((series_of, what) for series_of in LEVELS for what in DIPS), 400
        )
    },
    **{
        f"of pod {what}": dipping(number, of_pod, dips)
        for number, (what, dips) in enumerate(MORE.items(), 450)
    },
    **RESTARTS,
    **{made.__name__.replace("_", " "): made() for made in OTHERS},
}


def all_cases() -> Iterable[Case]:
    return both(CASES.values())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("dips"), all_cases()) as url:
        yield url


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("victoria") / "data"
    with run_victoria_metrics(folder) as engine:
        imported(engine.url, all_cases())
        yield engine.url


@pytest.mark.parametrize(
    ("name", "engine", "is_at_month_s_end"), combined(CASES, ENGINES, [True, False])
)
def test_a_dip_is_no_restart_and_a_restart_is_one_in_any_steps(
    request: pytest.FixtureRequest,
    new_ledger: Callable[[], str],
    name: str,
    is_at_month_s_end: bool,
    engine: str,
) -> None:
    url = request.getfixturevalue(engine)
    hold_to(CASES[name], url, new_ledger, is_at_month_s_end=is_at_month_s_end)


@pytest.mark.parametrize("every", [300, 600, 6 * 3600])
def test_a_dip_is_counted_as_set_aside(
    prometheus: str, new_ledger: Callable[[], str], every: int
) -> None:
    case = CASES["of named pod over a month's end"].case
    with Database(new_ledger()) as database, Source(prometheus) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(f"{case.name}-0", "jupyter-.*"))
        reports = [one.poll(until) for until in [*range(START + every, END, every), END]]
    assert sum((report.rejected for report in reports), start=type(reports[0].rejected)()) == {
        Rejected(CPU, Implausible.FELL): 3
    }
    assert not all(report.is_complete for report in reports)
