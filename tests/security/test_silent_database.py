"""A PostgreSQL that is up but says nothing: errors in time with the cure, and health goes on."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial

import psutil
import pytest
from sqlalchemy import make_url, text

from accounting.errors import DatabaseError
from accounting.model.jobs import Ending
from accounting.store import totals
from accounting.store.engine import patience
from accounting.store.engine.database import Database
from accounting.store.tables import revisions
from tests.api.serving import Serve
from tests.postgres import run_postgres
from tests.security.proxy import proxied


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of its own: it will be stopped in its tracks."""
    with run_postgres() as url:
        yield f"{url}/postgres"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience.Connection, "silent_seconds", 2.0)
    monkeypatch.setattr(patience, "STATEMENT_SECONDS", 1)
    monkeypatch.setattr(patience, "LOCK_SECONDS", 1)
    monkeypatch.setitem(patience.OPTIONS, "connect_timeout", 2)


@contextmanager
def silent(url: str) -> Iterator[None]:
    """All of the server's processes stand still; the kernel still takes connections."""
    port = url.rpartition(":")[2].partition("/")[0]
    found = [
        process
        for process in psutil.process_iter(["name", "cmdline", "ppid"])
        if "postgres" in (process.info["name"] or "") and port in (process.info["cmdline"] or [])
    ]
    # What it has just begun for a connection is called as it is, at first.
    begun = {process.pid for process in found}
    (first,) = (process for process in found if process.info["ppid"] not in begun)
    family = [first, *first.children(recursive=True)]
    for one in family:
        one.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for one in reversed(family):
            one.send_signal(signal.SIGCONT)


def told(ask: Callable[[], object], within: float) -> DatabaseError:
    begun = time.monotonic()
    with pytest.raises(DatabaseError) as caught:
        ask()
    assert time.monotonic() - begun < within
    return caught.value


@pytest.mark.usefixtures("quick")
def test_a_server_that_falls_silent_is_an_error_in_time_and_then_used_again(server: str) -> None:
    with Database(server) as database:
        assert database.revision() is None
        with silent(server):
            for _ in range(2):  # by a connection that was open, and by a new one
                found = told(database.revision, 20)
                assert "PostgreSQL and its machine hang" in found.cure
            with Database(server) as other:
                told(other.revision, 20)
        assert database.revision() is None


@pytest.mark.usefixtures("quick")
def test_statements_and_locks_end_in_time_with_their_cure(server: str) -> None:
    with Database(server) as database:

        def slow() -> None:
            with database.begin() as connection:
                connection.execute(text("SELECT pg_sleep(60)"))

        assert "pg_stat_activity" in told(slow, 20).cure
        with database.begin() as holder:
            holder.execute(text("CREATE TABLE IF NOT EXISTS held (x int)"))
        with database.begin() as holder:
            holder.execute(text("LOCK TABLE held"))

            def waiting() -> None:
                with database.begin() as connection:
                    connection.execute(text("SET LOCAL statement_timeout = 0"))
                    connection.execute(text("SELECT * FROM held"))

            assert "pg_locks" in told(waiting, 20).cure


@pytest.mark.usefixtures("quick")
def test_totals_of_large_months_are_added_up_anew_however_long_it_takes() -> None:
    with run_postgres() as url, Database(f"{url}/postgres") as database:
        database.ensure_current()
        with database.begin() as connection:
            connection.execute(revisions.insert().values(year=2026, month=11, revision=1))
            slow = "BEGIN PERFORM pg_sleep(3); RETURN NULL; END"
            connection.exec_driver_sql(
                f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS '{slow}'"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER slow BEFORE UPDATE ON records EXECUTE FUNCTION slow()"
            )
        told: list[tuple[int, int]] = []
        totals.rebuild(database, lambda *done: told.append(done))
        assert told == [(1, 1)]


@pytest.mark.usefixtures("quick")
def test_a_network_that_swallows_everything_is_an_error_in_time_wherever_it_begins(
    server: str,
) -> None:
    """At the connection, in a query and at its commit: the proxy takes bytes and forwards none."""
    with proxied(make_url(server).port or 0) as proxy:
        url = make_url(server).set(port=proxy.port).render_as_string()
        with proxy.silent(), Database(url) as database:
            assert "PostgreSQL and its machine hang" in told(database.revision, 20).cure
        with Database(url) as database:
            assert database.revision() is None

            def cut_off(query: str) -> None:
                with database.begin() as connection:
                    connection.execute(text("CREATE TABLE IF NOT EXISTS cut (x int)"))
                    if not query:  # at the commit
                        proxy.forwards.clear()
                        return
                    threading.Timer(0.2, proxy.forwards.clear).start()
                    connection.execute(text(query))

            for query in ("SELECT pg_sleep(0.8)", ""):
                assert "PostgreSQL and its machine hang" in told(partial(cut_off, query), 20).cure
                proxy.forwards.set()
                assert database.revision() is None  # by a new connection


@pytest.mark.usefixtures("quick")
def test_the_loops_go_on_when_the_database_is_back(serve: Serve, server: str) -> None:
    with proxied(make_url(server).port or 0) as proxy:
        url = make_url(server).set(port=proxy.port).render_as_string()
        running = serve(DATABASE_URL=url)
        with proxy.silent():
            for job in (running.service.jobs.poll, running.service.jobs.push):
                begun = time.monotonic()
                failed = job()
                assert time.monotonic() - begun < 20
                assert "PostgreSQL and its machine hang" in str(failed.error)
            assert running.get("/healthz", None).status_code == 200
        assert running.service.jobs.push().ending in {Ending.DONE, Ending.INCOMPLETE}
        assert "PostgreSQL" not in str(running.service.jobs.poll().error)
        assert running.get("/readyz").status_code == 200


def test_health_answers_while_the_database_is_silent_and_everybody_waits(
    serve: Serve, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience.Connection, "silent_seconds", 100.0)
    running = serve(DATABASE_URL=server)
    assert running.get("/readyz").status_code == 200
    with ThreadPoolExecutor(45) as people:
        with silent(server):
            asked = [people.submit(running.get, "/api/v1/records") for _ in range(45)]
            # Of one viewer, so many requests are under way at once; the others are refused.
            refused, waiting = wait(asked, return_when=FIRST_COMPLETED)
            assert {one.result().status_code for one in refused} == {429}
            assert running.get("/healthz", None).status_code == 200
            ready = running.get("/readyz", None)
            assert (ready.status_code, ready.json()["status"]) == (503, 503)
            assert "the database does not answer" in ready.text  # it did not wait for its error
            assert any(not one.done() for one in waiting)
        assert {one.result().status_code for one in asked} <= {200, 429, 503}


@pytest.mark.usefixtures("quick")
def test_who_asks_a_silent_database_is_told_and_then_answered(serve: Serve, server: str) -> None:
    running = serve(DATABASE_URL=server)
    with silent(server):
        assert running.get("/api/v1/records").status_code == 503
    assert running.get("/api/v1/records").status_code == 200
