"""What a pod holds, by Kubernetes' own rule, whoever says it, in any steps, on both engines."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.matrix import combined
from tests.exactness.notebooks import (
    ENGINES,
    START,
    Notebook,
    Points,
    every,
    heartbeat,
    merged,
    served,
)
from tests.exactness.polling import SCOPE, poll

GIB = 2**30
HOUR = 3600
END = 5400
SCHEDULES = {"in one window": [END], "every seven minutes": [*range(60, END, 420), END]}


def step(at: float, before: float, after: float) -> Callable[[float], float]:
    return lambda seconds: before if seconds < at else after


@dataclass
class Holder(Notebook):
    """A notebook that says nothing of its size yet."""

    def run(self) -> None:
        super().run()
        for series in [name for name in self.seen if "_resource_" in name]:
            del self.seen[series]
        self.cgroup(30, self.until, lambda at: at / 4)

    def init(self, name: str, cpu: float, *, always: bool = False) -> None:
        """An init container; a native sidecar if it is to be restarted always."""
        policy = "Always" if always else ""
        self.keep(
            "kube_pod_init_container_info", f',container="{name}",restart_policy="{policy}"', 1
        )
        labels = f',container="{name}",resource="cpu"'
        self.keep("kube_pod_init_container_resource_requests", labels, cpu)

    def scheduled(
        self,
        cpu: Callable[[float], float],
        memory: float,
        prefix: str = "",
        since: float = 0,
        until: float = HOUR,
    ) -> None:
        """What kube-scheduler says of the pod, seven seconds after kube-state-metrics.

        A request and a limit have the same labels.
        """
        place = f'{prefix}namespace="{NAMESPACE}",{prefix}pod="{self.name}"'
        if prefix:
            place += ',namespace="kube-system",pod="kube-scheduler-1"'
        for resource, value in (("cpu", cpu), ("memory", lambda _: memory)):
            for kind in ("request", "limit"):
                series = f'kube_pod_resource_{kind}{{{place},node="n",resource="{resource}"}}'
                spoken = every(max(since, self.since), min(until, self.until), value, shift=7)
                self.say(series, spoken)

    def specified(self, metric: str, value: float) -> None:
        """What cAdvisor says of the limits of the pod's own cgroup."""
        series = f'container_spec_{metric}{{{self.place},id="{self.path}"}}'
        self.say(series, every(self.since, self.until, lambda _: value))

    def change(self, metric: str, labels: str, value: Callable[[float], float]) -> None:
        points: Points = every(self.since, self.until, value)
        self.seen[f"{metric}{{{self.state}{labels}}}"] = points


def native_sidecar(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.init("proxy", 1, always=True)


def large_init(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.hold("requests", "cpu", 0.5, container="sync")
    one.init("chown", 4)
    one.init("fetch", 3)


def small_init(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.init("chown", 1.5)
    one.init("proxy", 1, always=True)


def scheduler(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.hold("requests", "memory", GIB)
    one.scheduled(lambda _: 2, 3 * GIB)


def scheduler_of_another_job(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.scheduled(lambda _: 2, 3 * GIB, prefix="exported_")


def cgroup_limits(one: Holder) -> None:
    one.specified("cpu_quota", 250_000)
    one.specified("cpu_period", 100_000)
    one.specified("memory_limit_bytes", 3 * GIB)


def resized_cgroup(one: Holder) -> None:
    """Nobody but its cgroup tells of the resources of the pod as a whole."""
    for metric, value in (
        ("cpu_quota", step(1800, 250_000, 500_000)),
        ("cpu_period", lambda _: 100_000),
        ("memory_limit_bytes", lambda _: 3 * GIB),
    ):
        series = f'container_spec_{metric}{{{one.place},id="{one.path}"}}'
        one.say(series, every(one.since, one.until, value, shift=11))


def resized_cgroup_beside_a_request(one: Holder) -> None:
    """Of memory, which is requested, its limit says nothing."""
    one.hold("requests", "memory", GIB)
    resized_cgroup(one)


def resized_cgroup_beside_requests(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    resized_cgroup_beside_a_request(one)


def cgroup_without_limits(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.hold("requests", "memory", GIB)
    one.specified("cpu_period", 100_000)
    one.specified("memory_limit_bytes", 0)


def resized_sidecar(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.init("proxy", 1, always=True)
    labels = ',container="proxy",resource="cpu"'
    one.change("kube_pod_init_container_resource_requests", labels, step(1800, 1, 3))


def resized_as_a_whole(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    one.scheduled(step(1793, 2, 4), 3 * GIB)


def more_gpus(one: Holder) -> None:
    one.hold("requests", "cpu", 1)
    labels = ',container="notebook",resource="nvidia_com_gpu"'
    one.change("kube_pod_container_resource_requests", labels, step(1800, 1, 2))


CASES: dict[str, tuple[Callable[[Holder], None], dict[str, Any]]] = {
    "a native sidecar": (native_sidecar, {"cpu_count": 2.0}),
    "an init container larger than all others": (large_init, {"cpu_count": 4.0}),
    "an init container smaller than the others": (small_init, {"cpu_count": 2.0}),
    "kube-scheduler": (scheduler, {"cpu_count": 2.0, "memory_mb": 3072}),
    "kube-scheduler, without honor_labels": (scheduler_of_another_job, {"cpu_count": 2.0}),
    "the cgroup's limits": (cgroup_limits, {"cpu_count": 2.5, "memory_mb": 3072}),
    "a cgroup without limits": (cgroup_without_limits, {"cpu_count": 1.0, "memory_mb": 1024}),
    "a sidecar that is resized": (resized_sidecar, {"core_seconds": 1800 * 2.0 + 1800 * 4.0}),
    "a pod that is resized as a whole": (
        resized_as_a_whole,
        {"core_seconds": 1800 * 2.0 + 1800 * 4.0},
    ),
    "a cgroup that is resized": (
        resized_cgroup,
        {"core_seconds": 1800 * 2.5 + 1800 * 5.0},
    ),
    "a cgroup that is resized, beside a request": (
        resized_cgroup_beside_a_request,
        {"core_seconds": 1800 * 2.5 + 1800 * 5.0, "memory_mb": 1024},
    ),
    "a cgroup that is resized, by limits that come first": (
        resized_cgroup_beside_requests,
        {"core_seconds": 1800 * 2.5 + 1800 * 5.0},
    ),
    "more GPUs": (more_gpus, {"gpu_seconds": 1800 * 1.0 + 1800 * 2.0}),
}


@pytest.mark.parametrize(("name", "schedule", "engine"), combined(CASES, SCHEDULES, ENGINES))
def test_a_pod_holds_what_kubernetes_reserves_for_it(
    tmp_path: Path, new_ledger: Callable[[], str], name: str, schedule: str, engine: str
) -> None:
    ask, right = CASES[name]
    one = Holder(until=HOUR)
    one.run()
    ask(one)
    with served(tmp_path, merged(heartbeat(END), one.seen), engine) as url:
        cuts = [START + at for at in SCHEDULES[schedule]]
        scope = replace(SCOPE, limits_first="limits that come first" in name)
        found = poll(url, new_ledger(), *cuts, since=START - 600, scope=scope)
    (row,) = found.records.values()
    told = {field: row[field] for field in right}
    # A size counts from the sample that shows it, up to one scrape interval late.
    assert told == pytest.approx(right, abs=4 * 30.0 if "seconds" in str([*right]) else 1e-9)


def test_of_a_name_that_is_used_twice_the_time_tells_whose_size_it_is(
    tmp_path: Path, new_ledger: Callable[[], str]
) -> None:
    first, second = Holder(1, 0, 900), Holder(2, 1200, 2400)
    for one, cores in ((first, 2.0), (second, 5.0)):
        one.run()
        one.hold("requests", "cpu", 1)
        one.scheduled(lambda _, cores=cores: cores, GIB, since=one.since)  # type: ignore[misc]
    seen = heartbeat(END)
    for one in (first, second):
        for series, points in one.seen.items():
            seen[series] = [*seen.get(series, []), *points]
    with served(tmp_path, seen, "prometheus") as url:
        found = poll(url, new_ledger(), START + END, since=START - 600)
    sizes = {row["uid"]: row["cpu_count"] for row in found.records.values()}
    assert sizes == {first.uid: 2.0, second.uid: 5.0}
