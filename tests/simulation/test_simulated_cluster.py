from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.simulation.world.months import month_ends_between, month_of
from accounting.simulation.world.people import ODD_NAMES

START = datetime(2026, 10, 31, 18, tzinfo=UTC)
END = datetime(2026, 11, 1, 6, tzinfo=UTC)
MONTH_END = datetime(2026, 11, 1, tzinfo=UTC).timestamp()

Predicate = Callable[[Cluster, SimulatedPod], bool]


def make(features: Features | None = None, pods: int = 300, seed: int = 7) -> Cluster:
    return Cluster.generate(seed, START, END, pods=pods, features=features)


CLUSTER = make()
QUIET = make(Features.none())


def test_the_same_seed_makes_the_same_cluster() -> None:
    again = make()
    assert [repr(pod) for pod in again.pods] == [repr(pod) for pod in CLUSTER.pods]
    assert again.emitters == CLUSTER.emitters


def test_another_seed_makes_other_pods() -> None:
    ours, theirs = make().pods_by_uid.keys(), make(seed=8).pods_by_uid.keys()
    assert ours.isdisjoint(theirs)


def test_there_are_as_many_notebooks_as_asked_for() -> None:
    assert sum(pod.component == "singleuser-server" for pod in CLUSTER.pods) >= 300
    assert len(QUIET.counted_pods) == len(QUIET.pods) == 300


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        Cluster.generate(1, START.replace(tzinfo=None), END)


@pytest.mark.parametrize("cluster", [CLUSTER, QUIET])
def test_a_pod_name_is_free_before_it_is_used_again(cluster: Cluster) -> None:
    by_name: dict[tuple[str, str], list[SimulatedPod]] = {}
    for pod in cluster.pods:
        by_name.setdefault((pod.namespace, pod.name), []).append(pod)
    for pods in by_name.values():
        assert all(one.listed_until < other.created for one, other in pairwise(pods))


def test_instants_of_a_life_are_in_order() -> None:
    for pod in CLUSTER.pods:
        instants = [pod.created, pod.started, pod.running_from, pod.ended, pod.listed_until]
        known = [instant for instant in instants if instant is not None]
        assert known == sorted(known)


def _restarted_within_minutes(cluster: Cluster, pod: SimulatedPod) -> bool:
    return any(
        other.name == pod.name and 0 < other.created - pod.listed_until < 300
        for other in cluster.pods
    )


def _requests(pod: SimulatedPod) -> list[float | None]:
    return [box.requests.cpu for box in pod.containers]


SIGHTS: dict[str, list[Predicate]] = {
    "quick_restarts": [_restarted_within_minutes],
    "container_restarts": [lambda _, p: len(p.containers[0].incarnations) > 2],
    "month_crossers": [
        lambda _, p: (p.started or 0) < MONTH_END - 600 and MONTH_END + 600 < p.run_until < 3e9
    ],
    "short_pods": [lambda _, p: "one-sample" in p.traits, lambda _, p: "no-sample" in p.traits],
    "old_pods": [lambda c, p: p.created < c.timetable.start - 86400 and p.ended is None],
    "slow_pending": [lambda _, p: (p.running_from or 0) - p.created >= 1200],
    "never_running": [
        lambda _, p: p.running_from is None and p.started is None,
        lambda _, p: p.running_from is None and p.started is not None,
    ],
    "evicted": [lambda _, p: p.ending == "evicted" and p.completion_time is None],
    "completed": [
        lambda _, p: p.completion_time is not None and p.listed_until > 3600 + (p.ended or 0)
    ],
    "sidecars": [
        lambda _, p: len(p.containers) == 2 and p.containers[1].finished is None,
        lambda _, p: len(p.containers) == 2 and (p.containers[1].finished or 3e9) < p.run_until,
    ],
    "unannotated": [lambda _, p: not p.annotated and p.counted and p.vo is None],
    "odd_requests": [
        lambda _, p: None in _requests(p),
        lambda _, p: 0 in _requests(p),
        lambda _, p: 0.25 in _requests(p),
    ],
    "gpus": [lambda _, p: p.gpus == 2, lambda _, p: p.flavor == "gpu-slice"],
    "claims": [lambda _, p: bool(p.claims)],
    "other_pods": [
        lambda c, p: p.namespace == c.namespace and not p.name.startswith("jupyter-"),
        lambda c, p: p.namespace != c.namespace and p.name.startswith("jupyter-"),
    ],
    "odd_users": [lambda _, p, name=name: p.user == name for name in ODD_NAMES],  # type: ignore[misc]
    "annotation_conflicts": [lambda _, p: p.conflicting_annotations],
    "node_reboot": [lambda _, p: len(p.epochs) == 2],
}


@pytest.mark.parametrize("switch", SIGHTS)
def test_a_feature_is_seen_in_pods_when_on_and_in_none_when_off(switch: str) -> None:
    off = make(Features.all().but(**{switch: False}))
    for sight in SIGHTS[switch]:
        assert any(sight(CLUSTER, pod) for pod in CLUSTER.pods)
        if switch not in {"quick_restarts", "month_crossers"}:  # chance may still bring one
            assert not any(sight(off, pod) for pod in off.pods)


def test_every_feature_of_pods_is_seen_in_a_small_cluster_too() -> None:
    traits = {trait for pod in make(pods=100).pods for trait in pod.traits}
    assert len(traits) == 14


def test_only_notebooks_that_ran_count() -> None:
    for pod in CLUSTER.pods:
        notebook = pod.namespace == CLUSTER.namespace and pod.name.startswith("jupyter-")
        assert pod.counted == (notebook and pod.running_from is not None)


def test_pod_names_are_dns_labels_whatever_the_user_is_called() -> None:
    for pod in CLUSTER.pods:
        assert len(pod.name) <= 63
        assert pod.name.replace("-", "").isalnum()
        assert pod.name.isascii()
        assert pod.name == pod.name.lower().strip("-")


def test_cpu_never_falls_and_covers_its_containers() -> None:
    for pod in CLUSTER.counted_pods:
        begin = pod.running_from or 0
        last = 0.0
        for step in range(40):
            at = begin + step * 97.3
            used = pod.cpu_at(at)
            assert used >= last - 1e-9
            last = used
            ids = [run.container_id for box in pod.containers for run in box.incarnations]
            assert sum(pod.container_cpu_at(one, at) for one in ids) <= used + 1e-6


def test_a_reboot_resets_the_counter_and_not_the_truth() -> None:
    pods = [pod for pod in CLUSTER.pods if len(pod.epochs) == 2]
    assert pods
    for pod in pods:
        before, after = pod.epochs[0].until, pod.epochs[1].since + 5
        assert pod.cpu_counter_at(after) < pod.cpu_counter_at(before - 0.01)
        assert pod.cpu_at(after) == pytest.approx(
            pod.cpu_at(before) + pod.cpu_counter_at(after), abs=1e-6
        )
        assert pod.network_at(after) > pod.network_at(before - 1)


def test_months_add_up_to_the_whole() -> None:
    until = END.timestamp()
    crossing = 0
    for pod in CLUSTER.counted_pods:
        months = list(pod.usage_by_month(until))
        crossing += len(months) > 1
        assert sum(wall for _, wall, _ in months) == pytest.approx(pod.wall_seconds(until))
        assert sum(cpu for _, _, cpu in months) == pytest.approx(pod.cpu_at(until), abs=1e-6)
    assert crossing >= 6


def test_a_pod_that_never_ran_has_used_nothing() -> None:
    for pod in CLUSTER.pods:
        if pod.running_from is None:
            assert pod.wall_seconds() == 0
            assert pod.cpu_at(END.timestamp()) == 0
            assert not list(pod.usage_by_month(END.timestamp()))


def test_a_month_ends_at_its_last_midnight() -> None:
    assert month_of(MONTH_END - 1) == (2026, 10)
    assert month_of(MONTH_END) == (2026, 11)
    year = (datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC))
    assert month_ends_between(*(t.timestamp() for t in year)) == [
        datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    ]
