"""One real cluster for all tests of this folder: ours, or the one that ``KUBECONFIG`` names."""

import os
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chart import helm
from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, run_cluster
from tests.cluster.operators import CRDS, DEFINITIONS, definition
from tests.cluster.release import CHARTS, Release
from tests.hub.process import running, tail
from tests.hub.provider import Provider, run_provider
from tests.kubernetes.client import Client


@dataclass(frozen=True)
class Cluster:
    """A cluster as its administrator sees it."""

    kubeconfig: Path
    client: Client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the programs that run now to a failure."""
    report = yield
    if report.failed:
        report.sections.extend(
            (f"log of {name}", tail(log)[-1500:]) for name, log in running.items()
        )
    return report


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster of these tests' own, whose parts can be stopped."""
    if not all(programs.find(name) for name in programs.KUBERNETES.packages):
        pytest.skip("the cluster's programs are not built: make cluster-test builds them")
    with run_cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """The user's own cluster where ``KUBECONFIG`` names one, otherwise ours."""
    if own := os.environ.get("KUBECONFIG"):
        alone = chosen_context(own, tmp_path_factory.mktemp("kubeconfig") / "config")
        with Client(alone) as client:
            yield Cluster(alone, client)
        return
    made: ControlPlane = request.getfixturevalue("control_plane")
    yield Cluster(made.kubeconfig, made.client)


def chosen_context(kubeconfig: str, path: Path) -> Path:
    """The current context of a list of kubeconfigs, as one file with all that it needs."""
    command = [str(helm.kubectl()), "config", "view", "--raw", "--flatten", "--minify"]
    environment = {**os.environ, "KUBECONFIG": kubeconfig}
    path.touch(mode=0o600)
    with path.open("w") as output:
        subprocess.run(command, env=environment, stdout=output, check=True)
    return path


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of a test's own."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**8}"
    cluster.client.apply(namespace_manifest(name))
    yield name
    cluster.client.delete(f"/api/v1/namespaces/{name}")


def namespace_manifest(name: str, **labels: str) -> dict[str, object]:
    """A namespace with Pod Security labels, such as ``enforce="restricted"``."""
    marks = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": marks},
    }


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """An OpenID Connect provider for a module's tests."""
    with run_provider(tmp_path_factory.mktemp("provider")) as running_provider:
        yield running_provider


@pytest.fixture
def strict(cluster: Cluster, namespace: str) -> str:
    """A namespace in which admission looks closely: restricted pods, a quota, limits."""
    cluster.client.apply(namespace_manifest(namespace, enforce="restricted", warn="restricted"))
    for kind, spec in (
        ("ResourceQuota", {"hard": {"requests.memory": "4Gi", "pods": "20"}}),
        (
            "LimitRange",
            {"limits": [{"type": "Container", "max": {"memory": "2Gi"}, "default": {"cpu": "1"}}]},
        ),
    ):
        metadata = {"name": "tests", "namespace": namespace}
        manifest = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
        cluster.client.apply(manifest)
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    cluster.client.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny", "namespace": namespace},
            "spec": deny,
        }
    )
    return namespace


@pytest.fixture
def release(cluster: Cluster, strict: str) -> Release:
    """A release to be installed where admission looks closely."""
    return Release("egi", strict, cluster.kubeconfig, cluster.client)


@pytest.fixture(params=CHARTS)
def chart(request: pytest.FixtureRequest) -> str:
    """The name of each chart of this project, one after another."""
    return str(request.param)


@pytest.fixture(scope="session")
def operators_kinds(cluster: Cluster) -> Iterator[None]:
    """The kinds that the operators of Prometheus and of certificates bring, where they are not."""
    missing = [name for name in CRDS if cluster.client.find(f"{DEFINITIONS}/{name}") is None]
    for name in missing:
        cluster.client.apply(definition(name, CRDS[name]))
    yield
    for name in missing:
        cluster.client.delete(f"{DEFINITIONS}/{name}")
