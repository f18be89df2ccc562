"""A real source, and a ledger that has covered half of what it holds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from accounting.measure.source.prometheus import Source
from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from tests.exactness.polling import Written, poller, written
from tests.measure.hours import END, LAST, MIDDLE, START, Good, opened


@pytest.fixture(scope="package")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    folder = tmp_path_factory.mktemp("good") / "data"
    features = Features.none().but(claims=True, odd_requests=True)
    cluster = Cluster.generate(4, START, END, pods=80, features=features, interval_seconds=30)
    populate(cluster, folder)
    with run_prometheus(folder) as engine, httpx.Client(timeout=60) as client:
        yield Good(engine.url, cluster, client)


@pytest.fixture(scope="package")
def half(good: Good, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the first of the two hours."""
    file = tmp_path_factory.mktemp("half") / "ledger.db"
    with opened(file) as database, Source(good.url) as source:
        database.ensure_current()
        poller(database, source).poll(MIDDLE)
    return file


@pytest.fixture
def ledger(half: Path, tmp_path: Path) -> Iterator[Database]:
    """A copy of it."""
    with opened(Path(shutil.copy(half, tmp_path / "ledger.db"))) as database:
        yield database


@pytest.fixture(scope="package")
def right(good: Good, half: Path) -> Written:
    """What both hours must become."""
    with opened(Path(shutil.copy(half, half.with_name("whole.db")))) as database:
        with Source(good.url) as source:
            poller(database, source).poll(LAST)
        return written(database)
