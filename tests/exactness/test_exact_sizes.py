"""What pods hold over time: integrals are exact to a scrape, in any steps, on both engines."""

import json
from collections.abc import Callable
from pathlib import Path

from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from tests.exactness.expected import unix
from tests.exactness.polling import Written, poll
from tests.exactness.test_exact_emitters import END, INTERVAL, START

FEATURES = Features.none().but(
    resized=True,
    ksm_restarted=True,
    ksm_doubled=True,
    hole=True,
    sidecars=True,
    month_crossers=True,
)


def test_resized_pods_are_integrated_exactly_in_any_steps(
    tmp_path: Path, new_ledger: Callable[[], str]
) -> None:
    cluster = Cluster.generate(
        9, START, END, pods=60, mean_life=2400, features=FEATURES, interval_seconds=INTERVAL
    )
    start, end = unix(START), unix(END)
    populate(cluster, tmp_path / "prometheus")
    with (
        run_prometheus(tmp_path / "prometheus") as prometheus,
        run_victoria_metrics(tmp_path / "victoria") as victoria,
    ):
        import_history(cluster, victoria.url)
        once = poll(prometheus.url, new_ledger(), end)
        often = poll(prometheus.url, new_ledger(), *range(start + 60, end, 420), end)
        elsewhere = poll(victoria.url, new_ledger(), end, step=1200)
    check(cluster, once)
    assert often == once
    assert elsewhere == once


def check(cluster: Cluster, found: Written) -> None:
    resized = 0
    for uid, last in found.pods.items():
        pod = cluster.pods_by_uid[uid]
        rows = [row for (owner, *_), row in sorted(found.records.items()) if owner == uid]
        held = sum(row["core_seconds"] for row in rows)
        until = last["start_at"] + last["wall_seconds"]
        truth = pod.cores_between(last["start_at"], until)
        slack = (pod.containers[0].requests.cpu or 0.0) * (INTERVAL + 1)
        at, hole = pod.resized_at, cluster.timetable.hole
        assert hole is not None
        if at is not None and (at < unix(START) or hole[0] <= at < hole[1]):
            continue  # nobody saw when
        assert truth - slack <= held <= truth + 1, (uid, pod.traits)
        is_seen = at is not None and at < until - INTERVAL
        flags = {flag for row in rows for flag in json.loads(row["flags"])}
        if is_seen:
            assert "resized" in flags
            resized += 1
        elif at is None:
            assert "resized" not in flags
            assert last["core_seconds"] == round(last["cpu_count"] * last["used_wall_seconds"], 3)
    assert resized > 5
