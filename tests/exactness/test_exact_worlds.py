"""Small clusters, each with one peculiarity: labels, runtimes, kube-state-metrics, reboots."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accounting.model.records import Held
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import MIXED, Features
from tests.exactness.expected import (
    completed,
    differences,
    ended,
    ends_in_a_silence,
    unix,
    walls,
)
from tests.exactness.matrix import combined
from tests.exactness.polling import Written, poll

START = datetime(2025, 12, 31, 22, 30, tzinfo=UTC)
END = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
MINUTE = 60

Ledgers = Callable[[], str]


@dataclass(frozen=True)
class World:
    cluster: Cluster = field(repr=False)
    prometheus: str


@contextmanager
def world(folder: Path, features: Features) -> Iterator[World]:
    """A cluster that lives for two hours across a year's end, in Prometheus."""
    cluster = Cluster.generate(
        3, START, END, pods=90, mean_life=1500, features=features, interval_seconds=30
    )
    populate(cluster, folder / "prometheus")
    with run_prometheus(folder / "prometheus") as prometheus:
        yield World(cluster, prometheus.url)


def often(here: World, _folder: Path, new_ledger: Ledgers) -> Written:
    start, end = unix(START), unix(END)
    return poll(here.prometheus, new_ledger(), *range(start + MINUTE, end, 7 * MINUTE), end)


def elsewhere(here: World, folder: Path, new_ledger: Ledgers) -> Written:
    with run_victoria_metrics(folder / "victoria") as victoria:
        import_history(here.cluster, victoria.url)
        return poll(victoria.url, new_ledger(), unix(END), step=20 * MINUTE)


WAYS: dict[str, Callable[[World, Path, Ledgers], Written]] = {
    "in VictoriaMetrics": elsewhere,
    "every seven minutes": often,
}


ALL = Features.all()
QUIET = Features.none()
WORLDS = {
    "quiet": QUIET,
    "honor_labels off": ALL.but(honor_labels_off=True),
    "pod level dropped": ALL.but(pod_level_dropped=True),
    "id dropped": ALL.but(id_dropped=True),
    "id and pod level dropped": ALL.but(id_dropped=True, pod_level_dropped=True),
    "id dropped, honor_labels off": ALL.but(id_dropped=True, honor_labels_off=True),
    "uid dropped, names used again": QUIET.but(
        uid_dropped=True, quick_restarts=True, slow_pending=True, month_crossers=True
    ),
    "annotations not allowed": ALL.but(allowlist_missing=True),
    "kube-state-metrics doubled": QUIET.but(ksm_doubled=True, short_pods=True),
    "kube-state-metrics sharded": QUIET.but(ksm_sharded=True, short_pods=True),
    "kube-state-metrics restarted": QUIET.but(ksm_restarted=True, short_pods=True),
    "kube-state-metrics silent": QUIET.but(ksm_silent=True, short_pods=True),
    "kubelets silent": QUIET.but(cadvisor_silent=True, container_restarts=True),
    "counters dip": QUIET.but(dips=True, container_restarts=True, sidecars=True, kepler=True),
    "a node rebooted": QUIET.but(node_reboot=True, container_restarts=True),
    **{
        f"{shape.runtime}, {shape.driver}{', nested' if shape.nested else ''}": QUIET.but(
            nodes=(shape, shape), node_reboot=True, container_restarts=True, sidecars=True
        )
        for shape in MIXED
    },
}


@pytest.mark.parametrize(("name", "way"), combined(WORLDS, WAYS))
def test_every_world_is_measured_exactly_in_both_engines_and_in_any_steps(
    tmp_path: Path, new_ledger: Ledgers, name: str, way: str
) -> None:
    with world(tmp_path, WORLDS[name]) as here:
        once = poll(here.prometheus, new_ledger(), unix(END))
        again = WAYS[way](here, tmp_path, new_ledger)
    check(here.cluster, once)
    assert again == once


def check(cluster: Cluster, found: Written) -> None:
    wrong = differences(found, cluster)
    if cluster.features.id_dropped:
        # Who used what in a silence of kube-state-metrics is told by ``id`` alone (M3).
        for pod in (pod for pod in cluster.counted_pods if ends_in_a_silence(cluster, pod)):
            for name, (recorded, right) in wrong.pop(pod.uid, {}).items():
                assert name in {"cpu_seconds", "received_gb", "sent_gb"}
                assert recorded <= right
    assert wrong == {}
    for pod, wall, truth in walls(cluster, found):
        if not ends_in_a_silence(cluster, pod):
            assert -1 - 2 * cluster.interval_seconds <= wall - truth <= 0
    assert completed(found) >= ended(cluster) & found.pods.keys()


def test_without_any_annotations_all_records_wait_for_an_owner(
    tmp_path: Path, new_ledger: Ledgers
) -> None:
    ledger = new_ledger()
    with world(tmp_path, QUIET.but(allowlist_missing=True)) as here:
        found = poll(here.prometheus, ledger, unix(END))
    assert len(found.records) > 60
    assert {row["held"] for row in found.records.values()} == {Held.OWNER_UNKNOWN.value}
    assert {row["user"] for row in found.records.values()} == {""}
