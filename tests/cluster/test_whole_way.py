"""From login to the received record, by the real programs; then what disturbs a cluster."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Self

import pytest
from playwright.sync_api import Page

from tests.chart import upstream
from tests.cluster import chart_hub
from tests.cluster.conftest import namespace_manifest
from tests.cluster.control_plane import ControlPlane
from tests.cluster.site import SCRAPE_SECONDS, Life, Measured, run_measured, run_notebooks
from tests.hub.checkin import TRAINING, VO, Site, run_site
from tests.hub.cloud import PODS
from tests.hub.process import wait_for
from tests.hub.provider import Provider
from tests.hub.visitor import Visitor
from tests.kubernetes.client import Client

SPACE = "hub"
AWAY_SECONDS = 60
SHOWN = ("checkin", "spawner", "pages")
REQUESTED = "kube_pod_container_resource_requests"
TWO_SCRAPES = 2 * SCRAPE_SECONDS + 1  # and the second that Kubernetes' times are rounded to
CONFIG = (
    PODS
    + """
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.port = {port}
c.KubeSpawner.k8s_api_request_timeout = 30
c.KubeSpawner.k8s_api_request_retry_timeout = 240
c.KubeSpawner.poll_interval = 5
c.JupyterHub.concurrent_spawn_limit = 600
c.JupyterHub.active_server_limit = 0
c.JupyterHub.cleanup_servers = False
c.JupyterHub.cleanup_proxy = False
c.KubeSpawner.start_timeout = 300
"""
)
TINY = """
c.EGISpawner.profile_list.append({
    "display_name": "Tiny",
    "slug": "tiny",
    "kubespawner_override": {"cpu_guarantee": 0.1, "mem_guarantee": "64M"},
})
"""

# What the chart of Zero to JupyterHub lets its hub do, and what ours adds for the spawner.
HUB_RULES = [
    {
        "apiGroups": [""],
        "resources": ["pods", "persistentvolumeclaims", "secrets", "services"],
        "verbs": ["get", "watch", "list", "create", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "watch", "list"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["update", "patch"]},
]


@dataclass(frozen=True)
class Configured:
    """How the hub is configured: as docs/hub shows, or by the real chart where it is there."""

    fragments: tuple[str, ...]
    config: str
    version: str
    rules: list[dict[str, Any]]

    @classmethod
    def here(cls, folder: Path, port: int) -> Self:
        config = CONFIG.format(port=port)
        if not upstream.is_real():
            return cls(SHOWN, TINY + config, "6", HUB_RULES)
        folder.mkdir()
        made = chart_hub.render(folder, SPACE)
        text = chart_hub.configuration(made, folder) + config
        return cls((), text, "5.5", chart_hub.rules(made))

    def run(self, folder: Path, provider: Provider) -> AbstractContextManager[Site]:
        return run_site(
            folder, provider, self.config, version=self.version, fragments=self.fragments
        )


@dataclass(frozen=True)
class Whole:
    """A hub on a real cluster, and all that measures it."""

    site: Site
    measured: Measured
    cluster: ControlPlane
    configured: "Configured"

    def start(self, user: str, server: str = "", profile: str = "small") -> Life:
        """A running server of a user who never logged in, once Prometheus has seen it."""
        name = f"jupyter-{user}" + (f"--{server}" if server else "")
        self.site.hub.add_user(user) if not self.knows(user) else None
        self.site.hub.start_server(user, server, profile=profile)
        life = Life(self.cluster, SPACE, self.pod_of(user, server, name))
        wait_for(lambda: self.measured.seen(life.uid), f"{name} in Prometheus")
        return life

    def knows(self, user: str) -> bool:
        return self.site.hub.api("GET", f"/users/{user}").is_success

    def pod_of(self, user: str, server: str, name: str, site: Site | None = None) -> str:
        model = (site or self.site).hub.user(user)["servers"][server]
        return str(model["state"]["pod_name"]) if model.get("state") else name

    def restartable(self, folder: Path, provider: Provider) -> AbstractContextManager[Site]:
        """Another hub over the same namespace, which goes on where its folder left off."""
        return self.configured.run(folder / "hub", provider)

    def measured_end(self, life: Life) -> float:
        """Wait until the pod is gone, and Prometheus knows; when it went (Unix seconds)."""
        wait_for(life.is_gone, f"the end of {life.path}")
        gone = time()
        wait_for(lambda: self.measured.forgotten(life.uid), "a scrape without the pod")
        return gone

    def wall(self, life: Life) -> float:
        """The wall seconds of the pod's record, after a poll."""
        return float(self.measured.records()[life.uid]["wall_seconds"])


@pytest.fixture(scope="module")
def whole(
    control_plane: ControlPlane, provider: Provider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Whole]:
    folder = tmp_path_factory.mktemp("whole")
    with (
        run_measured(control_plane, folder, SPACE) as measured,
        run_notebooks(folder) as port,
        pytest.MonkeyPatch.context() as patch,
    ):
        configured = Configured.here(folder / "chart", port)
        grant(control_plane.client, configured.rules)
        patch.setenv("KUBECONFIG", str(control_plane.kubeconfig_of(SPACE, "hub")))
        with configured.run(folder / "hub", provider) as site:
            yield Whole(site, measured, control_plane, configured)


def grant(client: Client, rules: list[dict[str, Any]]) -> None:
    """The hub's namespace, and its service account with these rights there."""
    client.apply(namespace_manifest(SPACE))
    named = {"name": "hub", "namespace": SPACE}
    version = "rbac.authorization.k8s.io/v1"
    account = {"kind": "ServiceAccount", **named}
    client.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named})
    client.apply({"apiVersion": version, "kind": "Role", "metadata": named, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "hub"}
    client.apply(
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": named,
            "roleRef": reference,
            "subjects": [account],
        }
    )


def log_in(page: Page, site: Site, name: str) -> None:
    page.goto(site.hub.url)
    page.get_by_role("button", name="Sign in with EGI Check-in").click()
    page.get_by_label("User").fill(name)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button").first.click()  # consent
    page.wait_for_url("**/hub/spawn*")


def work_on(life: Life) -> None:
    """Let a pod run for longer than its measure may err."""
    wait_for(lambda: time() > life.start + 4 * TWO_SCRAPES, "a while of work")


def test_a_notebook_started_by_browser_becomes_a_received_record(whole: Whole, page: Page) -> None:
    whole.site.provider.user("alice", entitlements=[TRAINING, VO])
    log_in(page, whole.site, "alice")
    page.get_by_role("radio", name="Large").check()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/user/alice/**")
    life = Life(whole.cluster, SPACE, whole.pod_of("alice", "", "jupyter-alice"))
    wait_for(lambda: whole.measured.seen(life.uid), "the pod in Prometheus")
    assert {
        key: value
        for key, value in life.pod["metadata"]["annotations"].items()
        if key.startswith("egi.eu/")
    } == {"egi.eu/primary_group": VO, "egi.eu/flavor": "large"}
    work_on(life)
    whole.site.hub.stop_server("alice")
    whole.measured_end(life)
    lasted = life.event("Killing") - life.event("Started")

    wait_for(
        lambda: whole.measured.records()[life.uid]["status"] == "completed", "a completed record"
    )
    assert lasted > 3 * TWO_SCRAPES
    assert whole.wall(life) == pytest.approx(lasted, abs=TWO_SCRAPES)
    received = whole.measured.received()[life.uid]
    assert received.values["GlobalUserName"] == "alice"
    assert received.vo == "vo.example.org"
    assert received.values["CpuCount"] == 8
    assert received.values["Memory"] == 32 * 1024
    assert received.values["ImageId"] == "example.org/lab:1"
    assert received.values["Status"] == "completed"
    assert received.integer("WallDuration") == pytest.approx(lasted, abs=TWO_SCRAPES)
    assert received.integer("CpuDuration") == pytest.approx(0.25 * lasted, abs=2)


def test_two_named_servers_of_a_user_are_two_records(whole: Whole) -> None:
    lives = [whole.start("bob", server) for server in ("one", "two")]
    work_on(lives[1])
    for server in ("one", "two"):
        whole.site.hub.stop_server("bob", server)
    for life in lives:
        whole.measured_end(life)
    records = whole.measured.records()
    assert {records[life.uid]["user"] for life in lives} == {"bob"}
    for life in lives:
        lasted = life.event("Killing") - life.event("Started")
        assert records[life.uid]["wall_seconds"] == pytest.approx(lasted, abs=TWO_SCRAPES)


def test_a_profile_that_is_not_open_starts_no_pod(whole: Whole) -> None:
    whole.site.provider.user("carol", entitlements=[TRAINING])
    with Visitor(whole.site.hub) as visitor:
        visitor.login("carol")
    answer = whole.site.hub.api("POST", "/users/carol/server", json={"profile": "large"})
    # The hub of Zero to JupyterHub answers before it has looked.
    assert answer.status_code == (202 if upstream.is_real() else 403)
    wait_for(lambda: not whole.site.hub.user("carol")["servers"], "the end of the start")
    found = whole.cluster.client.list(f"/api/v1/namespaces/{SPACE}/pods")
    assert not [pod for pod in found if "carol" in pod["metadata"]["name"]]


def test_a_pod_that_is_resized_in_place_holds_its_sizes_one_after_the_other(whole: Whole) -> None:
    life = whole.start("hanna")
    (held,) = life.now()["status"]["containerStatuses"]
    assert held["resources"]["requests"]["cpu"] == "1"
    life.resize("notebook", {"requests": {"cpu": "4", "memory": str(8 * 2**30)}})
    resized = time()
    wait_for(
        lambda: bool(whole.measured.query(f'{REQUESTED}{{uid="{life.uid}",resource="cpu"}} == 4')),
        "the new size in Prometheus",
    )
    wait_for(lambda: time() > resized + 3 * TWO_SCRAPES, "a while in the new size")
    open_ = whole.measured.records()[life.uid]
    assert (open_["cpu_count"], open_["memory_mb"]) == (4, 8 * 1024), "the highest so far"
    whole.site.hub.stop_server("hanna")
    whole.measured_end(life)
    ended = life.event("Killing")
    record = whole.measured.records()[life.uid]
    expected = (resized - life.start) + 4 * (ended - resized)
    assert record["core_seconds"] == pytest.approx(expected, abs=4 * TWO_SCRAPES)
    assert record["cpu_count"] == pytest.approx(expected / (ended - life.start), abs=1)
    assert "resized" in record["flags"]


def test_a_server_outlives_its_hub_s_restart_and_stays_one_record(
    whole: Whole, provider: Provider, tmp_path: Path
) -> None:
    with whole.restartable(tmp_path, provider) as site:
        site.hub.add_user("ida")
        site.hub.start_server("ida", profile="small")
        life = Life(whole.cluster, SPACE, whole.pod_of("ida", "", "jupyter-ida", site))
    wait_for(lambda: whole.measured.seen(life.uid), "the pod in Prometheus")
    with whole.restartable(tmp_path, provider) as site:
        wait_for(lambda: bool(site.hub.user("ida")["servers"][""]["ready"]), "the server again")
        assert not life.is_gone()
        site.hub.stop_server("ida")
        whole.measured_end(life)
    lasted = life.event("Killing") - life.event("Started")
    found = [one for one in whole.measured.records().values() if one["user"] == "ida"]
    assert [one["uid"] for one in found] == [life.uid]
    assert found[0]["wall_seconds"] == pytest.approx(lasted, abs=TWO_SCRAPES)


@pytest.mark.parametrize("how", ["evicted", "deleted by force", "drained"])
def test_a_pod_that_is_taken_away_ends_its_record(whole: Whole, how: str) -> None:
    life = whole.start("emil")
    client = whole.cluster.client
    node = life.pod["spec"]["nodeName"]
    if how == "deleted by force":
        client.delete(life.path, gracePeriodSeconds=0)
    else:
        if how == "drained":
            client.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
        meta = {"name": life.pod["metadata"]["name"], "namespace": SPACE}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        client.post(f"{life.path}/eviction", eviction)
    gone = whole.measured_end(life)
    if how == "drained":
        client.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})
    assert whole.wall(life) == pytest.approx(gone - life.start, abs=TWO_SCRAPES)
    wait_for(lambda: not whole.site.hub.user("emil")["servers"], "the hub's notice")


def test_while_the_api_server_is_away_nothing_ends_and_nothing_is_lost(whole: Whole) -> None:
    life = whole.start("fred")
    with whole.cluster.without_api():
        away = time()
        wait_for(lambda: time() > away + AWAY_SECONDS, "a while without the API server")
        assert life.uid in whole.measured.records()
    # Scheduler and kube-state-metrics ask again after growing waits: a new pod shows that they did.
    whole.site.hub.add_user("fiona")
    whole.site.hub.api("POST", "/users/fiona/server", json={"profile": "small"}).raise_for_status()
    wait_for(
        lambda: bool(whole.site.hub.user("fiona")["servers"][""]["ready"]), "a new server", 240
    )
    whole.start("fiona")
    whole.site.hub.stop_server("fred")
    gone = whole.measured_end(life)
    record = whole.measured.records()[life.uid]
    assert record["wall_seconds"] == pytest.approx(gone - life.start, abs=TWO_SCRAPES)


def test_a_node_that_falls_silent_and_is_removed_ends_its_pods(whole: Whole) -> None:
    """With the node, although the control plane says for a minute more that its pods run."""
    life = whole.start("gina")
    node = life.pod["spec"]["nodeName"]
    with whole.cluster.without_node(node):
        wait_for(life.is_evicted, "the eviction by taint")
        lost = whole.cluster.unready_since(node)
        wait_for(
            lambda: whole.measured.records()[life.uid]["status"] == "completed",
            "a completed record",
        )
        whole.cluster.client.delete(f"/api/v1/nodes/{node}")
        whole.measured_end(life)
    record = whole.measured.records()[life.uid]
    assert record["wall_seconds"] == pytest.approx(lost - life.start, abs=TWO_SCRAPES)
    assert "node lost" in record["flags"]


def test_a_node_that_falls_silent_and_comes_back_ends_its_pods(whole: Whole) -> None:
    """With the node, unless a scrape still finds them on it."""
    life = whole.start("greta")
    node = life.pod["spec"]["nodeName"]
    with whole.cluster.without_node(node):
        wait_for(life.is_evicted, "the eviction by taint")
        lost = whole.cluster.unready_since(node)
    gone = whole.measured_end(life)
    record = whole.measured.records()[life.uid]
    ended = lost if "node lost" in record["flags"] else gone
    assert record["wall_seconds"] == pytest.approx(ended - life.start, abs=TWO_SCRAPES)


@pytest.mark.timeout(1500)
def test_many_servers_at_once_all_start_and_each_is_accounted(whole: Whole) -> None:
    names = [f"many-{number}" for number in range(MANY)]

    def ask(name: str) -> int:
        whole.site.hub.add_user(name)
        return whole.site.hub.api(
            "POST", f"/users/{name}/server", json={"profile": "tiny"}
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, names)) <= {201, 202}

    def pods() -> list[dict[str, Any]]:
        found = whole.cluster.client.list(f"/api/v1/namespaces/{SPACE}/pods")
        many = [pod for pod in found if "many" in pod["metadata"]["name"]]
        return [pod for pod in many if pod["status"].get("phase") == "Running"]

    wait_for(lambda: len(pods()) >= MANY, f"{MANY} running pods", 900)
    uids = {pod["metadata"]["uid"] for pod in pods()}
    count = 'count(kube_pod_status_phase{pod=~"jupyter-many.*",phase="Running"} == 1)'
    wait_for(
        lambda: any(float(one["value"][1]) == MANY for one in whole.measured.query(count)),
        "all of them in Prometheus",
    )
    whole.cluster.client.delete(f"/api/v1/namespaces/{SPACE}/pods", gracePeriodSeconds=0)
    wait_for(lambda: not pods(), "their end", 300)
    wait_for(lambda: not whole.measured.query(count), "a scrape without them")
    records = whole.measured.records()
    assert uids <= records.keys()
    users = {records[uid]["user"] for uid in uids}
    assert users == set(names)


MANY = int(os.environ.get("CLUSTER_SERVERS", "100"))
"""Servers that start at once; 500 with ``CLUSTER_SERVERS=500``."""
