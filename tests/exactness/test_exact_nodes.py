"""Nodes that die, and nodes whose clocks are wrong (cases.md, 6, 7, 8)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, served, usual

DIED = 1800
NODE = "node-a"


@dataclass
class Expected:
    """The right figures of a case, in seconds, and a flag."""

    case: Case
    wall: int
    cpu: int | None
    flag: str = ""


def on_node(name: str, number: int, ready: Callable[[int], bool]) -> Case:
    """A notebook on a node that is ready at some seconds after the start."""
    case = usual(name, number)
    case.say(f'kube_pod_info{{{case.state},node="{NODE}-{name}"}}', lambda _: 1)
    condition = f'node="{NODE}-{name}",condition="Ready",status="true"'
    series = f"kube_node_status_condition{{{condition}}}"
    case.seen[series] = [(START + at, int(ready(at))) for at in range(-600, END - START, 60)]
    return case


def told_until(case: Case, *spans: tuple[int, int]) -> Case:
    """Its kubelet is scraped in these spans only."""
    own = case.cgroup(f"/kubepods/burstable/pod{case.uid}")
    case.seen[own] = [
        point
        for point in case.seen[own]
        if any(start <= point[0] - START <= end for start, end in spans)
    ]
    return case


def dead_node() -> Expected:
    """kube-state-metrics goes on saying Running until the pod is forgotten."""
    case = told_until(on_node("dead", 50, lambda at: at < DIED + 40), (0, DIED))
    return Expected(case, DIED + 60, DIED // 2, "node lost")


def dead_node_that_is_forgotten() -> Expected:
    """The node object and its pods are deleted an hour later."""
    case = told_until(on_node("forgotten", 51, lambda at: at < DIED + 40), (0, DIED))
    for series, points in case.seen.items():
        if "namespace_created" not in series:
            case.seen[series] = [point for point in points if point[0] <= START + 5400]
    return Expected(case, DIED + 60, DIED // 2, "node lost")


def dead_node_that_is_deleted_before_its_pods() -> Expected:
    """The control plane keeps them for some minutes, and kube-state-metrics says that they run."""
    case = told_until(on_node("deleted", 60, lambda at: at < DIED + 40), (0, DIED))
    for series, points in case.seen.items():
        if "namespace_created" not in series:
            until = START + (4000 if "kube_node" in series else 4500)
            case.seen[series] = [point for point in points if point[0] <= until]
    return Expected(case, DIED + 60, DIED // 2, "node lost")


def node_that_comes_back() -> Expected:
    """The pod comes back, too: it was never gone."""
    ready = told_until(
        on_node("back", 52, lambda at: not DIED + 40 <= at < 4000), (0, DIED), (4000, LIFE)
    )
    return Expected(ready, LIFE, LIFE // 2)


def pod_that_was_evicted_from_a_node_that_comes_back() -> Expected:
    case = told_until(on_node("evicted", 53, lambda at: not DIED + 40 <= at < 6000), (0, DIED))
    for series, points in case.seen.items():
        if series.startswith("kube_pod"):
            case.seen[series] = [point for point in points if point[0] <= START + 5000]
    return Expected(case, DIED + 60, DIED // 2, "node lost")


def node_that_only_the_control_plane_does_not_hear() -> Expected:
    """Its kubelet is scraped all the time."""
    return Expected(on_node("unheard", 54, lambda at: at < DIED), LIFE, LIFE // 2)


def node_that_is_heard_at_other_moments() -> Expected:
    """The same; its kubelet's samples are older than those of kube-state-metrics."""
    case = on_node("moments", 59, lambda at: at < DIED)
    own = case.cgroup(f"/kubepods/burstable/pod{case.uid}")
    case.seen[own] = [(at - 20, value) for at, value in case.seen[own]]
    return Expected(case, LIFE, LIFE // 2)


def in_a_namespace_only(expected: Expected, ready: Callable[[int], bool]) -> Expected:
    """The same where kube-state-metrics may not look at nodes: only pods are ready or not."""
    case = expected.case
    for series in [name for name in case.seen if name.startswith(("kube_node", "kube_pod_info"))]:
        del case.seen[series]
    phase = case.seen[f'kube_pod_status_phase{{{case.state},phase="Running"}}']
    for status, is_said in (("true", True), ("false", False)):
        case.seen[f'kube_pod_status_ready{{{case.state},condition="{status}"}}'] = [
            (at, int(ready(int(at) - START) is is_said)) for at, _ in phase
        ]
    return expected


def pod_of_a_dead_node() -> Expected:
    case = told_until(usual("pod-dead", 61), (0, DIED))
    return in_a_namespace_only(
        Expected(case, DIED + 60, DIED // 2, "node lost"), lambda at: at < DIED + 40
    )


def pod_of_a_dead_node_that_is_forgotten() -> Expected:
    case = told_until(usual("pod-forgotten", 62), (0, DIED))
    for series, points in case.seen.items():
        if series.startswith("kube_pod"):
            case.seen[series] = [point for point in points if point[0] <= START + 5000]
    return in_a_namespace_only(
        Expected(case, DIED + 60, DIED // 2, "node lost"), lambda at: at < DIED + 40
    )


def pod_of_a_node_that_comes_back() -> Expected:
    case = told_until(usual("pod-back", 63), (0, DIED), (4000, LIFE))
    return in_a_namespace_only(
        Expected(case, LIFE, LIFE // 2), lambda at: not DIED + 40 <= at < 4000
    )


def pod_that_is_not_ready_and_runs() -> Expected:
    """Its own probe fails."""
    case = usual("pod-unready", 64)
    return in_a_namespace_only(Expected(case, LIFE, LIFE // 2), lambda at: at < DIED)


def pod_that_is_never_ready_and_whose_use_nobody_tells() -> Expected:
    case = told_until(usual("pod-untold", 65))
    return in_a_namespace_only(Expected(case, LIFE, None), lambda _: False)


def clocked(name: str, number: int, ahead: int) -> Case:
    """The node's clock tells the start; the API server's, when the pod was made."""
    case = usual(name, number)
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: START + ahead)
    case.say(f"kube_pod_created{{{case.state}}}", lambda _: START - 5)
    return case


def clock_ahead() -> Expected:
    return Expected(clocked("ahead", 55, 1200), LIFE, LIFE // 2, "clocks differ")


def clock_behind() -> Expected:
    return Expected(clocked("behind", 56, -1800), LIFE + 5, LIFE // 2, "clocks differ")


def clock_far_ahead() -> Expected:
    """A start that is hours after the pod ran is no clock's that is a little wrong."""
    case = clocked("far-ahead", 70, 2 * 3600)
    return Expected(case, LIFE + 5, LIFE // 2, "start from creation")


def clock_behind_and_nobody_says_when_it_was_made() -> Expected:
    """The source spoke before without listing it."""
    case = usual("unmade", 71)
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: START - 1800)
    return Expected(case, LIFE + 60, LIFE // 2, "clocks differ")


def clock_behind_of_a_pod_that_was_pending() -> Expected:
    case = usual("pending", 72)
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: START - 1800)
    running = f'kube_pod_status_phase{{{case.state},phase="Running"}}'
    case.seen[running] = [(START - 60, 0), *case.seen[running]]
    return Expected(case, LIFE + 120, LIFE // 2, "clocks differ")


def completed(name: str, number: int, by: int, start: int = 0) -> Case:
    """It completes, and stays listed for a quarter of an hour; the node's clock tells when."""
    case = usual(name, number)
    running = f'kube_pod_status_phase{{{case.state},phase="Running"}}'
    later = [(START + at, 0) for at in range(LIFE + 60, LIFE + 900, 60)]
    case.seen[running] += later
    ended = START + LIFE + 20 + by
    case.seen[f'kube_pod_status_phase{{{case.state},phase="Succeeded"}}'] = [
        (at, 1 - value) for at, value in case.seen[running]
    ]
    case.seen[f"kube_pod_completion_time{{{case.state}}}"] = [(at, ended) for at, _ in later]
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: START + start)
    case.say(f"kube_pod_created{{{case.state}}}", lambda _: START - 5)
    return case


def completion_by_a_clock_ahead() -> Expected:
    case = completed("completed-ahead", 73, 1200, 1200)
    return Expected(case, LIFE + 60, LIFE // 2, "clocks differ")


def completion_by_a_clock_far_ahead() -> Expected:
    """No longer than a sample shows it stopped."""
    case = completed("completed-far", 74, 3500)
    return Expected(case, LIFE + 60, LIFE // 2)


def completion_by_a_clock_behind() -> Expected:
    case = completed("completed-behind", 75, -1800, -1800)
    return Expected(case, LIFE + 5, LIFE // 2, "clocks differ")


def completion_by_a_clock_that_is_kept() -> Expected:
    return Expected(completed("completed-well", 76, 0), LIFE + 20, LIFE // 2)


def clock_a_little_off() -> Expected:
    return Expected(clocked("off", 57, 2), LIFE, LIFE // 2)


def times_that_cannot_be() -> Expected:
    """A start in 2027, a completion in 2018: set aside."""
    case = usual("impossible", 58)
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: 1_800_000_000)
    case.say(f"kube_pod_completion_time{{{case.state}}}", lambda _: 1_520_000_000)
    return Expected(case, LIFE, LIFE // 2, "start from first sample")


MADE = (
    dead_node,
    dead_node_that_is_forgotten,
    dead_node_that_is_deleted_before_its_pods,
    node_that_comes_back,
    pod_that_was_evicted_from_a_node_that_comes_back,
    node_that_only_the_control_plane_does_not_hear,
    node_that_is_heard_at_other_moments,
    pod_of_a_dead_node,
    pod_of_a_dead_node_that_is_forgotten,
    pod_of_a_node_that_comes_back,
    pod_that_is_not_ready_and_runs,
    pod_that_is_never_ready_and_whose_use_nobody_tells,
    clock_ahead,
    clock_behind,
    clock_far_ahead,
    clock_behind_and_nobody_says_when_it_was_made,
    clock_behind_of_a_pod_that_was_pending,
    completion_by_a_clock_ahead,
    completion_by_a_clock_far_ahead,
    completion_by_a_clock_behind,
    completion_by_a_clock_that_is_kept,
    clock_a_little_off,
    times_that_cannot_be,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cases = [expected.case for expected in CASES.values()]
    with served(tmp_path_factory.mktemp("nodes"), cases) as url:
        yield url


@pytest.mark.parametrize("name", CASES)
def test_the_case_is_measured_right_and_the_same_in_any_steps(
    store: str, new_ledger: Callable[[], str], name: str
) -> None:
    expected = CASES[name]
    found = []
    for every in (600, 6 * 3600):
        with Database(new_ledger()) as database, Source(store) as source:
            database.ensure_current()
            scope = Scope(expected.case.name, "jupyter-.*")
            one = poller(database, source, scope=scope)
            for until in [*range(START + every, END, every), END]:
                one.poll(until)
            found += list(written(database).records.values())
    for row in found:
        assert row["cpu_seconds"] == expected.cpu
        assert expected.wall - 120 <= row["wall_seconds"] <= expected.wall
        flags = {"node lost", "clocks differ", "start from first sample", "start from creation"}
        assert [flag for flag in flags if flag in row["flags"]] == [expected.flag] * bool(
            expected.flag
        )
    assert len({row["digest"] for row in found}) == 1
    assert len(found) == 2


@pytest.mark.parametrize("path", ["/kubepods/burstable/pod{uid}", "0" * 63 + "1"])
@pytest.mark.parametrize("every", [300, 600, 6 * 3600])
def test_the_next_notebook_of_the_name_does_not_keep_a_lost_one_running(
    tmp_path: Path, new_ledger: Callable[[], str], every: int, path: str
) -> None:
    """It begins on another node once the lost one is deleted.

    Its node tells of it a minute before kube-state-metrics does.
    """
    lost = pod_that_was_evicted_from_a_node_that_comes_back().case
    following = replace(usual(lost.name, 62), name=lost.name)
    since = START + 5100
    for series, points in following.seen.items():
        if series.startswith("kube_pod"):
            moved = [(at, since if "start_time" in series else value) for at, value in points]
            lost.seen[series] = [point for point in moved if point[0] > since]
    counted = following.cgroup(path.format(uid=following.uid), "notebook")
    lost.seen[counted] = [(at, (at - since) / 2) for at in range(since, START + LIFE + 1, 60)]
    with served(tmp_path, [lost]) as url, Database(new_ledger()) as database, Source(url) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(lost.name, "jupyter-.*"))
        for until in [*range(START + every, END, every), END]:
            one.poll(until)
        found = {row["uid"]: row for row in written(database).records.values()}
    assert found.keys() == {lost.uid, following.uid}
    assert DIED - 60 <= found[lost.uid]["wall_seconds"] <= DIED + 60
    assert "node lost" in found[lost.uid]["flags"]
    assert found[following.uid]["wall_seconds"] == LIFE - 5100
    assert found[following.uid]["cpu_seconds"] == (LIFE - 5100) // 2


def test_a_pod_runs_on_whatever_moment_its_silent_node_is_asked_at(
    store: str, new_ledger: Callable[[], str]
) -> None:
    """Its kubelet goes on telling of it: no poll says that it ended, for the next to take back."""
    case = node_that_is_heard_at_other_moments().case
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(case.name, "jupyter-.*"))
        for until in range(START + DIED - 90, START + DIED + 600, 30):
            one.poll(until)
            (row,) = written(database).records.values()
            assert (row["status"], "node lost" in row["flags"]) == ("started", False), until
