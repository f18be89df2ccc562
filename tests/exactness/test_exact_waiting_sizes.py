"""What is told of a pod's size only while it waits to run counts, in any steps, on both engines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.exactness.notebooks import ENGINES, START, Seen, every, heartbeat, merged, served
from tests.exactness.polling import poll
from tests.exactness.test_exact_holdings import END, GIB, HOUR, Holder, step
from tests.exactness.test_exact_late_sizes import quotas, requesting, resizing

RUNNING = 1230
"""When the pods are first seen running, seconds after ``START``; they are listed since then."""
LIFE = HOUR - RUNNING
SCHEDULES = {
    "in one window": ([END], 6 * HOUR),
    "in windows of twenty minutes": ([END], 1200),
    "in windows of five minutes": ([END], 300),
    "every seven minutes": ([*range(60, END, 420), END], 6 * HOUR),
    "just before it runs": ([RUNNING - 1, END], 6 * HOUR),
    "as it runs": ([RUNNING, END], 6 * HOUR),
}


class Waiting(Holder):
    """A pod that was made at ``START``, and is placed half a minute before it runs."""

    def run(self) -> None:
        super().run()
        self.seen[f'kube_pod_status_phase{{{self.state},phase="Running"}}'] = every(
            self.since, self.until, lambda at: float(at >= RUNNING)
        )
        self.keep("kube_pod_created", "", START + self.since)
        started = f"kube_pod_start_time{{{self.state}}}"
        self.seen[started] = every(RUNNING - 30, self.until, lambda _: START + RUNNING - 30)
        for series in [name for name in self.seen if "cpu_usage" in name]:
            del self.seen[series]
        self.cgroup(RUNNING, self.until, lambda at: (at - RUNNING) / 4)


def told_until_seconds_before(one: Waiting) -> None:
    requesting(one)
    one.scheduled(lambda _: 2, 3 * GIB, until=RUNNING - 15)


def told_until_minutes_before(one: Waiting) -> None:
    """The node has not acknowledged the pod yet."""
    requesting(one)
    one.scheduled(lambda _: 2, 3 * GIB, until=RUNNING - 240)


def told_until_long_before(one: Waiting) -> None:
    requesting(one)
    one.scheduled(lambda _: 2, 3 * GIB, until=RUNNING - 330)


def told_by_nobody_else(one: Waiting) -> None:
    one.scheduled(lambda _: 2, 3 * GIB, until=RUNNING - 240)


def told_by_nobody_else_long_before(one: Waiting) -> None:
    one.scheduled(lambda _: 2, 3 * GIB, until=RUNNING - 330)


def told_before_a_resize(one: Waiting) -> None:
    """Its figure stands until the containers ask for something else."""
    resizing(one, step(RUNNING + 1050, 1, 4))
    one.scheduled(lambda _: 2, GIB, until=RUNNING - 240)


def told_before_and_later(one: Waiting) -> None:
    requesting(one)
    one.scheduled(lambda _: 2, GIB, until=RUNNING - 240)
    one.scheduled(lambda _: 3, GIB, since=RUNNING + 1050)


def told_long_before_and_later(one: Waiting) -> None:
    requesting(one)
    one.scheduled(lambda _: 2, GIB, until=RUNNING - 330)
    one.scheduled(lambda _: 3, GIB, since=RUNNING + 1050)


def cgroup_until_minutes_before(one: Waiting) -> None:
    quotas(one, lambda at: 250_000 if at < RUNNING - 240 else 0)
    end(one, RUNNING - 240)


def cgroup_until_long_before(one: Waiting) -> None:
    quotas(one, lambda _: 250_000)
    end(one, RUNNING - 330)


def end(one: Waiting, at: float) -> None:
    """The scrape of limits ends."""
    for series in [name for name in one.seen if "container_spec" in name]:
        one.seen[series] = [point for point in one.seen[series] if point[0] < START + at]


CASES: dict[str, tuple[Callable[[Waiting], None], dict[str, Any]]] = {
    "until seconds before": (
        told_until_seconds_before,
        {"core_seconds": LIFE * 2, "memory_mb": 3072},
    ),
    "until minutes before": (
        told_until_minutes_before,
        {"core_seconds": LIFE * 2, "memory_mb": 3072},
    ),
    "until long before": (told_until_long_before, {"core_seconds": LIFE, "memory_mb": 1024}),
    "by nobody else": (told_by_nobody_else, {"core_seconds": LIFE * 2, "memory_mb": 3072}),
    "by nobody else, long before": (told_by_nobody_else_long_before, {"core_seconds": LIFE}),
    "before a resize": (told_before_a_resize, {"core_seconds": 1050 * 2 + (LIFE - 1050) * 4}),
    "before and later": (told_before_and_later, {"core_seconds": 1050 * 2 + (LIFE - 1050) * 3}),
    "long before and later": (
        told_long_before_and_later,
        {"core_seconds": 1050 * 1 + (LIFE - 1050) * 3},
    ),
    "by a cgroup": (cgroup_until_minutes_before, {"core_seconds": LIFE * 2.5}),
    "by a cgroup long before": (cgroup_until_long_before, {"core_seconds": LIFE}),
}
RESIZED = {"before a resize", "before and later", "long before and later"}


def earlier_pod(name: str) -> tuple[Holder, Seen]:
    """It had the name until the next one was made, and held more."""
    one = Holder(99, until=RUNNING - 150, name=name)
    one.run()
    requesting(one)
    one.scheduled(lambda _: 5, 5 * GIB, until=RUNNING - 150)
    return one, one.seen


@pytest.mark.parametrize("engine", ENGINES)
def test_a_size_that_is_told_only_before_a_pod_runs_counts_if_it_is_recent(
    tmp_path: Path, new_ledger: Callable[[], str], engine: str
) -> None:
    waiting: dict[str, Waiting] = {}
    for number, (name, (ask, _)) in enumerate(CASES.items(), 1):
        one = waiting[name] = Waiting(number, until=HOUR, name=f"jupyter-{number}")
        one.run()
        ask(one)
    wrong, found = [], []
    seen = merged(heartbeat(END), *(one.seen for one in waiting.values()))
    with served(tmp_path, seen, engine) as url:
        for schedule, (cuts, length) in SCHEDULES.items():
            times = [START + at for at in cuts]
            found.append(poll(url, new_ledger(), *times, since=START - 600, step=length))
            for name, (_, right) in CASES.items():
                row = found[-1].pods[waiting[name].uid]
                told = {field: row[field] for field in right}
                # It started half a minute before it was seen running.
                is_right = told == pytest.approx(right, rel=0.03)
                if not is_right or ("resized" in json.loads(row["flags"])) is (name not in RESIZED):
                    wrong.append((schedule, name, told, right, row["flags"]))
    assert wrong == []
    assert found[1:] == found[:-1]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_told_of_an_earlier_pod_of_the_name_is_not_the_waiting_one_s(
    tmp_path: Path, new_ledger: Callable[[], str], engine: str
) -> None:
    one = Waiting(1, since=RUNNING - 120, until=HOUR)
    one.run()
    requesting(one)
    earlier, seen = earlier_pod(one.name)
    found = []
    with served(tmp_path, merged(heartbeat(END), one.seen, seen), engine) as url:
        for cuts, length in SCHEDULES.values():
            times = [START + at for at in cuts]
            found.append(poll(url, new_ledger(), *times, since=START - 600, step=length))
            sizes = {uid: row["cpu_count"] for uid, row in found[-1].pods.items()}
            assert sizes == {one.uid: 1.0, earlier.uid: 5.0}
    assert found[1:] == found[:-1]
