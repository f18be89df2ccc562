"""One real cluster for all tests of this folder: ours, or the one that ``KUBECONFIG`` names."""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.control_plane import ControlPlane, run_cluster
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
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The user's own cluster where ``KUBECONFIG`` names one, otherwise ours."""
    if own := os.environ.get("KUBECONFIG"):
        with Client(Path(own)) as client:
            yield Cluster(Path(own), client)
        return
    made: ControlPlane = request.getfixturevalue("control_plane")
    yield Cluster(made.kubeconfig, made.client)


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
