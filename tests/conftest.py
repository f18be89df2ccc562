"""Shared by all tests: one long history of a cluster, engines over it, a PostgreSQL server."""

import fcntl
import gc
import logging
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from ssl import SSLContext
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import Dialect, create_engine, text

from accounting.simulation.stores import engines
from accounting.simulation.stores.engines import Engine, run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import import_history, populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from tests.postgres import run_postgres

pytest_plugins = ["tests.browser"]

# A shell's background job ignores Ctrl-C, and so would all programs that the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The examples are the same in every run, however slow or busy the machine is.
settings.register_profile(
    "exact",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("exact")

# The files that take longest begin first: so all workers end at about the same time.
LONGEST = (
    "cluster/test_whole_way.py",
    "cluster/test_built_images.py",
    "test_bench.py",
    "hub/test_pages.py",
    "exactness/test_exact_polls.py",
    "monitor/test_monitored_hub.py",
    "hub/test_way.py",
    "hub/test_lab_extension.py",
    "delivery/test_crash.py",
    "exactness/test_exact_worlds.py",
    "monitoring/test_accounting_alerts.py",
    "exactness/test_exact_dips.py",
    "exactness/test_exact_engines.py",
    "migration/test_move.py",
    "exactness/test_exact_variations.py",
    "exactness/test_exact_silence.py",
    "security/test_fuzz.py",
    "hub/test_login.py",
    "exactness/test_exact_energy.py",
    "exactness/test_exact_conflicts.py",
    "backup/test_backup_in_a_cluster.py",
    "web/test_web_exploring.py",
    "web/test_deliveries.py",
    "hub/test_jupyterhub5.py",
    "images/test_images.py",
    "exactness/test_exact_accelerators.py",
    "hub/test_sharing.py",
    "exactness/test_exact_emitters.py",
    "chart/test_accounting_chart.py",
    "chart/test_docs_charts.py",
    "test_docs_readme.py",
    "cli/test_cli_delivery.py",
    "api/test_runs.py",
    "backup/test_volume.py",
    "security/test_stopping.py",
    "security/test_supply.py",
    "security/test_origins.py",
)

START = datetime(2025, 10, 31, tzinfo=UTC)
END = datetime(2025, 11, 2, tzinfo=UTC)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes many objects that stay: looking for garbage meanwhile takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """What was loaded stays until the end: no collection looks at it again, 0.3 s each time.

    Of what tests make little is garbage in rings: to look for it after every 700 objects takes a
    fortieth of the processor time. After each module it is looked for anyway (`nothing_left_open`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def ports_of_ones_own() -> Iterator[None]:
    """No worker chooses a port that a program of another is about to listen on."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "_PORTS", engines._PORTS[number::count])
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities_read_once() -> Iterator[None]:
    """httpx reads the certificates of all authorities for each client and each ``httpx.get``.

    That takes 17 ms of processor time: a wait that asks every 50 ms keeps a quarter of a core busy.
    """
    made = httpx.create_ssl_context()

    def context(verify: Any = True, cert: Any = None, *, trust_env: bool = True) -> SSLContext:
        if verify is True and cert is None:
            return made
        return httpx.create_ssl_context(verify, cert, trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("httpx._transports.default.create_ssl_context", context)
        yield


class Statements(dict[Any, Any]):
    """SQL that was compiled once, for all databases of a kind: each engine has its own dialect."""

    def __setitem__(self, key: tuple[Dialect, Any], compiled: Any) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)

    def get(self, key: tuple[Dialect, Any], default: Any = None) -> Any:
        return super().get((key[0].name, *key[1:]), default)


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Tests make hundreds of databases: each would compile the same few dozen statements anew.

    That is a fifth of the processor time of a test that polls a few windows.
    """
    options = {"compiled_cache": Statements()}
    with pytest.MonkeyPatch.context() as patch:
        made = partial(create_engine, execution_options=options)
        patch.setattr("accounting.store.engine.connections.create_engine", made)
        yield


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What a module's tests left to the collector is told there, and not by whoever runs next.

    Logging, too, is as it was: a threshold that one module sets would hide what another looks for.
    """
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    gc.collect()
    gc.freeze()  # what is still there was loaded, or is the session's: see pytest_collection_finish


@dataclass(frozen=True)
class History:
    """A cluster's past, and a Prometheus over it; ``blocks`` is its data, not to be written to."""

    cluster: Cluster = field(repr=False)
    url: str
    blocks: Path
    start: int
    end: int


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run see."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def history(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """48 hours across a month's end with more than 1,000 pods and everything that can happen."""
    cluster = Cluster.generate(
        20251101, START, END, pods=1100, features=Features.all(), interval_seconds=30
    )
    blocks = shared / "history"
    with once(blocks):
        if not blocks.exists():
            populate(cluster, shared / "history-unfinished")
            (shared / "history-unfinished").rename(blocks)
    folder = linked(blocks, tmp_path_factory.mktemp("engine") / "data")
    with ExitStack() as stack:
        with frugal():
            engine = stack.enter_context(run_prometheus(folder))
        yield History(cluster, engine.url, blocks, int(START.timestamp()), int(END.timestamp()))


@contextmanager
def frugal() -> Iterator[None]:
    """Programs in Go that are started meanwhile use one core, and seldom look for garbage.

    A small Prometheus or VictoriaMetrics then takes a fifth less processor time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOMAXPROCS", "1")
        patch.setenv("GOGC", "400")
        yield


@contextmanager
def once(path: Path) -> Iterator[None]:
    """One worker at a time."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def linked(blocks: Path, folder: Path) -> Path:
    """The same blocks for another engine: they are never changed, only replaced."""
    shutil.copytree(blocks, folder, copy_function=os.link)
    return folder


@pytest.fixture(scope="session")
def victoria(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A VictoriaMetrics with the same history."""
    folder = tmp_path_factory.mktemp("victoria") / "data"
    with ExitStack() as stack:
        with frugal():
            engine = stack.enter_context(run_victoria_metrics(folder))
        import_history(history.cluster, engine.url)
        yield engine


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server of its own, without a database's name."""
    with run_postgres() as url:
        yield url


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes new, empty databases: their URLs."""
    names = (f"test_{os.getpid()}_{number}" for number in count())
    with ExitStack() as made:
        admin = create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
        made.callback(admin.dispose)

        def sql(statement: str) -> None:
            with admin.connect() as connection:
                connection.execute(text(statement))

        def new() -> str:
            name = next(names)
            sql(f"CREATE DATABASE {name}")
            made.callback(sql, f"DROP DATABASE {name} WITH (FORCE)")
            return f"{postgres_server}/{name}"

        yield new


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty ledger, on either kind of database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'accounting.db'}"
    else:
        url = request.getfixturevalue("postgres")()
    with Database(url) as database:
        database.ensure_current()
        yield database
