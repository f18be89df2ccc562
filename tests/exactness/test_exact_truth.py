"""One poll of a long history against what really happened in the cluster."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from accounting.model.time import Month
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import MIXED, Features
from tests.conftest import END, START, History
from tests.exactness.expected import (
    completed,
    differences,
    ended,
    ends_in_a_silence,
    expected,
    silences,
    unix,
    walls,
)
from tests.exactness.polling import Written, poll

OCTOBER = Month(2025, 10)
IN_A_GAP = "ended in a gap"


def test_the_history_holds_everything_that_can_happen(history: History) -> None:
    cluster = history.cluster
    seen = {trait for pod in cluster.pods for trait in pod.traits}
    assert len(expected(cluster)) > 1000
    assert {pod.node for pod in cluster.counted_pods} == set(cluster.shapes)
    assert tuple(cluster.shapes.values()) == MIXED
    assert len(seen) == 14
    assert len(silences(cluster)) == 2
    assert any(len(pod.epochs) > 1 for pod in cluster.counted_pods)
    assert sum(ends_in_a_silence(cluster, pod) for pod in cluster.counted_pods) > 5
    assert len(alive_at(cluster, OCTOBER.end)) > 12


def test_exactly_the_pods_with_a_running_sample_are_recorded(
    history: History, polled: Written
) -> None:
    assert polled.pods.keys() == expected(history.cluster).keys()


def test_user_vo_image_sizes_and_counters_are_right_for_every_pod(
    history: History, polled: Written
) -> None:
    assert differences(polled, history.cluster) == {}


def test_cpu_is_never_above_the_truth(history: History, polled: Written) -> None:
    for uid, row in polled.pods.items():
        pod = history.cluster.pods_by_uid[uid]
        assert (row["cpu_seconds"] or 0) <= pod.cpu_at(history.end)


def test_wall_time_is_within_two_scrape_intervals_unless_the_pod_ended_in_a_hole(
    history: History, polled: Written
) -> None:
    cluster = history.cluster
    wrong = {
        pod.uid: (wall, truth)
        for pod, wall, truth in walls(cluster, polled)
        if not ends_in_a_silence(cluster, pod)
        and not -1 - 2 * cluster.interval_seconds <= wall - truth <= 0
    }
    assert wrong == {}


def test_pods_that_ended_in_a_hole_end_at_their_last_sample_and_say_so(
    history: History, polled: Written
) -> None:
    cluster, interval = history.cluster, history.cluster.interval_seconds
    flagged = {uid for uid, row in polled.pods.items() if IN_A_GAP in json.loads(row["flags"])}
    lost = {
        pod.uid
        for pod in cluster.counted_pods
        if pod.uid in polled.pods
        and ends_in_a_silence(cluster, pod)
        and pod.completion_time is None  # that tells the end even after the silence
    }
    assert lost <= flagged
    for uid in flagged:  # what vanished just before the silence cannot be told from those
        pod, end_at = cluster.pods_by_uid[uid], polled.pods[uid]["end_at"]
        before = [s for s, _ in silences(cluster) if s - 3 * interval <= end_at <= s]
        assert len(before) == 1
        assert 0 <= min(pod.run_until, before[0]) - end_at <= interval + 1


def test_the_source_s_silences_are_the_gaps(history: History, polled: Written) -> None:
    interval = history.cluster.interval_seconds
    holes = silences(history.cluster)
    assert len(polled.gaps) == len(holes)
    for (start_at, end_at), (since, until) in zip(polled.gaps, sorted(holes), strict=True):
        assert end_at is not None
        assert since - interval <= start_at < since
        assert until <= end_at <= until + interval


def test_exactly_the_pods_that_ended_are_completed(history: History, polled: Written) -> None:
    known = ended(history.cluster) & polled.pods.keys()
    late = {p.uid for p in history.cluster.counted_pods if p.run_until < history.end} - known
    assert known <= completed(polled) <= known | late


def test_a_pod_has_one_record_in_every_month_that_it_ran_in(
    history: History, polled: Written
) -> None:
    months: dict[str, set[int]] = {}
    for uid, _, month in polled.records:
        months.setdefault(uid, set()).add(month)
    for uid, found in months.items():
        pod = history.cluster.pods_by_uid[uid]
        if min(abs(t - OCTOBER.end) for t in (pod.running_from or 0, pod.run_until)) > 60:
            ran = {10} if (pod.running_from or 0) < OCTOBER.end else set()
            assert found == ran | ({11} if pod.run_until > OCTOBER.end else set())


def alive_at(cluster: Cluster, at: float) -> list[SimulatedPod]:
    return [pod for pod in cluster.counted_pods if pod.ran_by(at) and pod.run_until > at]


def test_at_most_one_scrape_interval_of_wall_time_per_pod_is_in_the_wrong_month(
    history: History, polled: Written
) -> None:
    """What a pod that runs at the month's end had used by then, less what October's record says."""
    interval = history.cluster.interval_seconds
    for pod in alive_at(history.cluster, OCTOBER.end):
        row = polled.records.get((pod.uid, *OCTOBER))
        misplaced = pod.wall_seconds(OCTOBER.end) - (row["wall_seconds"] if row else 0)
        assert 0 <= misplaced <= interval
        if row:
            assert (row["status"], row["created_at"]) == ("started", OCTOBER.last_second)


def test_at_most_one_scrape_interval_of_cpu_time_per_pod_is_in_the_wrong_month(
    history: History, polled: Written
) -> None:
    """As for wall time; one pod can use several cores, so it is held to its own last interval.

    All pods together are held to one interval of one core each. Whole seconds are recorded.
    """
    interval = history.cluster.interval_seconds
    alive = alive_at(history.cluster, OCTOBER.end)
    total = 0.0
    for pod in alive:
        row = polled.records.get((pod.uid, *OCTOBER))
        misplaced = pod.cpu_at(OCTOBER.end) - ((row["cpu_seconds"] or 0) if row else 0)
        last_interval = pod.cpu_between(OCTOBER.end - interval, OCTOBER.end)
        assert 0 <= misplaced <= last_interval + 1
        total += misplaced
    assert total <= interval * len(alive)


FAMILIES_OF_WALL = {
    "kube_namespace_created",
    "kube_pod_annotations",
    "kube_pod_completion_time",
    "kube_pod_start_time",
    "kube_pod_status_phase",
}


def test_total_wall_time_is_within_a_thousandth_where_there_is_no_hole(
    tmp_path: Path, new_ledger: Callable[[], str]
) -> None:
    """A pod ends at its last Running sample, half an interval early on average (M6).

    So the total's error is that half interval against the mean life: here 15 s against 6 hours.
    """
    features = Features.all().but(hole=False, ksm_silent=False)
    cluster = Cluster.generate(
        7, START, END, pods=250, mean_life=6 * 3600, features=features, interval_seconds=30
    )
    populate(cluster, tmp_path / "data", families=FAMILIES_OF_WALL)
    with run_prometheus(tmp_path / "data") as engine:
        found = list(walls(cluster, poll(engine.url, new_ledger(), unix(END))))
    recorded, true = sum(wall for _, wall, _ in found), sum(truth for *_, truth in found)
    assert len(found) > 200
    assert recorded == pytest.approx(true, rel=0.001)
