"""The database: its tables, its locks, and how its connections are set up."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.pq import TransactionStatus
from sqlalchemy import event, inspect, select, text
from structlog.testing import capture_logs

from accounting.errors import Busy, DatabaseError, SettingsError
from accounting.store.engine import connections, patience
from accounting.store.engine.database import HEAD, Database, alembic_config
from accounting.store.tables import gaps, metadata
from tests.private import secret

NewUrl = Callable[[], str]


@pytest.fixture
def database(new_url: NewUrl) -> Iterator[Database]:
    with Database(new_url()) as made:
        made.ensure_current()
        yield made


def note(database: Database, start_at: float) -> None:
    with database.begin() as connection:
        database.write(connection, gaps, ("start_at", "end_at"), [(start_at, None)])


def noted(database: Database) -> list[float]:
    with database.begin(reading=True) as connection:
        return list(connection.execute(select(gaps.c.start_at).order_by(gaps.c.start_at)).scalars())


@pytest.fixture
def migrated(new_url: NewUrl) -> Iterator[Database]:
    """A database that came through all migrations."""
    with Database(new_url()) as made:
        made.upgrade()
        yield made


def test_the_migrations_lead_to_the_models_without_a_difference(migrated: Database) -> None:
    with migrated.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def schema(database: Database) -> dict[str, Any]:
    """All that an engine tells of its tables: columns, keys, indexes and their conditions."""
    with database.begin(reading=True) as connection:
        found = inspect(connection)
        indexes: dict[str, Any] = {}
        if not database.is_sqlite:
            rows = connection.execute(text("SELECT indexname, indexdef FROM pg_indexes"))
            indexes = {row[0]: row[1] for row in rows if row[0].startswith(("ix_", "pk_"))}
        else:
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql <> ''"))
            indexes = {
                name: (
                    sql.replace('"user"', "user")
                    if name.startswith("ix_")
                    else sql.rstrip().endswith("WITHOUT ROWID")
                )
                for name, sql in rows
            }
        return indexes | {
            f"table {table}": (
                [{**column, "type": str(column["type"])} for column in found.get_columns(table)],
                found.get_pk_constraint(table),
                found.get_foreign_keys(table),
                sorted(found.get_unique_constraints(table), key=repr),
            )
            for table in found.get_table_names()
        }


def test_a_new_database_is_made_as_the_migrations_would_make_it(
    database: Database, migrated: Database
) -> None:
    made, came = schema(database), schema(migrated)
    assert made.keys() == came.keys()
    for name, what in came.items():
        assert made[name] == what, name


def test_the_newest_migration_is_the_one_that_the_program_expects(database: Database) -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [HEAD]
    assert database.revision() == HEAD
    assert database.is_current()


def test_every_migration_can_be_undone(database: Database) -> None:
    from alembic import command  # noqa: PLC0415 - large, as in the program

    with database.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with database.begin(reading=True) as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    database.upgrade()
    assert database.is_current()


def test_upgrading_again_changes_nothing(database: Database) -> None:
    note(database, 5.0)
    database.upgrade()
    database.ensure_current()
    assert noted(database) == [5.0]


def test_an_empty_database_has_no_revision(new_url: NewUrl) -> None:
    with Database(new_url()) as empty:
        assert empty.revision() is None
        assert not empty.is_current()


def test_two_processes_may_start_on_one_new_database(new_url: NewUrl) -> None:
    url, start = new_url(), Barrier(2)

    def begin() -> bool:
        with Database(url) as one:
            start.wait(30)
            one.ensure_current()
            return one.is_current()

    with ThreadPoolExecutor(2) as both:
        assert [one.result() for one in (both.submit(begin), both.submit(begin))] == [True, True]


def test_many_may_connect_to_one_new_database(new_url: NewUrl) -> None:
    def connect(url: str, start: Barrier) -> str | None:
        with Database(url) as one:
            start.wait(30)
            return one.revision()

    with ThreadPoolExecutor(8) as all_at_once:
        for _ in range(20):
            url, start = new_url(), Barrier(8)
            asked = [all_at_once.submit(connect, url, start) for _ in range(8)]
            assert [one.result() for one in asked] == [None] * 8


def test_a_database_of_a_newer_program_is_refused(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="of version 9999") as unclear:
        database.ensure_current()
    assert "db upgrade" in unclear.value.cure
    with pytest.raises(DatabaseError, match="version that this program does not know") as newer:
        database.upgrade()
    assert "newer notebooks-accounting" in newer.value.cure


def test_writing_replaces_what_is_there(database: Database) -> None:
    with database.begin() as connection:
        columns = ("start_at", "end_at")
        database.write(connection, gaps, columns, [(1.0, None), (2.0, 3.0)])
        database.write(connection, gaps, columns, [(1.0, 9.0)])
        database.write(connection, gaps, columns, [])
        rows = connection.execute(select(gaps).order_by(gaps.c.start_at)).all()
    assert rows == [(1.0, 9.0), (2.0, 3.0)]


@pytest.mark.parametrize("count", [1999, 2000, 2001, 4500])
def test_many_rows_are_written_whatever_their_number(database: Database, count: int) -> None:
    """SQLite is given up to 2,000 rows of two columns at once."""
    for end in (1.0, 2.0):
        with database.begin() as connection:
            rows = [(float(start), end + start) for start in range(count)]
            database.write(connection, gaps, ("start_at", "end_at"), rows)
    with database.begin(reading=True) as connection:
        found = connection.execute(select(gaps).order_by(gaps.c.start_at)).all()
    assert [tuple(row) for row in found] == rows


def test_a_job_is_done_by_one_at_a_time(new_url: NewUrl) -> None:
    url = new_url()
    with Database(url) as one, Database(url) as other:
        with one.exclusive("poll"):
            with pytest.raises(Busy, match="another process is at 'poll'"), other.exclusive("poll"):
                pass
            with other.exclusive("push"):
                pass
        with other.exclusive("poll"):
            pass


def test_a_failed_job_lets_go(new_url: NewUrl) -> None:
    url = new_url()
    with Database(url) as one, Database(url) as other:
        with pytest.raises(ZeroDivisionError), one.exclusive("poll"):
            raise ZeroDivisionError
        with other.exclusive("poll"):
            pass


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.begin() as connection:
            database.write(connection, gaps, ("start_at", "end_at"), [(1.0, None)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert noted(database) == []


def test_readers_do_not_wait_for_a_writer(new_url: NewUrl) -> None:
    url = new_url()
    with Database(url) as writer, Database(url) as reader:
        writer.ensure_current()
        note(writer, 1.0)
        with writer.begin() as connection:
            writer.write(connection, gaps, ("start_at", "end_at"), [(2.0, None)])
            assert noted(reader) == [1.0]
        assert noted(reader) == [1.0, 2.0]


def test_threads_that_write_to_sqlite_take_turns_without_looking_again_and_again(
    tmp_path: Path,
) -> None:
    with Database(f"sqlite:///{tmp_path / 'accounting.db'}") as database:
        database.ensure_current()

        @event.listens_for(database.engine, "checkout")
        def do_not_wait(connection: Any, *_more: Any) -> None:
            connection.execute("PRAGMA busy_timeout=0")

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(partial(note, database), range(40)))
        assert noted(database) == list(range(40))


def test_a_thread_that_waits_in_vain_to_write_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        Database(f"sqlite:///{tmp_path / 'accounting.db'}") as database,
        ThreadPoolExecutor(1) as other,
    ):
        database.ensure_current()
        monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
        with database.begin():
            waiting = other.submit(note, database, 1.0)
            with pytest.raises(DatabaseError, match="locked"):
                waiting.result()
        note(database, 2.0)
        assert noted(database) == [2.0]


def test_sqlite_writes_through_to_the_disk_and_lets_readers_read(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'a.db'}") as database, database.begin() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


@pytest.mark.parametrize(
    ("of_the_server", "of_the_session"),
    [("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")],
)
def test_postgresql_waits_for_the_disk_whatever_the_server_s_default(
    postgres: NewUrl, of_the_server: str, of_the_session: str
) -> None:
    url = postgres()
    with Database(url) as admin, admin.begin() as connection:
        connection.execute(
            text(f"ALTER DATABASE {admin.url.database} SET synchronous_commit TO {of_the_server}")
        )
    with Database(url) as database, database.begin() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == of_the_session


def test_postgresql_compiles_no_query_to_machine_code(postgres: NewUrl) -> None:
    """Its estimate of such queries' cost is far too high, so that it would compile most of them."""
    url = postgres()
    with Database(url) as admin, admin.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {admin.url.database} SET jit TO on"))
    with Database(url) as database, database.begin() as connection:
        assert connection.execute(text("SHOW jit")).scalar() == "off"


def test_postgresql_reckons_with_disks_that_do_not_turn(postgres: NewUrl) -> None:
    url = postgres()
    with Database(url) as admin, admin.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {admin.url.database} SET random_page_cost TO 4"))
    with Database(url) as database, database.begin() as connection:
        assert connection.execute(text("SHOW random_page_cost")).scalar() == "1.1"


def test_a_server_that_may_lose_commits_is_told_of(postgres: NewUrl) -> None:
    with Database(postgres()) as database:  # the tests' server runs with fsync=off
        (risk,) = database.risks()
    assert risk.startswith("fsync is off on postgresql")
    with Database("sqlite://") as database:
        assert database.risks() == ()


def test_sqlite_keeps_a_rollback_journal_where_it_is_asked_for(tmp_path: Path) -> None:
    """Also in a file that was made with a write-ahead log."""
    url = f"sqlite:///{tmp_path / 'accounting.db'}"
    for address, mode in ((url, "wal"), (f"{url}?journal=delete", "delete"), (url, "wal")):
        with Database(address) as database, database.begin() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode
            assert "journal" not in database.name
    with pytest.raises(SettingsError):
        Database(f"{url}?journal=off")


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o660, 0o660)])
def test_a_database_that_everybody_can_read_is_closed_with_all_its_files(
    before: int, after: int, tmp_path: Path
) -> None:
    """It names people. What its group may do was chosen: Kubernetes' fsGroup does so."""
    file = tmp_path / "accounting.db"
    with Database(f"sqlite:///{file}") as first, first.begin() as connection:
        connection.execute(text("CREATE TABLE a (b INTEGER)"))
        files = list(tmp_path.glob("accounting.db*"))
        assert len(files) == 3, "its write-ahead log is there"
        for one in files:
            one.chmod(before)
        with Database(f"sqlite:///{file}") as second, second.begin(reading=True):
            modes = {one.name: one.stat().st_mode & 0o777 for one in files}
    assert set(modes.values()) == {after}, modes


def test_a_database_of_somebody_else_that_everybody_can_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "accounting.db"
    file.touch()
    file.chmod(0o644)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)  # tests may run as root, who is refused nothing
    with capture_logs() as logs, Database(f"sqlite:///{file}") as database, database.begin():
        pass
    (told,) = (entry for entry in logs if entry["log_level"] == "warning")
    assert told["cure"] == f"as the file's owner: chmod o-rw {file}"
    assert told["problem"] == "Operation not permitted"


def test_postgresqls_password_is_read_from_its_file_at_each_connection(
    tmp_path: Path, postgres: NewUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's server trusts everybody: so what is handed over is looked at."""
    file = tmp_path / "password"
    handed: list[str] = []
    connect = patience.Connection.connect

    def look(*args: Any, **options: Any) -> Any:
        handed.append(options.get("password", ""))
        return connect(*args, **options)

    monkeypatch.setattr(patience.Connection, "connect", look)
    with Database(f"{postgres()}?password_file={file}") as database:
        with pytest.raises(SettingsError, match="password cannot be read"), database.begin():
            pass
        for password in ("first", "second"):
            secret(file, f"{password}\n")
            with database.begin():
                pass
            database.engine.dispose()
        file.chmod(0o644)
        with pytest.raises(SettingsError, match="read by everybody"), database.begin():
            pass
        assert "password" not in database.name
    assert handed == ["first", "second"]


def test_questions_to_postgresql_are_no_transaction_and_what_follows_is_one(
    postgres: NewUrl,
) -> None:
    url = postgres()
    with Database(url) as database, Database(url) as other:
        database.ensure_current()
        with database.asking() as connection:
            driver: Any = connection.connection.driver_connection
            assert connection.execute(select(gaps.c.start_at)).all() == []
            note(other, 1.0)
            assert connection.execute(select(gaps.c.start_at)).all() == [(1.0,)]
            assert driver.info.transaction_status == TransactionStatus.IDLE
        with database.begin() as connection:
            assert connection.connection.driver_connection is driver
            connection.execute(gaps.delete())
            assert noted(other) == [1.0]
        assert noted(other) == []


def test_questions_to_sqlite_wait_for_no_writer_and_are_answered_from_one_state(
    tmp_path: Path,
) -> None:
    with Database(f"sqlite:///{tmp_path / 'ledger.db'}") as database:
        database.ensure_current()
        with database.asking() as connection:
            with database.begin() as writer:
                writer.execute(gaps.insert().values(start_at=1.0))
                assert connection.execute(select(gaps.c.start_at)).all() == []
            assert connection.execute(select(gaps.c.start_at)).all() == []
        assert noted(database) == [1.0]


def test_a_connection_is_tried_before_a_question_unless_it_has_just_answered(
    postgres: NewUrl,
) -> None:
    url = postgres()
    with Database(url) as database, Database(url) as other:

        def ended() -> Any:
            with database.begin() as connection:
                driver: Any = connection.connection.driver_connection
            with other.begin() as connection:
                end = text("SELECT pg_terminate_backend(:number, 10000)")
                assert connection.execute(end, {"number": driver.info.backend_pid}).scalar()
            return driver

        ended().heard_at -= 2.0  # monotonic seconds
        assert database.revision() is None, "by a new connection"
        ended()
        with pytest.raises(DatabaseError):
            database.revision()
        assert database.revision() is None


@pytest.mark.parametrize("program", ["accounting.server", "accounting.lookup.streams"])
def test_threads_that_read_do_not_wait_for_each_other_to_count_memory(program: str) -> None:
    # SQLite says that none is used where it does not count.
    asked = f"""
import {program}
import ctypes, sqlite3
kept = sqlite3.connect(":memory:")
print(ctypes.CDLL("libsqlite3.so.0").sqlite3_memory_used())
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    assert done.stdout == "0\n"
