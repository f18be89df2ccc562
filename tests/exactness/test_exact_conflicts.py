"""Two pollers at once, and a source that refuses large questions."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from accounting.errors import Busy, SourceRefused, SourceTooLarge
from accounting.measure.poller import Options, Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.model.pods import ERASED
from accounting.simulation.stores.engines import run_prometheus
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.store.ledger import Ledger
from accounting.store.tables import pods
from tests.conftest import History, linked
from tests.exactness import polling
from tests.exactness.polling import HOUR, RULES, SCOPE, SITE, Written, poll, poller, written

Ledgers = Callable[[], str]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_two_pollers_one_works_and_the_other_is_told(
    history: History, polled: Written, new_ledger: Ledgers, postgres: Ledgers, kind: str
) -> None:
    ledger = new_ledger() if kind == "sqlite" else postgres()
    arguments = [polling.__file__, history.url, ledger, str(HOUR), str(history.end)]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.stdout.readline()  # it has covered a window
        with pytest.raises(Busy, match="another process is at 'poll'"):
            poll(history.url, ledger, history.end)
        other.communicate()
    assert other.returncode == 0
    assert poll(history.url, ledger) == polled


def test_a_poller_whose_watermark_was_moved_writes_nothing(
    history: History, new_ledger: Ledgers
) -> None:
    with Database(new_ledger()) as database, Source(history.url) as source:
        database.ensure_current()
        late = poller(database, source)
        first, second = history.start + HOUR, history.start + 2 * HOUR
        poller(database, source).poll(first)
        late.poll(second)
        held = written(database)
        with pytest.raises(Busy, match="the ledger has changed during this poll"):
            _poll_behind(late, database, second + HOUR, history.start + 9 * HOUR)
        assert written(database) == held


def _poll_behind(late: Poller, database: Database, until: int, moved_to: int) -> None:
    """Poll while somebody without the lock moves the watermark."""
    commit = late.ledger.commit

    def interfered(step: object) -> None:
        with database.begin() as connection:
            connection.exec_driver_sql(f"UPDATE progress SET watermark = {moved_to}")  # noqa: S608 - the test's own words
        commit(step)  # type: ignore[arg-type]

    late.ledger.commit = interfered  # type: ignore[method-assign]
    late.poll(until)


def test_a_user_who_is_erased_during_a_poll_does_not_come_back(
    history: History, new_ledger: Ledgers
) -> None:
    with Database(new_ledger()) as database, Source(history.url) as source:
        database.ensure_current()
        running = poller(database, source, step=HOUR)
        running.poll(history.start + 2 * HOUR)
        whose = select(pods.c.uid, pods.c.user).where(~pods.c.ended, pods.c.user != "")
        with database.begin() as connection:
            user = connection.execute(whose).first().user  # type: ignore[union-attr]
            theirs = set(connection.scalars(select(pods.c.uid).where(pods.c.user == user)))

        def erase(_: Report) -> None:
            erase_user(database, user)

        with pytest.raises(Busy, match="a user was erased"):
            running.poll(history.start + 6 * HOUR, notice=erase)
        assert Ledger(database).progress().watermark == history.start + 3 * HOUR  # type: ignore[union-attr]
        running.poll(history.start + 6 * HOUR)
        with database.begin() as connection:
            named = select(pods.c.uid).where(pods.c.user != ERASED, pods.c.uid.in_(theirs))
            assert connection.scalars(named).all() == []


@pytest.fixture(scope="module")
def hours(history: History) -> tuple[int, int]:
    return history.start + 20 * HOUR, history.start + 30 * HOUR


def test_windows_are_halved_when_the_source_refuses_their_size(
    history: History, new_ledger: Ledgers, tmp_path: Path, hours: tuple[int, int]
) -> None:
    since, until = hours
    whole = poll(history.url, new_ledger(), until, since=since)
    limit = ["--query.max-samples=8000"]
    ends: list[int] = []
    with (
        run_prometheus(linked(history.blocks, tmp_path / "data"), options=limit) as engine,
        Database(new_ledger()) as database,
        Source(engine.url) as source,
    ):
        database.ensure_current()
        said = poller(database, source).poll(until, since, lambda r: ends.append(r.end))
        assert written(database) == whole
    assert said.windows == len(ends) > 2
    assert ends[0] - since < 6 * HOUR


def test_a_source_that_refuses_the_shortest_window_is_an_error_and_nothing_is_written(
    history: History, new_ledger: Ledgers, tmp_path: Path, hours: tuple[int, int]
) -> None:
    since, until = hours
    limit = ["--query.max-samples=100"]
    with (
        run_prometheus(linked(history.blocks, tmp_path / "data"), options=limit) as engine,
        Database(new_ledger()) as database,
        Source(engine.url) as source,
    ):
        database.ensure_current()
        with pytest.raises(SourceTooLarge, match="too many samples") as caught:
            poller(database, source).poll(until, since)
        assert "--query.max-samples" in caught.value.cure
        assert Ledger(database).progress() is None
        assert written(database) == Written({}, [])


def test_a_namespace_that_the_source_does_not_know_is_an_error(
    history: History, new_ledger: Ledgers
) -> None:
    with pytest.raises(SourceRefused, match="knows nothing of the namespace 'elsewhere'") as caught:
        poll(history.url, new_ledger(), history.end, scope=Scope("elsewhere", "jupyter-.*"))
    assert "ACCOUNTING_PROMETHEUS__NAMESPACE" in caught.value.cure


def test_steps_shorter_than_a_scrape_interval_change_nothing(
    history: History, new_ledger: Ledgers
) -> None:
    since = history.start + 17 * HOUR
    until = since + 600
    ways = []
    for step in (6 * HOUR, 20):
        with Database(new_ledger()) as database, Source(history.url) as source:
            database.ensure_current()
            options = Options(step_seconds=step)
            Poller(Ledger(database), source, SCOPE, SITE, RULES, options=options).poll(until, since)
            ways.append(written(database))
    assert ways[0] == ways[1]
