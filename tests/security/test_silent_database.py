"""A PostgreSQL that is up but says nothing: errors in time with the cure, and health goes on."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
from sqlalchemy import text

from accounting.errors import DatabaseError
from accounting.store.engine import patience
from accounting.store.engine.database import Database
from tests.api.serving import Serve
from tests.postgres import run_postgres


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
    (first,) = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if "postgres" in (process.info["name"] or "") and port in (process.info["cmdline"] or [])
    ]
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
def test_health_answers_while_the_database_is_silent_and_everybody_waits(
    serve: Serve, server: str
) -> None:
    running = serve(DATABASE_URL=server)
    assert running.get("/readyz").status_code == 200
    with silent(server), ThreadPoolExecutor(45) as people:
        asked = [people.submit(running.get, "/api/v1/records") for _ in range(45)]
        time.sleep(0.5)
        begun = time.monotonic()
        assert running.get("/healthz", None).status_code == 200
        assert time.monotonic() - begun < 2
        ready = running.get("/readyz", None)
        assert (ready.status_code, ready.json()["status"]) == (503, 503)
        assert time.monotonic() - begun < 8
        # Of one viewer, so many requests are under way at once; the others are refused.
        assert {one.result().status_code for one in asked} == {429, 503}
    assert running.get("/api/v1/records").status_code == 200
