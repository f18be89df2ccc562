"""Shared by the tests of the command line: a cluster's history, and sites that measure it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from ssm.testing.authority import Authority
from tests.cli.site import HOURS, Cloud, Result, Site, site_at


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    features = Features.none().but(hole=True, claims=True, odd_users=True, unannotated=True)
    cluster = Cluster.generate(11, end - timedelta(hours=HOURS), end, pods=40, features=features)
    folder = tmp_path_factory.mktemp("cloud")
    populate(cluster, folder / "prometheus")
    with run_prometheus(folder / "prometheus") as engine:
        yield Cloud(cluster, engine.url)


@pytest.fixture
def site(cloud: Cloud, tmp_path: Path) -> Site:
    return site_at(tmp_path, cloud.url)


@pytest.fixture(scope="module")
def first_poll(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Result]:
    polled = site_at(tmp_path_factory.mktemp("polled"), cloud.url)
    return polled, polled.run("poll", "--json")


@pytest.fixture
def polled(first_poll: tuple[Site, Result], tmp_path: Path) -> Site:
    return first_poll[0].copied(tmp_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))
