"""Home volumes, day by day: on the simulated cluster against its truth, in either engine."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from accounting.measure.poller import Options, Poller
from accounting.measure.promql import volumes as promql
from accounting.measure.source.prometheus import Source
from accounting.model.volumes import DAY_SECONDS, Quality, Volume
from accounting.simulation.judges.volumes import SimulatedVolume
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import NAMESPACE, Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.records import Records
from accounting.store.tables import volumes
from accounting.store.volumes import volume_of
from tests.exactness.notebooks import ENGINES, Notebook, every, heartbeat, merged, served
from tests.exactness.notebooks import START as NOON
from tests.exactness.polling import RULES, SCOPE, SITE

START = datetime(2025, 10, 30, 7, tzinfo=UTC)
END = datetime(2025, 11, 2, 5, tzinfo=UTC)
CLUSTER = Cluster.generate(
    16,
    START,
    END,
    pods=36,
    mean_life=5000.0,
    features=Features.none().but(claims=True, volumes=True, odd_users=True, other_pods=True),
    interval_seconds=60,
)
FIRST, LAST = (int(at.timestamp()) for at in (START, END))
QUALITIES = {
    "own": Quality.FILESYSTEM,
    "share": Quality.DIRECTORY,
    "silent": Quality.ALLOCATED,
}
HOUR = 3600
GROUP = "urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"

Days = dict[tuple[str, int], Volume]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("homes") / "data"
    populate(CLUSTER, data)
    with run_prometheus(data) as engine:
        yield engine.url


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_victoria_metrics(tmp_path_factory.mktemp("homes") / "data") as engine:
        import_history(CLUSTER, engine.url)
        yield engine.url


def polled(url: str, database_url: str, *cuts: int, step: int = 6 * HOUR) -> Days:
    scope = replace(SCOPE, has_volumes=True)
    with Database(database_url) as database, Source(url) as source:
        database.ensure_current()
        poller = Poller(
            Ledger(database), source, scope, SITE, RULES, options=Options(step_seconds=step)
        )
        for cut in cuts:
            poller.poll(cut)
        return kept(database)


def kept(database: Database) -> Days:
    with database.begin(reading=True) as connection:
        rows = map(volume_of, connection.execute(select(volumes)))
        return {(row.name, row.day): row for row in rows}


def expected(volume: SimulatedVolume, day: int) -> tuple[int, Quality]:
    """(used bytes, how they are known), as the last sample up to the day's end has it."""
    end = min((day + 1) * DAY_SECONDS, LAST)
    told: list[int] = []
    for emitter in CLUSTER.emitters:
        if emitter.kind != "cadvisor" or volume.medium == "silent":
            continue
        scrapes = [ms / 1000 for ms in emitter.scrapes(FIRST, end + 0.001, 60)]
        if volume.medium == "share" and emitter.node == next(iter(CLUSTER.shapes)):
            told += [volume.used_at(at) for at in scrapes if at >= volume.created]
        if volume.medium == "own":
            for pod, since, until in volume.mounts:
                if pod.node == emitter.node:
                    told += [volume.used_at(at) for at in scrapes if since <= at < until]
    if not told:
        return volume.claim.size, Quality.ALLOCATED
    return max(told), QUALITIES[volume.medium]


def test_the_cluster_has_homes_of_every_kind_and_days_on_which_nothing_mounts_them() -> None:
    assert {one.medium for one in CLUSTER.volumes} == set(QUALITIES)
    assert {one.is_annotated for one in CLUSTER.volumes} == {True, False}
    assert len(CLUSTER.volumes) > 8


@pytest.mark.parametrize("engine", ["prometheus", "victoria"])
def test_every_home_has_every_day_with_its_bytes_its_owner_and_how_they_are_known(
    request: pytest.FixtureRequest, new_ledger: Callable[[], str], engine: str
) -> None:
    found = polled(request.getfixturevalue(engine), new_ledger(), LAST)
    whose = {one.claim.name: one for one in CLUSTER.volumes}
    assert {name for name, _ in found} <= set(whose)
    wrong = {}
    for volume in whose.values():
        # A claim that says nothing is known from its first notebook on.
        begins = min(since for _, since, _ in volume.mounts) + 120
        for day in range(FIRST // DAY_SECONDS, (LAST - 1) // DAY_SECONDS + 1):
            end = min((day + 1) * DAY_SECONDS, LAST)
            row = found.get((volume.claim.name, day))
            if begins < end:
                assert row is not None, (volume.claim.name, day)
                told = (row.used_bytes, row.quality), row.owner, row.allocated_bytes, row.vo
                truth = expected(volume, day), volume.owner.user, volume.claim.size
                if told != (*truth, volume.owner.vo):
                    wrong[volume.claim.name, day] = told, truth
    assert wrong == {}
    assert any(
        row.measured_at and row.measured_at <= row.day * DAY_SECONDS for row in found.values()
    )


def test_any_polls_and_polling_again_say_the_same(
    prometheus: str, new_ledger: Callable[[], str]
) -> None:
    once = polled(prometheus, new_ledger(), LAST)
    url = new_ledger()
    often = polled(prometheus, url, *range(FIRST + 7000, LAST, 7000), LAST, step=HOUR)
    assert told(often) == told(once)
    with Database(url) as database, Source(prometheus) as source:
        scope = replace(SCOPE, has_volumes=True)
        Poller(Ledger(database), source, scope, SITE, RULES).poll(LAST, since=FIRST)
        assert told(kept(database)) == told(once)


@pytest.mark.parametrize("engine", ENGINES)
def test_claims_that_are_deleted_or_lose_their_annotations_were_somebodys_on_every_schedule(
    engine: str, new_ledger: Callable[[], str], tmp_path: Path
) -> None:
    seen = heartbeat(6 * HOUR)
    whose = 'annotation_hub_jupyter_org_username="alice"'
    for name, until, annotated_until in (
        ("stays", 6 * HOUR, 6 * HOUR),
        ("deleted", 2 * HOUR, 2 * HOUR),
        ("bare", 6 * HOUR, 3 * HOUR),
    ):
        claim = f'namespace="{NAMESPACE}",persistentvolumeclaim="{name}"'
        seen[f"{promql.SIZE}{{{claim}}}"] = every(0, until, lambda _: 2.0**30)
        seen[f"{promql.CREATED}{{{claim}}}"] = every(0, until, lambda _: NOON - 60.0)
        seen[f"{promql.ANNOTATIONS}{{{claim},{whose}}}"] = every(0, annotated_until, lambda _: 1)
    with served(tmp_path, seen, engine) as url:
        for step in (6 * HOUR, HOUR):
            found = polled(url, new_ledger(), NOON + 6 * HOUR, step=step)
            told_of = {name: (row.owner, row.created_at) for (name, _), row in found.items()}
            assert told_of == dict.fromkeys(("stays", "deleted", "bare"), ("alice", NOON - 60.0))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_notebook_that_still_waits_at_midnight_has_mounted_nothing_that_day(
    engine: str, new_ledger: Callable[[], str], tmp_path: Path
) -> None:
    midnight, end = 12 * HOUR, 14 * HOUR
    one = Notebook(since=midnight + 600, until=end)
    one.run()
    state, listed = one.state, range(midnight - 600, end, 30)
    one.seen[f'kube_pod_status_phase{{{state},phase="Running"}}'] = [
        (NOON + at, float(at >= one.since)) for at in listed
    ]
    user = 'annotation_hub_jupyter_org_username="a"'
    claim = f'namespace="{NAMESPACE}",persistentvolumeclaim="home"'
    del one.seen[f"kube_pod_annotations{{{state},{user}}}"]
    group = f'kube_pod_annotations{{{state},{user},annotation_egi_eu_primary_group="{GROUP}"}}'
    for series in (group, f'{promql.MOUNTS}{{{state},persistentvolumeclaim="home"}}'):
        one.seen[series] = [(NOON + at, 1.0) for at in listed]
    seen = merged(heartbeat(end), one.seen)
    seen[f"{promql.SIZE}{{{claim}}}"] = every(0, end, lambda _: 2.0**30)
    seen[f"{promql.ANNOTATIONS}{{{claim},{user}}}"] = every(0, end, lambda _: 1)
    with served(tmp_path, seen, engine) as url:
        once = polled(url, new_ledger(), NOON + end, step=24 * HOUR)
        often = polled(url, new_ledger(), *range(NOON + 700, NOON + end, 700), NOON + end)
    assert [row.group for row in once.values()] == ["", GROUP]
    assert told(often) == told(once)


def told(days: Days) -> dict[tuple[str, int], tuple[object, ...]]:
    return {key: (row.digest, row.owner, row.group, row.held) for key, row in days.items()}


def test_nothing_is_measured_by_default_and_records_are_the_same(
    prometheus: str, new_ledger: Callable[[], str]
) -> None:
    found = []
    for has_volumes in (False, True):
        with Database(new_ledger()) as database, Source(prometheus) as source:
            database.ensure_current()
            scope = replace(SCOPE, has_volumes=has_volumes)
            Poller(Ledger(database), source, scope, SITE, RULES).poll(FIRST + 12 * HOUR)
            assert bool(kept(database)) is has_volumes
            found.append({one.uid: (one.disk_gb, one.digest) for one in Records(database).find()})
    assert found[0] == found[1]
    assert len({disk for disk, _ in found[0].values()}) > 1
