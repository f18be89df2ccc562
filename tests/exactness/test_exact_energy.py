"""Energy as Kepler tells it: zones apart, restarts, copies, days; the same on every schedule."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accounting.doctor import energy as doctor
from accounting.doctor.finding import State
from accounting.errors import SourceTooLarge
from accounting.measure.poller import Options, Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.source import discovery, querier
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.samples import Row
from accounting.model.accelerators import Accelerator, Quality, Type, Use, UseKey
from accounting.model.energy import ZONES, EnergyQuality, EnergyRules
from accounting.model.pods import Account, CounterKind, DayReading, Pod
from accounting.model.records import Record
from accounting.model.time import Window
from accounting.records import energy
from accounting.simulation.exporters import kepler
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import NAMESPACE, Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.records import Records
from tests.exactness.matrix import full_matrix
from tests.exactness.notebooks import START, Notebook, every, heartbeat, merged, served
from tests.exactness.polling import HOUR, RULES, SCOPE, SITE

DAY = 86400
MIDNIGHT = START + 12 * HOUR  # START is a noon
Ledgers = Callable[[], str]


def polled(
    url: str,
    ledger: str,
    *cuts: int,
    zones: tuple[str, ...] = ZONES,
    watts: float | None = None,
    since: int | None = None,
) -> tuple[dict[str, Record], dict[str, Account]]:
    """Records and pages by uid, after polls up to each of ``cuts``."""
    site = replace(SITE, energy=EnergyRules(zones, watts))
    scope = replace(SCOPE, energy_zones=zones)
    with Database(ledger) as database, Source(url) as source:
        database.ensure_current()
        pages = Ledger(database)
        for cut in cuts:
            # Each poll as a process of its own would do it: nothing kept from the one before.
            Poller(pages, source, scope, site, RULES, options=Options()).poll(cut, since)
        found = {record.uid: record for record in Records(database).find()}
        return found, pages.accounts(found)


def joules_by_day(account: Account) -> dict[int, float | None]:
    first = START // DAY
    found = energy.by_day(account, (), EnergyRules())
    return {day - first: taken.joules for day, taken in found.items()}


def told(
    notebook: Notebook,
    zone: str,
    joules: Callable[[float], float],
    span: tuple[float, float],
    *,
    state: str = "running",
    job: str = "kepler",
    instance: str = "10.1.0.4:28282",
) -> None:
    labels = (
        f'job="{job}",instance="{instance}",node_name="n",pod_id="{notebook.uid}",pod_name="{notebook.name}",'
        f'pod_namespace="{NAMESPACE}",state="{state}",zone="{zone}"'
    )
    notebook.say(f"kepler_pod_cpu_joules_total{{{labels}}}", every(*span, joules))


def notebook(number: int, until: float = 3 * HOUR, since: float = 0) -> Notebook:
    made = Notebook(number, since, until, f"jupyter-{number}")
    made.run()
    made.cgroup(since, until, lambda at: (at - since) / 2)
    return made


def two_zones() -> tuple[Notebook, dict[int, float]]:
    """All of them overlap: only the package's counts."""
    one = notebook(1)
    for zone, watts in {"package": 10, "psys": 17, "core": 7, "dram": 3}.items():
        told(one, zone, lambda at, w=watts: at * w, (0, 3 * HOUR))  # type: ignore[misc]
    return one, {0: 30.0 * HOUR}


def platform_alone() -> tuple[Notebook, dict[int, float]]:
    one = notebook(2)
    for zone, watts in {"psys": 17, "core": 7, "dram": 3}.items():
        told(one, zone, lambda at, w=watts: at * w, (0, 3 * HOUR))  # type: ignore[misc]
    return one, {0: 51.0 * HOUR}


def terminated_copy() -> tuple[Notebook, dict[int, float]]:
    """The pod's two states are one counter; the last one is told after its end."""
    one = notebook(3, HOUR)
    told(one, "package", lambda at: at * 10, (0, HOUR))
    told(one, "package", lambda _: 36_040.0, (HOUR + 30, HOUR + 30), state="terminated")
    return one, {0: 36_040.0}


def restart() -> tuple[Notebook, dict[int, float]]:
    """Kepler is made anew after an hour, and again within minutes."""
    one = notebook(4)
    told(one, "package", lambda at: at * 10, (0, HOUR))
    told(one, "package", lambda at: (at - HOUR - 60) * 10, (HOUR + 60, HOUR + 600))
    told(one, "package", lambda at: (at - HOUR - 660) * 10, (HOUR + 660, 3 * HOUR))
    return one, {0: 36_000.0 + 5_400 + (2 * HOUR - 660) * 10}


def restart_as_another_pod() -> tuple[Notebook, dict[int, float]]:
    """Kepler's new pod has another address: the counter that begins anew is another series."""
    one = notebook(12)
    told(one, "package", lambda at: at * 10, (0, HOUR))
    anew = (HOUR + 60, 3 * HOUR)
    told(one, "package", lambda at: (at - anew[0]) * 10, anew, instance="10.1.0.9:28282")
    return one, {0: 36_000.0 + (2 * HOUR - 60) * 10}


def restart_in_a_silence() -> tuple[Notebook, dict[int, float]]:
    """It comes back after an hour and has counted more than before when it is looked at."""
    one = notebook(5, 9 * HOUR)
    told(one, "package", lambda at: at, (0, HOUR))
    told(one, "package", lambda at: (at - 2 * HOUR) * 10, (2 * HOUR, 9 * HOUR))
    return one, {0: HOUR + 70.0 * HOUR}


def restart_before_the_end() -> tuple[Notebook, dict[int, float]]:
    """It has counted less than before when the notebook ends, in the middle of an hour."""
    one = notebook(9, 2 * HOUR + 1500)
    told(one, "package", lambda at: at * 10, (0, 2 * HOUR))
    told(one, "package", lambda at: (at - 2 * HOUR - 300) * 10, (2 * HOUR + 300, 2 * HOUR + 1500))
    return one, {0: 20.0 * HOUR + 12_000}


def two_scrapers() -> tuple[Notebook, dict[int, float]]:
    one = notebook(6)
    for job in ("kepler", "kepler-copy"):
        told(one, "package", lambda at: at * 10, (0, 3 * HOUR), job=job)
    return one, {0: 30.0 * HOUR}


def over_midnight() -> tuple[Notebook, dict[int, float]]:
    one = notebook(7, 40 * HOUR, 6 * HOUR)
    told(one, "package", lambda at: (at - 6 * HOUR) * 10, (6 * HOUR, 40 * HOUR))
    return one, {0: 60.0 * HOUR, 1: 240.0 * HOUR, 2: 40.0 * HOUR}


def terminated_copy_for_hours() -> tuple[Notebook, dict[int, float]]:
    """A pod that has ended is told until others have, and over midnight: it takes nothing more."""
    one = notebook(10, 11 * HOUR)
    told(one, "package", lambda at: at * 10, (0, 11 * HOUR))
    told(one, "package", lambda _: 396_040.0, (11 * HOUR + 30, 15 * HOUR), state="terminated")
    return one, {0: 396_040.0}


def dips() -> tuple[Notebook, dict[int, float]]:
    """Low samples at an hour's end, over another one, and between."""
    one = notebook(11, 5 * HOUR)
    low = {2 * HOUR: 0.0, 3 * HOUR: 50.0, 3 * HOUR + 30: 60.0, 4 * HOUR + 900: 0.0}
    told(one, "package", lambda at: float(low.get(int(at), at * 10)), (0, 5 * HOUR))
    return one, {0: 50.0 * HOUR}


def dip_before_the_end() -> tuple[Notebook, dict[int, float]]:
    """Its hour is told of in a window in which nobody tells its limit any more.

    Only of a pod that is limited to a core is it clear that it cannot have taken so much so soon.
    """
    one = notebook(13, 4 * HOUR + 900)
    one.hold("limits", "cpu", 1)
    low = {4 * HOUR + 30: 1000.0, 4 * HOUR + 60: 1020.0}
    told(one, "package", lambda at: float(low.get(int(at), at / 4)), (0, 4 * HOUR + 900))
    return one, {0: HOUR + 225.0}


def dip_after_an_unseen_restart() -> tuple[Notebook, dict[int, float]]:
    """At an hour's end, before the counter has made up for what it had before a silence."""
    one = notebook(14, 4 * HOUR)
    one.hold("limits", "cpu", 1)
    low = {2 * HOUR: 40.0}
    told(one, "package", lambda at: at / 2, (0, 5400))
    told(one, "package", lambda at: low.get(int(at), at / 2 - 1500), (6000, 4 * HOUR))
    return one, {0: 2.0 * HOUR - 1500}


def nothing_told() -> tuple[Notebook, dict[int, float]]:
    return notebook(8), {}


CASES = [
    made()
    for made in (
        two_zones,
        platform_alone,
        terminated_copy,
        restart,
        restart_in_a_silence,
        restart_as_another_pod,
        restart_before_the_end,
        two_scrapers,
        over_midnight,
        terminated_copy_for_hours,
        dips,
        dip_before_the_end,
        dip_after_an_unseen_restart,
        nothing_told,
    )
]
END = START + 41 * HOUR


@pytest.fixture(scope="module", params=["prometheus", "victoria"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    seen = merged(heartbeat(41 * HOUR), *(one.seen for one, _ in CASES))
    with served(tmp_path_factory.mktemp("energy"), seen, request.param) as url:
        yield url


@pytest.mark.parametrize("step", [HOUR // 2 if full_matrix() else HOUR, 9 * HOUR // 2, 41 * HOUR])
def test_joules_of_each_day_are_those_of_one_zone_on_every_schedule(
    store: str, new_ledger: Ledgers, step: int
) -> None:
    ledger = new_ledger()
    records, accounts = polled(store, ledger, *range(START + step, END, step), END)
    for one, days in CASES:
        found = joules_by_day(accounts[one.uid])
        assert {day: value for day, value in found.items() if value} == days, one.name
        record = records[one.uid]
        if days:
            assert record.joules == sum(days.values())
            assert record.energy_quality is EnergyQuality.MEASURED
        else:
            assert (record.joules, record.energy_quality) == (None, EnergyQuality.NONE)
    again = polled(store, ledger, END, since=START)
    assert again[0] == records
    assert {u: joules_by_day(a) for u, a in again[1].items()} == {
        u: joules_by_day(a) for u, a in accounts.items()
    }


def test_other_zones_are_read_of_pods_alone_that_lack_the_preferred_one(
    store: str, new_ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many these are: by name, or of all."""
    for most_named in (1000, 0):
        monkeypatch.setattr(querier, "_MOST_NAMED", most_named)
        _, accounts = polled(store, new_ledger(), START + 20 * HOUR, END)
        for (one, days), zone in zip(CASES[:2], ("package", "psys"), strict=True):
            page = accounts[one.uid]
            told_of = {key.series for key in page.counters if key.kind is CounterKind.ENERGY}
            assert told_of == {zone}
            assert joules_by_day(page) == days


def test_where_pods_have_the_preferred_zone_others_are_asked_for_by_name_alone(
    simulated: str, new_ledger: Ledgers, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    vector = Source.vector

    def noted(source: Source, query: str, at: float) -> list[Row]:
        asked.append(query)
        return vector(source, query, at)

    monkeypatch.setattr(Source, "vector", noted)
    polled(simulated, new_ledger(), int(UNTIL.timestamp()))
    assert any('zone="package"' in query for query in asked)
    assert all("pod_id=~" in query for query in asked if "psys" in query)


def test_pods_are_asked_for_where_a_store_refuses_to_list_so_many(tmp_path: Path) -> None:
    """VictoriaMetrics lists 30,000 series at most, unless it is told otherwise."""
    seen = merged(heartbeat(41 * HOUR), *(one.seen for one, _ in CASES))
    window = Window(START, END)
    with (
        served(tmp_path, seen, "victoria", ["-search.maxSeries=5"]) as url,
        Source(url) as source,
    ):
        with pytest.raises(SourceTooLarge):
            source.label_sets("kube_pod_status_phase", window.start, window.end)
        assert discovery.pod_uids(source, SCOPE, window) == {one.uid for one, _ in CASES}
        assert len(discovery.pod_names(source, SCOPE, window)) == len(CASES)


def test_energy_is_not_read_unless_it_is_wanted(store: str, new_ledger: Ledgers) -> None:
    ledger = new_ledger()
    with Database(ledger) as database, Source(store) as source:
        database.ensure_current()
        Poller(Ledger(database), source, SCOPE, SITE, RULES).poll(END)
        records = list(Records(database).find())
        pages = Ledger(database).accounts(record.uid for record in records)
    assert len(records) == len(CASES)
    assert {record.joules for record in records} == {None}
    assert not any(page.days for page in pages.values())


def test_what_nothing_measures_is_estimated_by_the_sites_watts_and_says_so(
    store: str, new_ledger: Ledgers
) -> None:
    records, _ = polled(store, new_ledger(), END, watts=8.0)
    unmeasured, measured = CASES[-1][0].uid, CASES[0][0].uid
    assert records[unmeasured].joules == 3 * HOUR / 2 * 8
    assert records[unmeasured].energy_quality is EnergyQuality.ESTIMATED
    assert records[measured].energy_quality is EnergyQuality.MEASURED


def test_the_doctor_says_which_zones_kepler_tells_of_and_which_one_is_taken(store: str) -> None:
    wanted, at = replace(SCOPE, energy_zones=ZONES), START + 2 * HOUR

    def found(scope: Scope, now: float = at) -> list[tuple[State, str]]:
        with Source(store) as source:
            return [(one.state, one.what) for one in doctor.kepler(source, scope, now)]

    zones = "tells of the zones core, dram, package, psys"
    assert found(wanted) == [(State.OK, f"{zones}; package is taken, and never a sum")]
    unwanted = replace(wanted, energy_zones=("uncore",))
    assert found(unwanted) == [(State.WARNING, f"{zones}; none of them is wanted")]
    elsewhere = replace(wanted, namespace="elsewhere")
    assert found(elsewhere) == [(State.OK, "speaks, and of no notebook in the last hour")]
    ((state, what),) = found(wanted, START - 9 * HOUR)
    assert (state, "is not in Prometheus" in what) == (State.WARNING, True)
    assert found(SCOPE) == []


SINCE = datetime(2025, 11, 3, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=30)


@pytest.fixture(scope="module")
def world() -> Cluster:
    switches = ("kepler", "container_restarts", "quick_restarts", "dips", "completed", "sidecars")
    features = Features.none().but(**dict.fromkeys(switches, True))
    return Cluster.generate(7, SINCE, UNTIL, pods=30, features=features, interval_seconds=30)


@pytest.fixture(scope="module", params=["prometheus", "victoria"])
def simulated(
    request: pytest.FixtureRequest, world: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("world")
    if request.param == "prometheus":
        populate(world, folder / "data")
        with run_prometheus(folder / "data") as engine:
            yield engine.url
        return
    with run_victoria_metrics(folder / "data") as engine:
        import_history(world, engine.url)
        yield engine.url


def test_a_simulated_clusters_pods_took_what_kepler_counted_between_its_restarts(
    simulated: str, world: Cluster, new_ledger: Ledgers
) -> None:
    until = int(UNTIL.timestamp())
    records, accounts = polled(simulated, new_ledger(), until - 7 * HOUR, until)
    assert len(records) > 20
    # Between the last scrape and a restart or an end, and while Kepler was away, nothing is seen.
    unseen = 4 * world.interval_seconds * kepler.WATTS
    for uid, record in records.items():
        pod = world.pods_by_uid[uid]
        truth = kepler.joules_between(pod, 0, until)
        cores = 2 + sum(box.load.idle_cores + box.load.busy_cores for box in pod.containers)
        assert truth - unseen * cores <= (record.joules or 0.0) <= truth + 0.01, uid
        days = [joules or 0.0 for joules in joules_by_day(accounts[uid]).values()]
        assert sum(days) == pytest.approx(record.joules or 0.0)
    often, since = 5 * HOUR // 2, int(SINCE.timestamp())
    again, told = polled(simulated, new_ledger(), *range(since + HOUR // 3, until, often), until)
    assert again == records
    assert {u: joules_by_day(a) for u, a in told.items()} == {
        u: joules_by_day(a) for u, a in accounts.items()
    }


def test_whole_gpus_are_added_and_shared_ones_make_a_figure_partial() -> None:
    pod = Pod("u", "n", "jupyter-a", START, START + HOUR, START + HOUR)
    day = START // DAY
    account = Account(pod, uses={UseKey(day, ""): Use(10.0, 5000.0)})
    account.days[day] = DayReading(START + HOUR, 1800.0, (("package", 700.0), ("psys", 900.0)))
    gpu = Accelerator("nvidia_com_gpu", Type.GPU, "A", 1.0, 1.0, HOUR, 10, 5000.0, Quality.MEASURED)
    shared = replace(gpu, joules=None, quality=Quality.SHARED)

    def taken(held: Accelerator, *zones: str) -> tuple[float | None, EnergyQuality]:
        return energy.by_day(account, (held,), EnergyRules(zones))[day][:2]

    assert taken(gpu, "package") == (5700.0, EnergyQuality.MEASURED)
    assert taken(shared, "package") == (700.0, EnergyQuality.PARTLY)
    # The platform's own zone may hold the device already.
    assert taken(gpu, "psys") == (900.0, EnergyQuality.MEASURED)
