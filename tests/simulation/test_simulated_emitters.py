from datetime import UTC, datetime

import pytest

from accounting.simulation.exporters.catalog import state_metrics_series
from accounting.simulation.exporters.emitters import Emitter, Timetable, without
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features

START = datetime(2026, 10, 31, tzinfo=UTC)
END = datetime(2026, 11, 2, tzinfo=UTC)
MONTH_END = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def timetable(features: Features) -> Timetable:
    return Timetable(START.timestamp(), END.timestamp(), features, ("node-1", "node-2"))


def of_kind(table: Timetable, kind: str) -> list[Emitter]:
    return [emitter for emitter in table.emitters() if emitter.kind == kind]


def silent(emitters: list[Emitter], span: tuple[float, float]) -> bool:
    return not any(emitter.scrapes(*span, 30) for emitter in emitters)


def test_a_quiet_cluster_has_one_state_metrics_that_speaks_all_the_time() -> None:
    table = timetable(Features.none())
    (only,) = of_kind(table, "kube-state-metrics")
    assert only.spans == ((START.timestamp(), END.timestamp()),)
    assert (table.hole, table.ksm_silence, table.cadvisor_silence) == (None, None, None)
    assert table.reboot is None


def test_scrapes_keep_a_fixed_offset_that_is_no_whole_second() -> None:
    (only,) = of_kind(timetable(Features.none()), "kube-state-metrics")
    times = only.scrapes(START.timestamp(), START.timestamp() + 3600, 30)
    assert len(times) == 120
    assert {at % 30_000 for at in times} == {6660}


def test_scrape_periods_join_without_loss_or_repetition() -> None:
    (only,) = of_kind(timetable(Features.none()), "kube-state-metrics")
    begin, end = START.timestamp(), END.timestamp()
    middle = begin + 12_345.678
    whole = only.scrapes(begin, end, 60)
    assert only.scrapes(begin, middle, 60) + only.scrapes(middle, end, 60) == whole


def test_a_hole_silences_everyone_for_40_minutes() -> None:
    table = timetable(Features.all())
    assert table.hole is not None
    assert table.hole[1] - table.hole[0] == 40 * 60
    assert silent(list(table.emitters()), table.hole)


def test_each_source_falls_silent_once_while_the_other_speaks() -> None:
    table = timetable(Features.all())
    assert table.ksm_silence is not None
    assert table.cadvisor_silence is not None
    states, kubelets = of_kind(table, "kube-state-metrics"), of_kind(table, "cadvisor")
    assert silent(states, table.ksm_silence)
    assert not silent(kubelets, table.ksm_silence)
    assert silent(kubelets, table.cadvisor_silence)
    assert not silent(states, table.cadvisor_silence)


def test_silences_leave_the_months_end_its_samples() -> None:
    for shift in range(0, 172_800, 3_600):
        begin = MONTH_END - shift
        table = Timetable(begin, begin + 172_800, Features.all(), ("node-1",))
        for gap in (table.hole, table.ksm_silence, table.cadvisor_silence):
            assert gap is not None
            assert not gap[0] - 600 < MONTH_END < gap[1] + 600


def test_restarts_overlap_and_sort_either_way() -> None:
    table = timetable(Features.none().but(ksm_restarted=True))
    first, second, third = of_kind(table, "kube-state-metrics")
    assert first.spans[-1][1] > second.spans[0][0]
    assert second.spans[-1][1] > third.spans[0][0]
    assert second.instance > first.instance
    assert third.instance < second.instance


def test_shards_share_the_pods_between_them() -> None:
    cluster = Cluster.generate(
        1, START, END, pods=100, features=Features.none().but(ksm_sharded=True)
    )
    shards = [e for e in cluster.emitters if e.shard is not None]
    assert [emitter.shard for emitter in shards] == [(0, 2), (1, 2)]
    assert shards[0].spans == shards[1].spans
    for series in state_metrics_series(cluster, START.timestamp(), END.timestamp()):
        assert sum(emitter.speaks_of(series) for emitter in shards) == 1


def test_a_double_says_the_same_at_other_moments() -> None:
    table = timetable(Features.none().but(ksm_doubled=True))
    one, other = of_kind(table, "kube-state-metrics")
    span = other.spans[0]
    assert set(one.scrapes(*span, 30)).isdisjoint(other.scrapes(*span, 30))
    assert len(one.scrapes(*span, 30)) == pytest.approx(len(other.scrapes(*span, 30)), abs=1)


def test_a_node_that_reboots_is_not_scraped_meanwhile() -> None:
    table = timetable(Features.none().but(node_reboot=True))
    assert table.reboot is not None
    away, there = of_kind(table, "cadvisor")
    assert not away.speaks_at(table.reboot.at + 1)
    assert away.speaks_at(table.reboot.back)
    assert there.speaks_at(table.reboot.at + 1)


def test_gaps_are_cut_out_of_spans() -> None:
    assert without(((0, 10), (20, 30)), [(5, 22), (28, 40)]) == ((0, 5), (22, 28))
