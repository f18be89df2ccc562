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
