"""What is first told of a pod's size while it runs counts from then on, in any steps, anywhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exactness.notebooks import ENGINES, START, every, heartbeat, merged, served
from tests.exactness.polling import poll
from tests.exactness.test_exact_holdings import END, GIB, HOUR, Holder, step

SCHEDULES = {
    "in one window": ([END], 6 * HOUR),
    "in windows of twenty minutes": ([END], 1200),
    "every seven minutes": ([*range(60, END, 420), END], 6 * HOUR),
    "between two exporters": ([5, 1805, END], 6 * HOUR),
}


def quotas(one: Holder, quota: Callable[[float], float], since: float = 0) -> None:
    """What cAdvisor says of the pod's cgroup; a quota of 0 stands for none, which it leaves out."""
    for metric, value in (
        ("cpu_quota", quota),
        ("cpu_period", lambda _: 100_000.0),
        ("memory_limit_bytes", lambda at: 3.0 * GIB * (quota(at) > 0)),
    ):
        series = f'container_spec_{metric}{{{one.place},id="{one.path}"}}'
        points = every(since, one.until, value, shift=11)
        one.say(series, [(at, told) for at, told in points if told or metric != "cpu_quota"])


def requesting(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.hold("requests", "memory", GIB)


def resizing(one: Holder, cores: Callable[[float], float]) -> None:
    """The same, with other cores as time goes on."""
    one.hold("requests", "memory", GIB)
    of_cores = ',container="notebook",resource="cpu"'
    one.change("kube_pod_container_resource_requests", of_cores, cores)


def told_later(one: Holder) -> None:
    """kube-scheduler is scraped from then on."""
    requesting(one)
    one.scheduled(lambda _: 2, 3 * GIB, since=1800)


def told_alike(one: Holder) -> None:
    requesting(one)
    one.scheduled(lambda _: 1, GIB, since=1800)


def told_seconds_later(one: Holder) -> None:
    requesting(one)
    one.scheduled(lambda _: 2, 3 * GIB)


def told_after_a_resize(one: Holder) -> None:
    resizing(one, step(900, 1, 2))
    one.scheduled(lambda _: 4, GIB, since=1800)


def told_minutes_later_after_a_resize(one: Holder) -> None:
    """It is soon enough for the whole life, whatever the containers asked for before."""
    resizing(one, step(30, 1, 2))
    one.scheduled(lambda _: 4, GIB, since=240)


def told_no_more_before_a_resize(one: Holder) -> None:
    """kube-scheduler is not scraped any more, and its last figure stands until the resize."""
    resizing(one, step(2400, 1, 4))
    one.scheduled(lambda _: 2, GIB, until=1200)


def told_no_more_minutes_before_a_resize(one: Holder) -> None:
    """It is silent soon after, too: it does not know of the resize."""
    resizing(one, step(2400, 1, 4))
    one.scheduled(lambda _: 2, GIB, until=2250)


def told_by_nobody_else(one: Holder) -> None:
    """The pod asks for something as a whole, and its containers do not."""
    one.scheduled(lambda _: 2, 3 * GIB, since=1800)


def cgroup_that_is_limited(one: Holder) -> None:
    quotas(one, step(1800, 0, 250_000))


def cgroup_that_is_limited_no_more(one: Holder) -> None:
    quotas(one, step(1800, 250_000, 0))


def cgroup_told_later(one: Holder) -> None:
    """cAdvisor is scraped from then on."""
    quotas(one, lambda _: 250_000, since=1800)


def cgroup_told_seconds_later(one: Holder) -> None:
    """kube-state-metrics tells cores only."""
    one.hold("requests", "cpu", 1)
    quotas(one, lambda _: 250_000)


def cgroup_without_a_limit_told_first(one: Holder) -> None:
    """cAdvisor is scraped seconds before kube-state-metrics first tells what is asked for."""
    one.change("kube_pod_start_time", "", lambda _: START - 20)
    resizing(one, step(1800, 1, 2))
    for metric, value in (("cpu_period", 100_000.0), ("memory_limit_bytes", 0.0)):
        series = f'container_spec_{metric}{{{one.place},id="{one.path}"}}'
        one.say(series, [(START + at, value) for at in range(-9, HOUR, 30)])


CASES: dict[str, tuple[Callable[[Holder], None], dict[str, Any]]] = {
    "kube-scheduler is told later": (
        told_later,
        {"core_seconds": 1800 * 1 + 1800 * 2, "memory_mb_seconds": 1800 * 1024 + 1800 * 3072},
    ),
    "it says the same": (told_alike, {"core_seconds": 3600, "memory_mb": 1024}),
    "it is told seconds later": (told_seconds_later, {"core_seconds": 7200, "memory_mb": 3072}),
    "it is told after a resize": (
        told_after_a_resize,
        {"core_seconds": 900 * 1 + 900 * 2 + 1800 * 4, "memory_mb": 1024},
    ),
    "it is told minutes later, after a resize": (
        told_minutes_later_after_a_resize,
        {"core_seconds": 3600 * 4, "memory_mb": 1024},
    ),
    "it is told no more from minutes before a resize on": (
        told_no_more_minutes_before_a_resize,
        {"core_seconds": 2400 * 2 + 1200 * 4, "memory_mb": 1024},
    ),
    "it is told no more before a resize": (
        told_no_more_before_a_resize,
        {"core_seconds": 2400 * 2 + 1200 * 4, "memory_mb": 1024},
    ),
    "it alone tells, later": (told_by_nobody_else, {"core_seconds": 3600 * 2}),
    "a cgroup is limited later": (
        cgroup_that_is_limited,
        {"core_seconds": 1800 * 1 + 1800 * 2.5},
    ),
    "a cgroup is limited no more": (
        cgroup_that_is_limited_no_more,
        {"core_seconds": 1800 * 2.5 + 1800 * 1},
    ),
    "a cgroup is told later": (cgroup_told_later, {"core_seconds": 3600 * 2.5}),
    "a cgroup is told seconds later": (
        cgroup_told_seconds_later,
        {"core_seconds": 3600, "memory_mb": 3072},
    ),
    "a cgroup without a limit is told first": (
        cgroup_without_a_limit_told_first,
        {"core_seconds": 1800 * 1 + 1800 * 2, "memory_mb_seconds": 3600 * 1024},
    ),
}
STEADY = {
    "it says the same",
    "it is told seconds later",
    "it is told minutes later, after a resize",
    "it alone tells, later",
    "a cgroup is told later",
    "a cgroup is told seconds later",
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_size_that_is_told_later_counts_from_then_on_in_any_steps(
    tmp_path: Path, new_ledger: Callable[[], str], engine: str
) -> None:
    holders: dict[str, Holder] = {}
    for number, (name, (ask, _)) in enumerate(CASES.items(), 1):
        one = holders[name] = Holder(number, until=HOUR, name=f"jupyter-{number}")
        one.run()
        ask(one)
    seen = merged(heartbeat(END), *(one.seen for one in holders.values()))
    wrong, found = [], []
    with served(tmp_path, seen, engine) as url:
        for schedule, (cuts, length) in SCHEDULES.items():
            times = [START + at for at in cuts]
            found.append(poll(url, new_ledger(), *times, since=START - 600, step=length))
            for name, (_, right) in CASES.items():
                row = found[-1].pods[holders[name].uid]
                told = {field: row[field] for field in right}
                # A size counts from the sample that shows it, up to one scrape interval late.
                is_right = told == pytest.approx(right, rel=0.01)
                if not is_right or ("resized" in json.loads(row["flags"])) is (name in STEADY):
                    wrong.append((schedule, name, told, right, row["flags"]))
    assert wrong == []
    assert found[1:] == found[:-1]
