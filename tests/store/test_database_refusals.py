"""A database that cannot be had, read or written says what is the matter, and loses nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from accounting.errors import AccountingError, DatabaseError, SettingsError
from accounting.simulation.stores.engines import free_port
from accounting.store.engine import connections
from accounting.store.engine.database import Database
from accounting.store.tables import gaps
from tests.store.test_database import NewUrl, note, noted


@pytest.mark.parametrize("url", ["nonsense", "oracle://x/y", "mysql+nodriver://x/y", ""])
def test_a_url_of_no_database_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="ACCOUNTING_DATABASE_URL") as caught:
        Database(url)
    assert "sqlite:///" in caught.value.cure


def refusal(act: Callable[[], object]) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        act()
    assert len(caught.value.message.splitlines()) == len(caught.value.cure.splitlines()) == 1
    return caught.value


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'no' / 'ledger.db'}") as nowhere:
        error = refusal(nowhere.ensure_current)
        assert "unable to open" in error.message
        assert "exists and is writable" in error.cure
        with pytest.raises(DatabaseError, match="lock") as lock, nowhere.exclusive("poll"):
            pass
        assert "writable" in lock.value.cure


def test_a_file_that_is_something_else_is_said_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and no database at all.\n" * 100)
    before = file.read_bytes()
    with Database(f"sqlite:///{file}") as notes:
        error = refusal(notes.ensure_current)
    assert "not a database" in error.message
    assert "something else" in error.cure
    assert file.read_bytes() == before


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A database's file with one gap noted."""
    file = tmp_path / "ledger.db"
    with Database(f"sqlite:///{file}") as made:
        made.ensure_current()
        note(made, 1.0)
    return file


def kept(file: Path) -> list[float]:
    with Database(f"sqlite:///{file}") as again:
        note(again, 9.0)
        return noted(again)


def test_a_database_that_cannot_be_written_is_said(ledger: Path) -> None:
    with Database(f"sqlite:///file:{ledger}?mode=ro&uri=true") as readable:
        error = refusal(lambda: note(readable, 2.0))
        assert "readonly" in error.message
        assert "writable" in error.cure
    assert kept(ledger) == [1.0, 9.0]


def test_a_full_disk_is_said_and_nothing_is_lost(ledger: Path) -> None:
    with Database(f"sqlite:///{ledger}") as full:
        event.listen(full.engine, "connect", fill)
        rows = [(float(n), None) for n in range(2, 20000)]

        def write() -> None:
            with full.begin() as connection:
                full.write(connection, gaps, ("start_at", "end_at"), rows)

        error = refusal(write)
        assert "full" in error.message
        assert "free some space" in error.cure
        assert noted(full) == [1.0]
    assert kept(ledger) == [1.0, 9.0]


def fill(connection: sqlite3.Connection, _: object) -> None:
    """Allow hardly more pages than there are."""
    connection.execute("PRAGMA max_page_count = 1")


def test_a_locked_database_is_said_and_nothing_is_lost(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0)
    with closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Database(f"sqlite:///{ledger}") as locked:
            error = refusal(lambda: note(locked, 2.0))
            assert noted(locked) == [1.0]
    assert "locked" in error.message
    assert "another program" in error.cure
    assert kept(ledger) == [1.0, 9.0]


def test_a_damaged_file_is_said(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    content = bytearray(ledger.read_bytes())
    content[100:8192] = b"\xff" * (8192 - 100)
    ledger.write_bytes(content)
    with Database(f"sqlite:///{ledger}") as damaged:
        error = refusal(damaged.revision)
    assert "malformed" in error.message
    assert "backup" in error.cure


def test_a_server_that_is_not_there_is_said_without_the_password() -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/accounting"
    with Database(url) as nowhere:
        error = refusal(nowhere.ensure_current)
    assert "PostgreSQL runs" in error.cure
    assert "me:***@127.0.0.1" in error.message
    assert "secret" not in str(error)


def test_a_database_that_the_server_does_not_have_is_said(postgres_server: str) -> None:
    with Database(f"{postgres_server}/nothing_here") as nowhere:
        error = refusal(nowhere.ensure_current)
    assert "does not exist" in error.message
    assert "create the database" in error.cure


def test_tables_that_are_not_there_are_said(new_url: NewUrl) -> None:
    with Database(new_url()) as empty:
        error = refusal(lambda: noted(empty))
    assert "db upgrade" in error.cure


def test_every_error_tells_the_exit_code() -> None:
    assert (AccountingError("a", "b").exit_code, SettingsError("a", "b").exit_code) == (1, 2)
    assert str(AccountingError("what", "cure")) == "what → cure"
