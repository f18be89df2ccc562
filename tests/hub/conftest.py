"""Shared by the hub's tests: the provider, and the logs of what ran beside a failing test."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.hub.process import running, tail
from tests.hub.provider import Provider, run_provider
from tests.hub.rig import PYTHONS
from tests.kubernetes.standin import KubernetesStandin


@pytest.fixture(scope="module", params=list(PYTHONS))
def jupyterhub(request: pytest.FixtureRequest) -> str:
    """A JupyterHub that hub/ runs on: a module's tests run on each, one after the other."""
    return str(request.param)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the programs that run now to a failure."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of {name}", tail(log)) for name, log in running.items())
    return report


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """An OpenID Connect provider for a module's tests."""
    with run_provider(tmp_path_factory.mktemp("provider")) as running_provider:
        yield running_provider


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    """A Kubernetes that can be made to fail."""
    with KubernetesStandin(tmp_path / "cluster") as running_cluster:
        yield running_cluster
