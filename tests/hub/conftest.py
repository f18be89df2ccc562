"""Shared by the hub's tests: the provider, a hub with logins there, logs of failing tests."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.hub.checkin import Setup, Site, run_site
from tests.hub.process import running, tail
from tests.hub.provider import Provider, run_provider
from tests.hub.rig import PYTHONS
from tests.hub.visitor import Visitor
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


@pytest.fixture(autouse=True)
def _provider_well_again(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test changed in the provider's behaviour is as before for the next."""
    yield
    if "provider" in request.fixturenames:
        request.getfixturevalue("provider").heal()


@pytest.fixture(scope="module")
def setup() -> Setup:
    """How the module's hub is set up; a module with another set-up has a fixture of this name."""
    return Setup()


@pytest.fixture(scope="module")
def site(
    jupyterhub: str,
    provider: Provider,
    setup: Setup,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A hub whose users log in at the provider, for a module's tests."""
    with run_site(
        tmp_path_factory.mktemp("hub"),
        provider,
        setup.config,
        version=jupyterhub,
        fragments=setup.fragments,
        name=setup.name,
        replacing=setup.replacing,
    ) as running_site:
        setup.wait(running_site)
        yield running_site


@pytest.fixture
def visitor(site: Site) -> Iterator[Visitor]:
    """Somebody at the hub, not logged in."""
    with Visitor(site.hub) as client:
        yield client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    """A Kubernetes that can be made to fail."""
    with KubernetesStandin(tmp_path / "cluster") as running_cluster:
        yield running_cluster
