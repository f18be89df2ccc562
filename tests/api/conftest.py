"""Shared by the API's tests: a Prometheus with an hour of notebooks, and the service."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from tests.api.many import filled
from tests.api.serving import Running, Serve, served


@pytest.fixture(scope="package")
def moment() -> float:
    """When the tests' services live: just after the last scrape, however late a test runs."""
    return datetime.now(UTC).timestamp()


@pytest.fixture(scope="package")
def prometheus(moment: float, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    end = datetime.fromtimestamp(moment, UTC) - timedelta(seconds=5)
    cluster = Cluster.generate(4, end - timedelta(hours=1), end, pods=12, features=Features.none())
    folder = tmp_path_factory.mktemp("prometheus")
    populate(cluster, folder / "data")
    with run_prometheus(folder / "data") as engine:
        yield engine.url


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts services in the test's folder: settings by their names."""
    with _starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The same for all tests of a module, where none changes anything."""
    with _starting(tmp_path_factory.mktemp("service")) as start:
        yield start


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    """The notebooks of ``many``, for tests that change nothing; some modules have their own."""
    return filled(serve_all())


@pytest.fixture
def changing(serve: Serve) -> Running:
    """The same, for tests that change something."""
    return filled(serve())


@contextmanager
def _starting(folder: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in list(os.environ):
            if name.startswith(("ACCOUNTING_", "JUPYTERHUB_")):
                patch.delenv(name)

        def start(now: float = 1_793_600_000.0, **changes: str) -> Running:
            return stack.enter_context(served(folder, patch, now, changes))

        yield start
