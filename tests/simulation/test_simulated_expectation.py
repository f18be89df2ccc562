from datetime import UTC, datetime

import pytest

from accounting.simulation.judges.expectation import Defaults, Reader, truth_by_month_and_vo
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.simulation.world.people import GROUPS

START = datetime(2026, 10, 31, 12, tzinfo=UTC)
END = datetime(2026, 11, 1, 12, tzinfo=UTC)
LAST = END.timestamp()


def make(features: Features | None = None) -> Cluster:
    return Cluster.generate(21, START, END, pods=250, features=features)


CLUSTER = make()
EXPECTED = Reader(CLUSTER).pods()


def test_samples_never_show_more_than_the_truth() -> None:
    for one in EXPECTED:
        assert (one.wall_seconds or 0) <= one.pod.wall_seconds(LAST)
        assert (one.cpu_seconds or 0) <= one.pod.cpu_at(LAST) + 1e-5
        assert (one.network_received or 0) <= one.pod.network_at(LAST)[0]


def test_samples_show_nearly_all_of_a_pod_that_is_scraped_often() -> None:
    gaps = (
        CLUSTER.timetable.hole,
        CLUSTER.timetable.ksm_silence,
        CLUSTER.timetable.cadvisor_silence,
    )
    reached = 0
    for one in EXPECTED:
        ended = min(one.pod.run_until, LAST)
        if any(gap and gap[0] <= ended <= gap[1] + 60 for gap in gaps) or len(one.pod.epochs) > 1:
            continue
        if one.pod.wall_seconds(LAST) > 300:
            reached += 1
            assert one.wall_seconds == pytest.approx(one.pod.wall_seconds(LAST), abs=61)
    assert reached > 100


def test_a_completed_pod_ends_at_its_completion_time() -> None:
    completed = [one for one in EXPECTED if one.completed_at is not None]
    assert completed
    for one in completed:
        assert one.wall_seconds == (one.completed_at or 0) - (one.pod.started or 0)


def test_a_completion_time_of_a_sidecar_does_not_end_the_pod() -> None:
    for one in EXPECTED:
        if "early-sidecar" in one.pod.traits and one.pod.ending == "deleted":
            assert one.completed_at is None


def test_an_evicted_pod_ends_at_its_last_running_sample_though_it_is_listed_on() -> None:
    evicted = [one for one in EXPECTED if one.pod.ending == "evicted" and one.has_running_sample]
    assert evicted
    for one in evicted:
        assert (one.last_running or 0) <= (one.pod.ended or 0)
        assert one.wall_seconds == (one.last_running or 0) - (one.pod.started or 0)


def test_a_pod_that_ended_in_the_hole_was_last_seen_before_it() -> None:
    hole = CLUSTER.timetable.hole
    assert hole is not None
    ended = [one for one in EXPECTED if hole[0] < (one.pod.ended or 0) < hole[1]]
    assert ended
    for one in ended:
        assert one.last_running is None or hole[0] - 61 < one.last_running < hole[0]


def test_what_was_used_before_a_reboot_is_kept() -> None:
    rebooted = [one for one in EXPECTED if len(one.pod.epochs) == 2]
    assert rebooted
    for one in rebooted:
        counter = one.pod.cpu_counter_at(min(one.pod.run_until, LAST) - 0.001)
        assert (one.cpu_seconds or 0) > counter - 61 * 8
        assert (one.cpu_seconds or 0) <= one.pod.cpu_at(LAST)


def test_a_later_look_never_shows_less() -> None:
    reader = Reader(CLUSTER)
    for pod in CLUSTER.counted_pods[::5]:
        figures = [reader.pod(pod, START.timestamp() + hours * 3600) for hours in range(25)]
        for name in ("wall_seconds", "cpu_seconds", "network_sent"):
            values = [getattr(one, name) or 0 for one in figures]
            assert values == sorted(values)


def test_figures_come_from_requests_then_limits_then_the_default() -> None:
    reader = Reader(CLUSTER, defaults=Defaults(cpu_count=0.5, memory_bytes=7))
    by_flavor = {
        pod.flavor: reader.pod(pod) for pod in CLUSTER.counted_pods if len(pod.containers) == 1
    }
    assert by_flavor["large"].cpu_count == 4
    assert by_flavor["fractional"].cpu_count == 0.25
    assert by_flavor["no-cpu-request"].cpu_count == 2
    assert by_flavor["zero-cpu-request"].cpu_count == 1
    assert by_flavor["limits-only"].memory_bytes == 3 * 1024**3
    assert by_flavor["nothing-asked"].cpu_count == 0.5
    assert by_flavor["nothing-asked"].memory_bytes == 7
    assert by_flavor["half"].memory_mb == 1431
    assert by_flavor["two-gpus"].gpus == 2


def test_sidecars_requests_are_added() -> None:
    found = [one for one in EXPECTED if len(one.pod.containers) == 2]
    assert any(one.cpu_count == 1.1 for one in found if one.pod.flavor == "small")


def test_without_the_pod_level_the_containers_are_added_up() -> None:
    dropped = make(Features.all().but(pod_level_dropped=True))
    theirs = {one.pod.uid: one for one in Reader(dropped).pods()}
    for one in EXPECTED:
        if one.cpu_seconds is not None:
            assert 0 <= (theirs[one.pod.uid].cpu_seconds or 0) <= one.cpu_seconds + 1e-5


def test_the_truth_by_month_and_vo_is_the_sum_of_the_pods() -> None:
    totals = truth_by_month_and_vo(CLUSTER, LAST, default_vo="default.example.org")
    assert {month for month, _ in totals} >= {(2026, 10), (2026, 11)}
    assert {vo for _, vo in totals} == {g.vo for g in GROUPS} | {"default.example.org"}
    wall = sum(pod.wall_seconds(LAST) for pod in CLUSTER.counted_pods)
    assert sum(usage.wall_seconds for usage in totals.values()) == pytest.approx(wall)
    cpu = sum(pod.cpu_at(LAST) for pod in CLUSTER.counted_pods)
    assert sum(usage.cpu_seconds for usage in totals.values()) == pytest.approx(cpu)


def test_without_the_allowlist_everything_falls_to_the_default() -> None:
    cluster = make(Features.none().but(allowlist_missing=True))
    assert {vo for _, vo in truth_by_month_and_vo(cluster, LAST)} == {"None"}
