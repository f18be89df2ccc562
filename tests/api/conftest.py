"""Shared by the API's tests: a Prometheus with an hour of notebooks, and the service."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounting.simulation.cluster import Cluster
from accounting.simulation.engines import run_prometheus
from accounting.simulation.features import Features
from accounting.simulation.history import populate
from tests.api.serving import Running, Serve, served


@pytest.fixture(scope="package")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    end = datetime.now(UTC) - timedelta(seconds=5)
    cluster = Cluster.generate(4, end - timedelta(hours=1), end, pods=12, features=Features.none())
    folder = tmp_path_factory.mktemp("prometheus")
    populate(cluster, folder / "data")
    with run_prometheus(folder / "data") as engine:
        yield engine.url


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts services: settings by their names, on databases of their own or given ones."""
    for name in list(os.environ):
        if name.startswith(("ACCOUNTING_", "JUPYTERHUB_")):
            monkeypatch.delenv(name)
    with ExitStack() as stack:

        def start(now: float = 1_793_600_000.0, **changes: str) -> Running:
            return stack.enter_context(served(tmp_path, monkeypatch, now, changes))

        yield start
