"""Values that cannot be true are left out, counted, and cost nothing else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Rejected
from accounting.model.pods import Implausible
from tests.exactness.polling import Written, poller, written
from tests.measure.answers import Params, Reply, server
from tests.measure.hours import LAST, Good, opened


def spoiled(
    good: Good, file: Path, spoils: Callable[[str, dict[str, str]], bool], value: str
) -> tuple[Written, Report]:
    """Poll a source where the chosen rows of instant vectors have another value."""

    def answer(path: str, params: Params, _: str) -> Reply:
        reply = good.answer(path, params)
        body = reply.json()
        data = body.get("data")
        if isinstance(data, dict) and data.get("resultType") == "vector":
            for row in data["result"]:
                if spoils(params["query"], row["metric"]):
                    row["value"][1] = value
        return Reply(reply.status_code, json.dumps(body).encode())

    with server(answer) as url, opened(file) as database, Source(url) as source:
        database.ensure_current()
        report = poller(database, source).poll(LAST)
        return written(database), report


@dataclass(frozen=True)
class Nonsense:
    """A value of a metric that cannot be true, and the columns that it must leave out."""

    metric: str
    value: str
    reason: str
    columns: tuple[str, ...]


CPU = "container_cpu_usage_seconds_total"
HELD = ("core_seconds", "memory_mb_seconds", "gpu_seconds")
TIMES = ("start_at", "wall_seconds", "used_wall_seconds", *HELD)
SIZES = ("cpu_count", "memory_mb", *HELD)
USAGE = ("cpu_seconds", "used_cpu_seconds")
NONSENSE = [
    Nonsense("kube_pod_start_time", "NaN", "not a number", TIMES),
    Nonsense("kube_pod_start_time", "-5", "negative", TIMES),
    Nonsense("kube_pod_start_time", "1000000", "too small", TIMES),
    Nonsense("kube_pod_start_time", "99999999999", "absurdly large", TIMES),
    Nonsense(CPU, "NaN", "not a number", USAGE),
    Nonsense(CPU, "-1", "negative", USAGE),
    Nonsense(CPU, "+Inf", "absurdly large", USAGE),
    Nonsense("container_network_receive_bytes_total", "1e30", "absurdly large", ("received_gb",)),
    Nonsense("container_network_transmit_bytes_total", "NaN", "not a number", ("sent_gb",)),
    Nonsense("kube_pod_container_resource_requests", "NaN", "not a number", SIZES),
    Nonsense("kube_pod_container_resource_requests", "-2", "negative", SIZES),
]


@pytest.mark.parametrize("bad", NONSENSE, ids=[f"{b.metric} {b.value}" for b in NONSENSE])
def test_a_value_that_cannot_be_true_is_left_out_and_counted(
    good: Good, right: Written, tmp_path: Path, bad: Nonsense
) -> None:
    victim = next(
        p for p in good.cluster.counted_pods if p.flavor == "medium" and p.run_until < LAST
    )

    def spoils(query: str, labels: dict[str, str]) -> bool:
        path = labels.get("id", "").replace("_", "-")
        is_its_own = labels.get("uid") == victim.uid or victim.uid in path
        return is_its_own and bad.metric in (labels.get("__name__") or query)

    found, report = spoiled(good, tmp_path / "bad.db", spoils, bad.value)
    assert report.rejected[Rejected(bad.metric, Implausible(bad.reason))] >= 1
    assert not report.is_complete
    assert found.records.keys() == right.records.keys()
    for key, row in right.records.items():
        if key[0] != victim.uid:
            assert found.records[key] == row
        else:
            differing = {name for name in row if found.records[key][name] != row[name]}
            assert differing - {"digest", "flags"} <= set(bad.columns)
            assert bad.value not in map(str, found.records[key].values())


@pytest.mark.parametrize("value", ["NaN", "-1", "1e40"])
def test_disks_and_memory_peaks_that_cannot_be_true_are_unknown(
    good: Good, right: Written, tmp_path: Path, value: str
) -> None:
    def spoils(query: str, _: dict[str, str]) -> bool:
        return "storage_bytes" in query or "working_set_bytes" in query

    found, report = spoiled(good, tmp_path / "bad.db", spoils, value)
    assert {rejected.metric for rejected in report.rejected} >= {
        "kube_persistentvolumeclaim",
        "container_memory_working_set_bytes",
    }
    assert {row["disk_gb"] for row in found.records.values()} == {None}
    assert any(row["disk_gb"] for row in right.records.values())
    for key, row in found.records.items():
        assert row["memory_mb"] in {None, right.records[key]["memory_mb"]}
        assert row["cpu_seconds"] == right.records[key]["cpu_seconds"]
