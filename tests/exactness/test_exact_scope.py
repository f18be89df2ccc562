"""Which pods count: names, a required label, and users that are left out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from accounting.config import Settings
from accounting.measure.poller import Options, Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.records.identity import VoRules
from accounting.simulation.judges.truth import Owner, SimulatedPod
from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from hub.monitor.settings import MonitorSettings
from tests.exactness.expected import expected, unix
from tests.exactness.polling import RULES, SCOPE, SITE, Written, written

START = datetime(2025, 11, 5, 8, tzinfo=UTC)
END = datetime(2025, 11, 5, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    cluster: Cluster = field(repr=False)
    url: str


def _of_the_monitor(cluster: Cluster) -> Callable[[SimulatedPod], SimulatedPod]:
    """Makes one user's notebooks those of the hourly monitor's user."""
    user = min(pod.user for pod in cluster.counted_pods)
    owner = Owner(MonitorSettings().user, None, None, None)
    return lambda pod: replace(pod, owner=owner) if pod.user == user else pod


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("scope") / "data"
    cluster = Cluster.generate(
        6, START, END, pods=50, features=Features.none().but(other_pods=True), interval_seconds=30
    )
    cluster = replace(cluster, pods=tuple(map(_of_the_monitor(cluster), cluster.pods)))
    populate(cluster, folder)
    with run_prometheus(folder) as engine:
        yield Place(cluster, engine.url)


@pytest.fixture
def measured(place: Place, new_ledger: Callable[[], str]) -> Callable[[Scope, VoRules], Written]:
    def poll(scope: Scope, rules: VoRules) -> Written:
        with Database(new_ledger()) as database, Source(place.url) as source:
            database.ensure_current()
            options = Options(step_seconds=1800)
            Poller(Ledger(database), source, scope, SITE, rules, options=options).poll(unix(END))
            return written(database)

    return poll


Measured = Callable[[Scope, VoRules], Written]


def test_only_pods_of_the_namespace_with_the_right_name_are_recorded(
    place: Place, measured: Measured
) -> None:
    assert measured(SCOPE, RULES).pods.keys() == expected(place.cluster).keys()
    chosen = measured(replace(SCOPE, pod="jupyter-[0-7].*"), RULES)
    names = {place.cluster.pods_by_uid[uid].name for uid in expected(place.cluster)}
    assert {row["machine"] for row in chosen.pods.values()} == {
        name for name in names if name[len("jupyter-")] in "01234567"
    }
    assert measured(replace(SCOPE, pod="jupyter"), RULES).pods == {}, "names fit as a whole"


def test_only_pods_with_the_required_label_are_recorded(place: Place, measured: Measured) -> None:
    right = replace(SCOPE, pod=".*", label=("component", "singleuser-server"))
    assert measured(right, RULES).pods.keys() == expected(place.cluster).keys()
    wrong = replace(SCOPE, label=("component", "dask"))
    assert measured(wrong, RULES).pods == {}


def test_excluded_users_are_not_recorded(measured: Measured) -> None:
    """The setting that the monitor's documentation names, with the monitor's own default."""
    users = {uid: row["user"] for uid, row in measured(SCOPE, RULES).pods.items()}
    monitor = MonitorSettings().user
    settings = Settings.model_validate({"vo": {"excluded_users": monitor}})
    excluded = settings.vo_rules().excluded_users
    left = measured(SCOPE, replace(RULES, excluded_users=excluded))
    assert left.pods.keys() == {uid for uid, user in users.items() if user != monitor}
    assert 0 < len(left.pods) < len(users)
    assert left.records.keys() < measured(SCOPE, RULES).records.keys()
