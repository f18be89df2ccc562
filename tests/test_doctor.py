import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from accounting.config import load
from accounting.doctor import ALLOWLIST, Finding, State, examine, worst
from accounting.doctor.database import database as check_database
from accounting.doctor.database import file_system
from accounting.doctor.volumes import CLAIMS_ALLOWLIST
from accounting.model.time import Window
from accounting.simulation.stores.engines import free_port, run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.stores.live import serve_targets
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Endpoints, Features, NodeShape
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, Progress, Step
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin

QUIET = Features.none()


@pytest.fixture(autouse=True)
def _settings_of_a_site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("ACCOUNTING_"):
            monkeypatch.delenv(name)
    # Tests set it themselves: like this, it is as before when they have ended.
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", "")
    monkeypatch.delenv("ACCOUNTING_PROMETHEUS__URL")
    monkeypatch.setenv("ACCOUNTING_SITE_NAME", "EXAMPLE")
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__NAMESPACE", "jupyterhub")
    monkeypatch.setenv("ACCOUNTING_DATABASE_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("ACCOUNTING_SSM__TRANSPORT", "dirq")
    monkeypatch.setenv("ACCOUNTING_SSM__DIRQ_PATH", str(tmp_path / "spool"))


def planned(features: Features, *, ago: float = 5, interval: float = 60, pods: int = 12) -> Cluster:
    end = datetime.now(UTC) - timedelta(seconds=ago)
    return Cluster.generate(
        5, end - timedelta(hours=2), end, pods=pods, features=features, interval_seconds=interval
    )


@contextmanager
def history(folder: Path, cluster: Cluster, *options: str) -> Iterator[str]:
    populate(cluster, folder / "prometheus")
    # Afterwards no other test of this process may ask an engine that is gone.
    with (
        run_prometheus(folder / "prometheus", options=options) as engine,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("ACCOUNTING_PROMETHEUS__URL", engine.url)
        yield engine.url


def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(load())}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with history(tmp_path_factory.mktemp("healthy"), planned(QUIET)) as url:
        yield url


@pytest.fixture
def _healthy(healthy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", healthy)


@pytest.mark.parametrize("switch", ["volumes", "unnamed", "none"])
def test_where_homes_are_measured_what_tells_of_them_is_looked_at(
    switch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNTING_STORAGE__MEASURE", "true")
    features = QUIET.but(
        claims=switch != "none", volumes=True, allowlist_missing=switch == "unnamed"
    )
    expected = {
        "volumes": (State.OK, "kubelets tell of"),
        "unnamed": (State.WARNING, "shows whose it is"),
        "none": (State.WARNING, "shows no volume claim"),
    }
    with history(tmp_path, planned(features)):
        told = found()["home volumes"]
    state, words = expected[switch]
    assert (told.state, words in told.what) == (state, True), told
    assert (CLAIMS_ALLOWLIST in told.cure) == (switch == "unnamed")


@pytest.mark.usefixtures("_healthy")
def test_a_healthy_cluster_passes_every_check() -> None:
    findings = found()
    assert {f.state for f in findings.values()} == {State.OK}
    assert list(findings) == [
        "settings",
        "Prometheus",
        "kube-state-metrics",
        "clusters",
        "labels",
        "scrape interval",
        "owners",
        "cAdvisor",
        "CPU",
        "CPU by node",
        "retention",
        "database",
        "spool",
    ]
    assert "Prometheus 2." in findings["Prometheus"].what
    assert findings["scrape interval"].what == "60 s"
    assert worst(findings.values()) is State.OK


@pytest.mark.usefixtures("_healthy")
def test_looking_makes_no_database(tmp_path: Path) -> None:
    found()
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.usefixtures("_healthy")
def test_the_wrong_namespace_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__NAMESPACE", "hub")
    finding = found()["kube-state-metrics"]
    assert (finding.state, finding.what) == (State.FAILED, "it knows no namespace 'hub'")
    assert "ACCOUNTING_PROMETHEUS__NAMESPACE" in finding.cure


@pytest.mark.usefixtures("_healthy")
def test_a_pattern_that_no_pod_has_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__POD", "notebook-.*")
    finding = found()["owners"]
    assert finding.state is State.WARNING
    assert "ACCOUNTING_PROMETHEUS__POD" in finding.cure


def test_victoria_metrics_passes_the_same_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_victoria_metrics(tmp_path / "vm") as engine:
        import_history(planned(QUIET), engine.url)
        monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", engine.url)
        findings = found()
    assert {f.state for f in findings.values()} == {State.OK}
    assert "VictoriaMetrics" in findings["Prometheus"].what
    assert "retention" not in findings


BROKEN = {
    "allowlist_missing": ("owners", State.FAILED, "whose they are is unknown", ALLOWLIST),
    "pod_level_dropped": ("CPU", State.WARNING, "per container only", "do not drop"),
    "honor_labels_off": ("labels", State.OK, "exported_namespace, exported_pod", ""),
    "id_dropped": ("CPU", State.OK, "told by name", ""),
}


@pytest.mark.parametrize("switch", BROKEN)
def test_a_set_up_that_differs_is_recognised(switch: str, tmp_path: Path) -> None:
    name, state, what, cure = BROKEN[switch]
    with history(tmp_path, planned(QUIET.but(**{switch: True}))):
        findings = found()
    finding = findings.pop(name)
    assert finding.state is state
    assert what in finding.what
    assert cure in finding.cure
    assert {f.state for f in findings.values()} == {State.OK}


def test_what_tells_each_node_s_cpu_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    told_by: tuple[Endpoints, ...] = (
        "cadvisor",
        "cadvisor+resource",
        "containers",
        "cri",
        "otel",
    )
    nodes = tuple(NodeShape(metrics=(one,)) for one in told_by)
    with history(tmp_path, planned(QUIET.but(nodes=nodes), pods=60)):
        said = found()["CPU by node"].what.split("; ")
    told = {part.rpartition(" on 1 node: ")[2]: part for part in said if " on " in part}
    assert told["node-1"] == "cAdvisor on 1 node: node-1"
    assert "resource endpoint (lacks network)" in told["node-2"]
    assert "cAdvisor" in told["node-2"]
    assert told["node-3"].startswith("cAdvisor, containers only (lacks")
    assert "OpenTelemetry (lacks network and memory peaks)" in told["node-5"]


@pytest.mark.parametrize("metrics", ["resource", "otel"])
def test_whole_pods_are_counted_without_cadvisor_too(metrics: Endpoints, tmp_path: Path) -> None:
    with history(tmp_path, planned(QUIET.but(nodes=(NodeShape(metrics=(metrics,)),) * 2))):
        findings = found()
    assert {findings[name].state for name in ("cAdvisor", "CPU")} == {State.OK}
    assert findings["CPU"].what == "counted for whole pods"


def test_a_source_that_fell_silent_is_a_failure(tmp_path: Path) -> None:
    with history(tmp_path, planned(QUIET, ago=1800)):
        findings = found()
    for name in ("kube-state-metrics", "cAdvisor"):
        assert findings[name].state is State.FAILED
        assert findings[name].what.startswith("silent now, though it spoke")


def test_an_empty_prometheus_lacks_both_exporters(tmp_path: Path) -> None:
    with run_prometheus(tmp_path / "empty") as engine:
        os.environ["ACCOUNTING_PROMETHEUS__URL"] = engine.url
        findings = found()
    assert "install kube-state-metrics" in findings["kube-state-metrics"].cure
    assert "/metrics/cadvisor" in findings["cAdvisor"].cure


def test_rare_scrapes_are_a_warning(tmp_path: Path) -> None:
    with history(tmp_path, planned(QUIET, interval=180)):
        finding = found()["scrape interval"]
    assert finding.state is State.WARNING
    assert finding.what.startswith("180 s")


def test_a_live_cluster_passes_and_a_target_that_goes_down_is_told(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    cluster = Cluster.generate(
        5, now - timedelta(hours=1), now + timedelta(days=1), pods=40, features=QUIET
    )
    with ExitStack() as served:
        config = served.enter_context(serve_targets(cluster)).scrape_config(1)
        with run_prometheus(tmp_path / "live", scrape_config=config) as engine:
            os.environ["ACCOUNTING_PROMETHEUS__URL"] = engine.url
            _wait_for("kube-state-metrics", State.OK)
            served.close()
            finding = _wait_for("kube-state-metrics", State.FAILED)
    assert "targets are down" in finding.what
    # A listener that is being closed may still reset a connection that it has accepted.
    assert re.search("connection (refused|reset)|EOF", finding.what)


def _wait_for(name: str, state: State) -> Finding:
    deadline = time.monotonic() + 30
    while True:
        finding = found()[name]
        if finding.state is state or time.monotonic() > deadline:
            assert finding.state is state
            return finding
        time.sleep(0.5)


def covered_until(url: str, end: int) -> None:
    with Database(url) as database:
        database.upgrade()
        Ledger(database).commit(
            Step(Window(end - 60, end), None, Progress(end, None, 60.0), [], [], [], True, 0)
        )


@pytest.mark.parametrize(("days", "state"), [(1, State.OK), (8, State.WARNING), (20, State.FAILED)])
def test_retention_is_compared_with_the_last_poll(days: int, state: State, tmp_path: Path) -> None:
    covered_until(f"sqlite:///{tmp_path / 'ledger.db'}", int(time.time()) - days * 86400)
    # The last flag wins over the simulation's hundred years.
    with run_prometheus(tmp_path / "p", options=["--storage.tsdb.retention.size=1TB"]) as engine:
        os.environ["ACCOUNTING_PROMETHEUS__URL"] = engine.url
        assert found()["retention"].what == "samples are kept for 36500 days"
    with _says("storageRetention", "15d or 10GiB") as url:
        os.environ["ACCOUNTING_PROMETHEUS__URL"] = url
        finding = found()["retention"]
    assert finding.state is state
    assert finding.what.startswith("samples are kept for 15 days")


@contextmanager
def _says(name: str, value: str) -> Iterator[str]:
    """A server whose runtime information says so, and whose queries find nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(f'{{"status":"success","data":{{"{name}":"{value}"}}}}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            labels = "labels" in self.path
            data = "[]" if labels else '{"resultType":"vector","result":[]}'
            self._answer(f'{{"status":"success","data":{data}}}')

        def _answer(self, body: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_prometheus_that_is_down_is_one_finding_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", f"http://127.0.0.1:{free_port()}")
    findings = found()
    assert list(findings) == ["settings", "Prometheus", "database", "spool"]
    assert findings["Prometheus"].state is State.FAILED
    assert "cannot be reached" in findings["Prometheus"].what
    assert worst(findings.values()) is State.FAILED


def delivery(monkeypatch: pytest.MonkeyPatch, **changes: str) -> dict[str, Finding]:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ACCOUNTING_SSM__TRANSPORT", "ams")
    for name, value in changes.items():
        monkeypatch.setenv(f"ACCOUNTING_SSM__{name}", value)
    return found()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def test_the_login_at_the_broker_is_tried(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = authority.issue("host.example.org", days=60)
    files = {"HOSTCERT": str(host.cert), "HOSTKEY": str(host.key)}
    with AmsStandin(authority) as broker:
        where = {
            "AMS_HOST": broker.host,
            "AMS_PORT": str(broker.port),
            "AUTHN_PORT": str(broker.authn_port),
            "CA_FILE": str(authority.ca_file),
        }
        findings = delivery(monkeypatch, **files, **where)
        broker.registered = set()
        refused = delivery(monkeypatch, **files, **where)["AMS"]
    assert findings["certificate"] == Finding(
        "certificate",
        State.OK,
        "/DC=org/DC=example/O=Example/CN=host.example.org, valid for 60 days, and its key matches",
    )
    assert findings["AMS"].state is State.OK
    assert refused.state is State.FAILED
    assert "GOCDB" in refused.cure


@pytest.mark.parametrize(
    ("days", "state", "said"),
    [
        (-1, State.FAILED, "expired on"),
        (0.5, State.FAILED, "within 24 hours"),
        (10, State.WARNING, "key matches"),
    ],
)
def test_a_certificate_that_ends_is_told_in_time(
    days: float, state: State, said: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = datetime.now(UTC) - timedelta(days=30)
    host = authority.issue("host.example.org", key="ec", days=days + 30, not_before=begin)
    findings = delivery(
        monkeypatch,
        HOSTCERT=str(host.cert),
        HOSTKEY=str(host.key),
        AMS_HOST="localhost",
        AUTHN_PORT=str(free_port()),
    )
    assert findings["certificate"].state is state
    assert said in findings["certificate"].what
    assert "enew" in findings["certificate"].cure
    assert ("AMS" in findings) == (state is State.WARNING)


def test_a_certificate_that_no_client_may_show_is_told(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cases.md, 20."""
    host = authority.issue("host.example.org", key="ec", client=False)
    files = {"HOSTCERT": str(host.cert), "HOSTKEY": str(host.key)}
    with AmsStandin(authority) as broker:
        where = {
            "AMS_HOST": broker.host,
            "AMS_PORT": str(broker.port),
            "AUTHN_PORT": str(broker.authn_port),
            "CA_FILE": str(authority.ca_file),
        }
        findings = delivery(monkeypatch, **files, **where)
    for name in ("certificate", "AMS"):
        assert findings[name].state is State.FAILED
        assert "clientAuth" in findings[name].what
        assert "clientAuth" in findings[name].cure


def test_a_key_of_another_certificate_is_told(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (authority.issue("host.example.org", key="ec") for _ in range(2))
    finding = delivery(monkeypatch, HOSTCERT=str(mine.cert), HOSTKEY=str(other.key))["certificate"]
    assert finding.state is State.FAILED
    assert "key" in finding.what


@pytest.mark.usefixtures("_healthy")
def test_a_database_in_a_missing_folder_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACCOUNTING_DATABASE_URL", f"sqlite:///{tmp_path}/no/ledger.db")
    finding = found()["database"]
    assert (finding.state, finding.cure) == (State.FAILED, f"make it with 'mkdir -p {tmp_path}/no'")


@pytest.mark.usefixtures("_healthy")
def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("this is something else entirely, and long enough\n" * 40)
    finding = found()["database"]
    assert finding.state is State.FAILED
    assert "something else" in finding.cure


@pytest.mark.usefixtures("_healthy")
def test_tables_of_another_version_are_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()
    assert found()["database"].state is State.OK
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.commit()
    connection.close()
    finding = found()["database"]
    assert finding.state is State.FAILED
    assert "db upgrade" in finding.cure


def test_a_missing_site_name_is_the_first_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCOUNTING_SITE_NAME")
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", f"http://127.0.0.1:{free_port()}")
    first = next(iter(examine(load())))
    assert (first.name, first.state) == ("settings", State.FAILED)
    assert "ACCOUNTING_SITE_NAME=" in first.cure


MOUNTED = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:26 / /data rw,relatime - nfs4 server:/export rw,vers=4.2
31 30 8:2 / /data/local rw - xfs /dev/vdb rw
32 22 0:27 / /a\\040b rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/accounting.db", "ext4"),
        ("/data/accounting.db", "nfs4"),
        ("/data", "nfs4"),
        ("/database/accounting.db", "ext4"),
        ("/data/local/accounting.db", "xfs"),
        ("/a b/accounting.db", "cifs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_its_deepest_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTED) == kind


@pytest.mark.parametrize(
    ("address", "state"), [("", State.FAILED), ("?journal=delete", State.WARNING)]
)
def test_sqlite_on_a_network_file_system_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, state: State
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"30 22 0:26 / {tmp_path} rw,relatime - nfs4 server:/export rw\n")
    monkeypatch.setattr("accounting.doctor.database.MOUNTS", mounts)
    url = f"sqlite:///{tmp_path / 'accounting.db'}{address}"
    monkeypatch.setenv("ACCOUNTING_DATABASE_URL", url)
    found = list(check_database(load()))
    (volume,) = [finding for finding in found if finding.name == "volume"]
    assert (volume.state, "nfs4" in volume.what) == (state, True)
    mounts.write_text(f"30 22 0:26 / {tmp_path} rw,relatime - ext4 /dev/vda1 rw\n")
    found = list(check_database(load()))
    assert [finding for finding in found if finding.name == "volume"] == []
