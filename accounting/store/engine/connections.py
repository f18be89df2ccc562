"""Makes connections to the database, and sets on each what the program relies on."""

import os
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError

from accounting.errors import SettingsError
from accounting.store.engine.rights import keep_private
from notebooks_settings.exposure import is_open

BUSY_SECONDS = 30
_KEPT_OPEN = 20
"""Connections that are kept for the next question, rather than made anew for it."""
_POOL_SECONDS = 10
"""How long a question waits for a connection, where all are taken."""
_JOURNALS = ("wal", "delete")


def own_options(url: URL) -> tuple[URL, tuple[str, str]]:
    """SQLAlchemy's own address; then SQLite's journal and the file of PostgreSQL's password.

    Raises:
        ArgumentError: there is no such journal.
    """
    journal = str(url.query.get("journal", "wal")).lower()
    if journal not in _JOURNALS:
        raise ArgumentError(f"no journal {journal}")
    options = (journal, str(url.query.get("password_file", "")))
    return url.difference_update_query(["journal", "password_file"]), options


def engine_of(url: URL, journal: str, password_file: str) -> Engine:
    """A pool of connections, each prepared as it is made.

    Args:
        url: without options of our own.
        journal: SQLite's, ``wal`` or ``delete``.
        password_file: PostgreSQL's password is read from it; empty: the address has it.
    """
    if url.get_backend_name() != "sqlite":
        from accounting.store.engine import patience  # noqa: PLC0415 - with the extra only

        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=_KEPT_OPEN,
            pool_timeout=_POOL_SECONDS,
        )

        if password_file:  # before `connect`, after which no other is asked
            event.listen(engine, "do_connect", partial(_read_password, password_file))

        @event.listens_for(engine, "do_connect")
        def connect(_dialect: Any, _record: Any, args: Any, options: Any) -> Any:
            return patience.Connection.connect(*args, **{**patience.OPTIONS, **options})

        # The pool asks the dialect, which has no setting for how lately the server was heard.
        engine.dialect.do_ping = partial(patience.ping, engine.dialect.do_ping)  # type: ignore[method-assign] # of this engine alone
        event.listen(engine, "connect", _prepare_postgres)
        event.listen(engine, "checkin", _bound_again)
        return engine
    waits = {"timeout": BUSY_SECONDS}
    engine = create_engine(url, connect_args=waits, pool_size=_KEPT_OPEN)
    engine.dialect.statement_compiler = _SqliteCompiler
    event.listen(engine, "do_connect", keep_private)
    event.listen(engine, "connect", partial(_prepare_sqlite, journal))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _SqliteCompiler(sqlite.dialect.statement_compiler):  # type: ignore[misc,name-defined] # a value to mypy
    """Writes hints such as INDEXED BY, which SQLAlchemy has for other databases only."""

    def get_from_hint_text(self, table: Any, text: str) -> str:  # noqa: ARG002 - as overridden
        """What stands behind a table's name."""
        return text


def _prepare_sqlite(journal: str, connection: Any, _record: Any) -> None:
    # The driver would leave DDL outside of transactions: we issue BEGIN ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_journal(cursor, journal)
    for pragma in (
        "synchronous=FULL",
        "wal_autocheckpoint=16000",  # 64 MB: a large window is not copied twice at once
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _switch_journal(cursor: Any, journal: str) -> None:
    """SQLite's busy timeout does not cover this switch: retry until another process has made it."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode={journal}")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _read_password(
    file: str, _dialect: Any, _record: Any, _given: Any, parameters: dict[str, Any]
) -> None:
    """Read at each connection: a password that was changed needs no restart."""
    try:
        with Path(file).open(encoding="utf-8") as secret:
            is_exposed = is_open(os.fstat(secret.fileno()))
            parameters["password"] = secret.read().rstrip("\r\n")
    except OSError as exc:
        raise SettingsError(
            f"the database's password cannot be read from {file}: {exc.strerror}",
            "mount the Secret with the password, or take password_file out of the address",
        ) from exc
    if is_exposed:
        raise SettingsError(
            f"the database's password in {file} can be read by everybody on this machine",
            f"chmod 400 {file}; if somebody may have read it, change the password",
        )


def _prepare_postgres(connection: Any, _record: Any) -> None:
    from accounting.store.engine.patience import bounds  # noqa: PLC0415 - with the extra only

    # With less, a power cut could lose an acknowledged commit, and with it the note that a message
    # was built or sent.
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] in {"off", "local"}:
            cursor.execute("SET synchronous_commit TO on")
        # To compile a query to machine code takes longer than to run it: with it, the queries of
        # a page of sent records take 2.2 s instead of 0.2 s (300,000 records).
        cursor.execute("SET jit TO off")
        # Its default is that of disks that turn: with it, tables are read whole, or sorted, where
        # an index has the few rows in order. Usage by day and VO takes 92 ms instead of 64 ms, and
        # to count what is due 370 ms instead of 50 ms (1,000,000 records).
        cursor.execute("SET random_page_cost TO 1.1")
        for bound in bounds():
            cursor.execute(bound)
    connection.commit()


def _bound_again(connection: Any, _record: Any) -> None:
    if connection is not None:
        vars(connection).pop("silent_seconds", None)


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    # Writers take the write lock at BEGIN: upgrading a read lock later can fail half way.
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
