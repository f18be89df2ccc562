"""Releases in a cluster: what an upgrade keeps, and what a later installation finds again."""

import base64
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from tests.chart import helm, upstream
from tests.chart.helm import CHARTS
from tests.chart.umbrella import assembled
from tests.kubernetes.standin import KubernetesStandin

CHART = CHARTS / "notebooks-accounting"
MINIMAL = CHART / "ci" / "minimal-values.yaml"
NAME = "egi-notebooks-accounting"
KEYS = {"token", "job-token", "metrics-token", "pseudonym-key"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path / "cluster", namespaces=("hub", "other")) as running:
        yield running


def install(cluster: KubernetesStandin, *settings: str, namespace: str = "hub") -> str:
    """Install or upgrade the release: the notes."""
    given = [argument for setting in settings for argument in ("--set", setting)]
    done = helm.run(
        *("upgrade", "--install", "egi", CHART, "--namespace", namespace, "--values", MINIMAL),
        *given,
        kubeconfig=cluster.kubeconfig,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def secrets(cluster: KubernetesStandin, namespace: str = "hub") -> dict[str, str]:
    found: dict[str, str] = cluster.get("secrets", NAME, namespace)["data"]
    return found


def settings(cluster: KubernetesStandin) -> str:
    return str(cluster.get("configmaps", NAME)["data"]["settings.yaml"])


def test_upgrades_and_a_later_installation_keep_the_generated_secrets(
    cluster: KubernetesStandin,
) -> None:
    install(cluster)
    first = secrets(cluster)
    assert set(first) == KEYS
    assert len(set(first.values())) == len(KEYS), "each is of its own"
    assert all(len(base64.b64decode(value)) == 48 for value in first.values())

    install(cluster, "poll.interval=10m")
    assert "interval: 10m" in settings(cluster)
    assert secrets(cluster) == first

    done = helm.run("uninstall", "egi", "--namespace", "hub", kubeconfig=cluster.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert cluster.find("deployments", NAME) is None
    assert cluster.find("secrets", f"{NAME}-hostcert") is None
    assert cluster.find("persistentvolumeclaims", NAME) is not None, "it holds what was accounted"
    install(cluster)
    assert secrets(cluster) == first


def test_a_secret_of_an_earlier_version_gets_what_it_lacks(cluster: KubernetesStandin) -> None:
    install(cluster)
    old = cluster.get("secrets", NAME)
    token = old["data"]["token"]
    old["data"] = {"token": token}
    cluster.replace(old)
    install(cluster)
    assert set(secrets(cluster)) == KEYS
    assert secrets(cluster)["token"] == token


def test_each_release_has_secrets_of_its_own(cluster: KubernetesStandin) -> None:
    install(cluster)
    install(cluster, namespace="other")
    here, there = secrets(cluster), secrets(cluster, "other")
    assert not set(here.values()) & set(there.values())


@pytest.mark.parametrize(
    ("services", "url"),
    [
        ((), "http://prometheus-server.hub.svc"),
        (("prometheus-operated", "alertmanager"), "http://prometheus-operated.hub.svc:9090"),
        (("egi-prometheus-server",), "http://egi-prometheus-server.hub.svc"),
        (("prometheus-operated", "prometheus-server"), "http://prometheus-server.hub.svc"),
    ],
)
def test_prometheus_is_found_by_its_usual_names(
    cluster: KubernetesStandin, services: tuple[str, ...], url: str
) -> None:
    for name in services:
        spec = {"ports": [{"port": 80}], "selector": {"app": "a"}}
        metadata = {"name": name}
        cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    notes = install(cluster)
    assert f"url: {url}\n" in settings(cluster)
    assert f"from\n{url} (set prometheus.url" in notes


def test_the_test_of_a_release_is_the_doctors(cluster: KubernetesStandin) -> None:
    install(cluster)
    done = helm.run("get", "hooks", "egi", "-n", "hub", kubeconfig=cluster.kubeconfig)
    assert "args: [doctor]" in done.stdout


def test_the_notes_say_what_to_do_at_kube_state_metrics_and_at_the_hub(
    cluster: KubernetesStandin,
) -> None:
    from accounting.doctor import ALLOWLIST  # noqa: PLC0415 - slow, and only used here

    notes = install(cluster)
    assert f"\n   {ALLOWLIST}\n" in notes
    (snippet,) = re.findall(r"\n(   hub:\n(?:    .*\n)+)", notes)
    hub = yaml.safe_load(textwrap.dedent(snippet))["hub"]
    address = urlsplit(hub["services"]["accounting"]["url"])
    (port,) = cluster.get("services", NAME)["spec"]["ports"]
    assert (address.hostname, address.port) == (f"{NAME}.hub.svc", port["port"])
    assert "access:services!service=accounting" in hub["loadRoles"]["user"]["scopes"]
    values = upstream.defaults("jupyterhub")
    values["hub"] |= hub
    jsonschema.Draft7Validator(upstream.schema("jupyterhub")).validate(values)


def upgrade(cluster: KubernetesStandin, chart: str, *settings: str) -> str:
    """Install or upgrade a release of another chart: the notes."""
    given = [argument for setting in settings for argument in ("--set", setting)]
    values = CHARTS / chart / "ci" / "minimal-values.yaml"
    done = helm.run(
        *("upgrade", "--install", "egi", CHARTS / chart, "--namespace", "hub", "--values", values),
        *given,
        kubeconfig=cluster.kubeconfig,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_restore_is_done_once_whatever_upgrades_follow(cluster: KubernetesStandin) -> None:
    def restores() -> set[str]:
        return {
            job["metadata"]["name"]
            for job in cluster.all("jobs", "hub")
            if "restore" in job["metadata"]["name"]
        }

    asked = ("restore.arguments={--all}",)
    assert "is started. See how it goes" in upgrade(cluster, "notebooks-backup", *asked)
    (first,) = restores()
    later = upgrade(cluster, "notebooks-backup", *asked, "image.tag=v9")
    assert "give it another restore.id" in later
    assert restores() == {first}, "the Job that runs is left alone"
    cluster.remove("jobs", first)
    upgrade(cluster, "notebooks-backup", *asked)
    assert restores() == set(), "a Job that is gone does not come again"
    upgrade(cluster, "notebooks-backup")
    upgrade(cluster, "notebooks-backup", *asked, "restore.id=second")
    assert len(restores()) == 1


def test_the_pseudonyms_key_is_made_where_a_cluster_keeps_it(cluster: KubernetesStandin) -> None:
    install(cluster, "vo.userRetentionDays=30")
    first = secrets(cluster)["pseudonym-key"]
    install(cluster, "vo.userRetentionDays=60")
    assert secrets(cluster)["pseudonym-key"] == first


def test_a_hub_that_does_not_know_the_service_is_told_before_a_pod_waits_for_its_token(
    cluster: KubernetesStandin,
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "data": {}}
    cluster.create(secret)
    given = ("--set", "hub.enabled=true,hub.origin=shared", "--values", MINIMAL)
    done = helm.run(
        *("upgrade", "--install", "egi", CHART, "--namespace", "hub", *given),
        kubeconfig=cluster.kubeconfig,
    )
    assert "register the service at the hub first" in done.stderr
    cluster.replace(
        cluster.get("secrets", "hub") | {"data": {"hub.services.accounting.apiToken": "YQ=="}}
    )
    install(cluster, "hub.enabled=true", "hub.origin=shared")


def test_pages_do_not_move_to_another_host_name_by_an_upgrade_alone(
    cluster: KubernetesStandin,
) -> None:
    """Before, the hub's address alone left the pages on the hub's host name."""
    address = "hub.publicUrl=https://notebooks.example.org/hub"
    made = helm.render(CHART, MINIMAL, settings=("hub.enabled=true", address))
    settings = helm.find(made, "ConfigMap")
    text = settings["data"]["settings.yaml"]
    lines = [line for line in text.splitlines() if not re.match(r"  (origin|callback_url):", line)]
    settings["data"]["settings.yaml"] = "\n".join(lines)
    cluster.create(settings)
    given = ("--set", f"hub.enabled=true,{address}", "--values", MINIMAL)
    upgrade = ("upgrade", "--install", "egi", CHART, "--namespace", "hub", *given)
    said = helm.run(*upgrade, kubeconfig=cluster.kubeconfig).stderr
    assert "write host: accounting.notebooks.example.org" in said
    assert "hub.origin: shared to leave all as it is" in said


def test_a_service_goes_to_postgresql_and_back(cluster: KubernetesStandin) -> None:
    """What the cluster filled in for one strategy must not stay for the other."""
    strategies = []
    for given in ((), ("database.url=postgresql://a@db.example.org/a",), ()):
        install(cluster, *given)
        strategies.append(cluster.get("deployments", NAME)["spec"]["strategy"]["type"])
    assert strategies == ["Recreate", "RollingUpdate", "Recreate"]
    assert not cluster.get("deployments", NAME)["spec"]["strategy"].get("rollingUpdate")


def test_a_role_of_the_cluster_that_is_of_another_release_is_told_with_what_to_do(
    cluster: KubernetesStandin, tmp_path: Path
) -> None:
    chart = assembled(tmp_path / "umbrella")
    owner = {
        "meta.helm.sh/release-name": "egi",
        "meta.helm.sh/release-namespace": "elsewhere",
    }
    cluster.create(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "egi-prometheus-server", "annotations": owner},
            "rules": [],
        }
    )
    given = ("--namespace", "hub", "--values", chart / "ci" / "production-values.yaml")
    done = helm.run("install", "egi", chart, *given, kubeconfig=cluster.kubeconfig)
    assert "the ClusterRole egi-prometheus-server is of another release" in done.stderr
    done = helm.run("install", "other", chart, *given, kubeconfig=cluster.kubeconfig)
    assert done.returncode == 0, done.stderr
