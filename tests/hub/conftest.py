"""Shared by the hub's tests: the provider, and the logs of what ran beside a failing test."""

from collections.abc import Generator, Iterator

import pytest

from tests.hub.process import running, tail
from tests.hub.provider import Provider, run_provider


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on the JupyterHubs that it, or its module, is marked with."""
    marker = metafunc.definition.get_closest_marker("jupyterhub")
    if marker and "site" in metafunc.fixturenames:
        metafunc.parametrize("site", marker.args, indirect=True, scope="module")


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
