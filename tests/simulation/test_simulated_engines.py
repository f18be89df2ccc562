import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounting.simulation.exporters.exposition import expose
from accounting.simulation.judges.expectation import ExpectedPod, Reader
from accounting.simulation.stores.engines import (
    Engine,
    free_port,
    run_prometheus,
    run_victoria_metrics,
)
from accounting.simulation.stores.history import (
    backfill,
    import_history,
    populate,
    write_openmetrics,
)
from accounting.simulation.stores.live import serve_targets
from accounting.simulation.stores.programs import ProgramError, ProgramMissingError, find_program
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.simulation.world.people import ODD_NAMES

START = datetime(2026, 10, 31, 18, tzinfo=UTC)
END = datetime(2026, 11, 1, 6, tzinfo=UTC)
CLUSTER = Cluster.generate(11, START, END, pods=200)
NOTEBOOKS = 'namespace="jupyterhub",pod=~"jupyter-.*"'
NOON = (START + timedelta(hours=6)).timestamp()
ENGINES = ("prometheus", "victoria-metrics")


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """The same history in both."""
    folder = tmp_path_factory.mktemp("engines")
    written = populate(CLUSTER, folder / "prometheus")
    with (
        run_prometheus(folder / "prometheus") as prometheus,
        run_victoria_metrics(folder / "victoria") as victoria,
    ):
        assert import_history(CLUSTER, victoria.url) == written
        yield dict(zip(ENGINES, (prometheus, victoria), strict=True))


def ask(engine: Engine, query: str, at: datetime = END) -> list[dict[str, Any]]:
    answer = httpx.post(
        f"{engine.url}/api/v1/query", data={"query": query, "time": str(at.timestamp())}, timeout=60
    )
    result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
    return result


def uid_in(path: str) -> str:
    found = re.search(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})", path)
    assert found
    return found[1].replace("_", "-")


def expected() -> dict[str, ExpectedPod]:
    return {one.pod.uid: one for one in Reader(CLUSTER).pods()}


@pytest.mark.parametrize("name", ENGINES)
def test_the_last_value_of_the_pod_cgroup_is_the_expected_cpu(
    engines: dict[str, Engine], name: str
) -> None:
    query = f'container_cpu_usage_seconds_total{{{NOTEBOOKS},container="",name=""}}[3d]'
    read: dict[str, float] = {}
    for series in ask(engines[name], query):
        values = [float(value) for _, value in series["values"]]
        drops = [a for a, b in pairwise(values) if b < a]
        read[uid_in(series["metric"]["id"])] = sum(drops) + values[-1]
    figures = {uid: one.cpu_seconds for uid, one in expected().items() if one.cpu_seconds}
    assert read == pytest.approx(figures, abs=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_running_samples_and_network_are_where_they_are_expected(
    engines: dict[str, Engine], name: str
) -> None:
    query = f'kube_pod_status_phase{{{NOTEBOOKS},phase="Running"}}[3d]'
    seen: dict[str, list[float]] = {}
    for series in ask(engines[name], query):
        running = [at for at, value in series["values"] if value == "1"]
        seen.setdefault(series["metric"]["uid"], []).extend(running)
    for uid, one in expected().items():
        times = seen.get(uid) or []
        assert one.first_running == (min(times) if times else None)
        assert one.last_running == (max(times) if times else None)
        if "one-sample" in one.pod.traits and one.has_running_sample:
            assert one.first_running == pytest.approx(one.last_running, abs=30)
    unseen = [one for one in expected().values() if not one.has_running_sample]
    assert {"no-sample"} <= {trait for one in unseen for trait in one.pod.traits}


@pytest.mark.parametrize("name", ENGINES)
def test_annotations_keep_odd_names(engines: dict[str, Engine], name: str) -> None:
    query = f"last_over_time(kube_pod_annotations{{{NOTEBOOKS}}}[3d])"
    users: dict[str, str | None] = {}
    for series in ask(engines[name], query):
        labels = series["metric"]
        user = "annotation_hub_jupyter_org_username"
        users[labels["uid"]] = labels.get(f"{user}_conflict1", labels.get(user))
    for uid, one in expected().items():
        if uid in users:
            assert users[uid] == (one.pod.user if one.pod.annotated else None)
    assert set(ODD_NAMES) <= set(users.values())


@pytest.mark.parametrize("name", ENGINES)
def test_network_is_counted_on_each_sandbox_the_pod_had(
    engines: dict[str, Engine], name: str
) -> None:
    query = f"last_over_time(container_network_receive_bytes_total{{{NOTEBOOKS}}}[3d])"
    read: dict[str, int] = {}
    for series in ask(engines[name], query):
        uid = uid_in(series["metric"]["id"])
        read[uid] = read.get(uid, 0) + int(series["value"][1])
    figures = {uid: n for uid, one in expected().items() if (n := one.network_received)}
    assert read == figures


@pytest.mark.parametrize("name", ENGINES)
def test_requests_are_the_expected_figures(engines: dict[str, Engine], name: str) -> None:
    family = "kube_pod_container_resource_requests"
    per_container = f"max by (uid,container,resource) (last_over_time({family}{{{NOTEBOOKS}}}[3d]))"
    read: dict[tuple[str, str], float] = {}
    for series in ask(engines[name], f"sum by (uid,resource) ({per_container})"):
        labels = series["metric"]
        read[labels["uid"], labels["resource"]] = float(series["value"][1])
    for uid, one in expected().items():
        cpu = read.get((uid, "cpu"))
        if cpu:
            assert one.cpu_count == pytest.approx(cpu)
            gpus = [n for (who, what), n in read.items() if who == uid and "nvidia" in what]
            assert one.gpus == sum(gpus)


def test_the_month_s_end_is_read_from_its_own_samples(engines: dict[str, Engine]) -> None:
    reader = Reader(CLUSTER)
    crossing = [
        months
        for pod in CLUSTER.counted_pods
        if len(months := reader.by_month(pod)) == 2 and not len(pod.epochs) > 1
    ]
    assert len(crossing) >= 6
    last_second = datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC)
    query = (
        f'last_over_time(container_cpu_usage_seconds_total{{{NOTEBOOKS},container="",name=""}}[6h])'
    )
    read = {
        uid_in(series["metric"]["id"]): float(series["value"][1])
        for series in ask(engines["prometheus"], query, last_second)
    }
    for months in crossing:
        october, november = months[2026, 10], months[2026, 11]
        assert october.cpu_seconds == pytest.approx(read.get(october.pod.uid), abs=1e-6)
        assert (october.wall_seconds or 0) < (november.wall_seconds or 1)


def test_without_honor_labels_the_pods_are_exported(tmp_path: Path) -> None:
    features = Features.none().but(honor_labels_off=True)
    cluster = Cluster.generate(5, START, START + timedelta(hours=2), pods=20, features=features)
    populate(cluster, tmp_path / "data")
    with run_prometheus(tmp_path / "data") as engine:
        found = ask(engine, "last_over_time(kube_pod_container_info[3h])", cluster.end)
        kubelet = ask(engine, "last_over_time(container_memory_working_set_bytes[3h])", cluster.end)
    assert found
    for series in found:
        labels = series["metric"]
        assert labels["namespace"] == "monitoring"
        assert labels["exported_namespace"] == "jupyterhub"
        assert labels["exported_pod"].startswith("jupyter-")
        assert (labels["container"], labels["exported_container"]) == (
            "kube-state-metrics",
            "notebook",
        )
    assert not any("exported_pod" in series["metric"] for series in kubelet)


def test_the_same_seed_writes_the_same_file(tmp_path: Path) -> None:
    until = START + timedelta(minutes=30)
    for name in ("one", "other"):
        again = Cluster.generate(11, START, END, pods=200)
        write_openmetrics(again, START, until, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_file_can_be_limited_to_some_families(tmp_path: Path) -> None:
    file = tmp_path / "some.om"
    until = START + timedelta(hours=1)
    count = write_openmetrics(CLUSTER, START, until, file, families={"kube_pod_info"})
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# TYPE kube_pod_info gauge"
    assert lines[-1] == "# EOF"
    assert len(lines) == count + 2
    backfill([file], tmp_path / "data")
    assert list((tmp_path / "data").iterdir())


def test_a_file_that_promtool_refuses_is_an_error_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "bad.om"
    file.write_text("no metrics here\n# EOF\n", encoding="utf-8")
    with pytest.raises(ProgramError, match=r"bad\.om"):
        backfill([file], tmp_path / "data")


def test_a_missing_program_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramMissingError, match="apt-get install victoria-metrics"):
        find_program("victoria-metrics")


def test_an_engine_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ProgramError, match="no-such-flag"),
        run_prometheus(tmp_path / "data", options=["--no-such-flag"]),
    ):
        pass


@pytest.mark.parametrize("run", [run_prometheus, run_victoria_metrics])
def test_an_engine_is_gone_when_its_block_ends(run: Any, tmp_path: Path) -> None:
    with run(tmp_path / "data") as engine:
        os.kill(engine.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(engine.pid, 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(engine.url, timeout=60)


def test_a_real_prometheus_scrapes_the_live_targets(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    cluster = Cluster.generate(
        2, now - timedelta(hours=4), now + timedelta(minutes=30), pods=60, interval_seconds=1
    )
    populate(cluster, tmp_path / "data", start=now - timedelta(minutes=2), end=now)
    with serve_targets(cluster) as targets:
        config = targets.scrape_config()
        with run_prometheus(tmp_path / "data", scrape_config=config) as engine:
            check = subprocess.run(
                ["promtool", "check", "config", f"{engine.data_dir}.prometheus.yml"],
                check=False,
                capture_output=True,
            )
            assert check.returncode == 0
            jobs = _wait_for_scrapes(engine)
            seen = ask(
                engine,
                'last_over_time(kube_pod_status_phase{phase="Running"}[15s]) == 1',
                datetime.now(UTC),
            )
            kubelet = ask(
                engine,
                "count by (job, metrics_path) (container_cpu_usage_seconds_total)",
                datetime.now(UTC),
            )
    assert jobs == {"kube-state-metrics", "kubelet"}
    assert kubelet[0]["metric"] == {"job": "kubelet", "metrics_path": "/metrics/cadvisor"}
    running = {series["metric"]["uid"] for series in seen}
    present = now.timestamp()
    assert running >= {
        pod.uid
        for pod in cluster.pods
        if (pod.running_from or 3e9) < present - 5 and pod.run_until > present + 30
    }
    assert {series["metric"]["pod"] for series in seen} <= {pod.name for pod in cluster.pods}


def _wait_for_scrapes(engine: Engine) -> set[str]:
    """The jobs that are up once all targets have been scraped."""
    deadline = datetime.now(UTC) + timedelta(seconds=15)
    while datetime.now(UTC) < deadline:
        up = ask(engine, "up", datetime.now(UTC))
        if len(up) >= 8 and all(series["value"][1] == "1" for series in up):
            return {series["metric"]["job"] for series in up}
        time.sleep(0.2)
    pytest.fail(f"not all targets are up: {up}")


def test_a_target_is_silent_when_its_timetable_says_so() -> None:
    hole = CLUSTER.timetable.hole
    assert hole is not None
    for instant, status in ((hole[0] + 60, 503), (hole[0] - 600, 200)):
        offset = timedelta(seconds=instant - datetime.now(UTC).timestamp())
        with serve_targets(CLUSTER, offset=offset) as targets:
            kubelet = next(path for path_of, path in targets.paths if path_of.kind == "cadvisor")
            assert httpx.get(f"http://{targets.address}{kubelet}", timeout=60).status_code == status
            assert httpx.get(f"http://{targets.address}/nothing", timeout=60).status_code == 404


def test_a_free_port_is_none_that_the_kernel_may_give_to_another_program() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = {free_port() for _ in range(200)}
    assert max(ports) < first
    assert len(ports) > 100


def test_a_store_that_is_stopped_in_mid_scrape_is_no_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Otherwise the demo ends with a traceback, when its Prometheus is stopped."""
    speaking = (emitter for emitter in CLUSTER.emitters if emitter.speaks_at(NOON))
    busiest = max(speaking, key=lambda emitter: len(expose(CLUSTER, emitter, NOON)))
    offset = datetime.fromtimestamp(NOON, UTC) - datetime.now(UTC)
    with serve_targets(CLUSTER, offset=offset) as targets:
        path = dict(targets.paths)[busiest]
        host, port = targets.address.split(":")
        for _ in range(5):
            with socket.create_connection((host, int(port)), timeout=30) as scrape:
                scrape.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                scrape.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert httpx.get(f"http://{targets.address}{path}", timeout=60).status_code == 200
    assert "Traceback" not in capsys.readouterr().err
