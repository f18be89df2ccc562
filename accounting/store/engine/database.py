"""Migrates, writes and locks the database, and translates its errors."""

import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, Dialect, Engine, Table, inspect, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.sql.compiler import SQLCompiler

from accounting.errors import Busy, DatabaseError, SettingsError
from accounting.store.engine import connections
from accounting.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0023"
"""The migration that this program's tables are at; a test holds it against ``migrations/``."""
_MARK = """CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""
_PARAMETERS = 4000
"""Of one statement; SQLite takes up to 32,766."""
_PACKAGED = Path(__file__).parents[2] / "migrations"
_CHECKED_OUT = Path(__file__).parents[3] / "migrations"

Row = dict[str, Any]


class Database:
    """A connection pool to SQLite or PostgreSQL.

    SQLite runs in WAL mode with ``synchronous=FULL``: what is committed survives a power cut, and
    readers do not wait for the writer. On PostgreSQL every session has ``synchronous_commit`` at
    least ``on``, whatever the server's default is.

    The write-ahead log needs memory that all processes of one machine share, which network file
    systems have not: there, ``?journal=delete`` behind SQLite's address keeps a rollback journal
    instead (https://www.sqlite.org/wal.html). ``?password_file=PATH`` behind PostgreSQL's names the
    file that its password is read from.

    Args:
        url: SQLAlchemy's, such as ``sqlite:///accounting.db`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url, (self.journal, password_file) = connections.own_options(make_url(url))
            if self.url.drivername == "postgresql":
                self.url = self.url.set(drivername="postgresql+psycopg")
            self.engine = connections.engine_of(self.url, self.journal, password_file)
        except (ArgumentError, NoSuchModuleError, ImportError) as exc:
            raise SettingsError(
                "ACCOUNTING_DATABASE_URL is not a database this program can use",
                "for example sqlite:///accounting.db, or postgresql://… with the extra 'postgres'",
            ) from exc
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        # Threads that write take turns here: SQLite would let them look again after up to 100 ms.
        self._turn = threading.Lock()
        self._reading = self.engine.execution_options(reading=True)
        alone = {} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        self._asking = self._reading.execution_options(**alone)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @property
    def name(self) -> str:
        """Where it is, without a password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def begin(self, *, reading: bool = False) -> Iterator[Connection]:
        """One transaction; foreign errors become ``DatabaseError`` here and nowhere else.

        Args:
            reading: nothing will be written: neither wait for a writer nor keep one waiting.
        """
        if reading:
            with self._begun(self._reading) as connection:
                yield connection
        else:
            with self._in_turn(), self._begun(self.engine) as connection:
                yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """SQLite has one writer at a time."""
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=connections.BUSY_SECONDS):
            raise self._error("database is locked")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """For questions whose answers are read whole, rather than streamed.

        SQLite answers all of them from one state. PostgreSQL answers each from what is committed
        then, as it does in our transactions: so there is none, and BEGIN and COMMIT are spared,
        a round trip each. Of a page of the list, for twenty clients, they take a ninth of the time.
        """
        with self._begun(self._asking) as connection:
            yield connection

    @contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as exc:
            raise self._error(str(exc.orig)) from exc
        except SQLAlchemyError as exc:
            raise self._error(str(exc).splitlines()[0]) from exc

    def _error(self, said: str) -> DatabaseError:
        what = f"the database {self.name} refused: {said.splitlines()[0] if said else 'no reason'}"
        lowered = said.lower()
        for sign, cure in _CURES.items():
            if sign in lowered:
                return DatabaseError(what, cure)
        return DatabaseError(what, "see 'notebooks-accounting doctor'; nothing was changed")

    @staticmethod
    def write(
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Insert many rows, or replace what ``columns`` say of those that are there.

        Uses the driver directly: for tens of thousands of rows, the expression layer's
        value-by-value binding takes twice as long as the writing itself.
        """
        if not rows:
            return
        statement = _upsert(connection.dialect, table, tuple(columns))
        if connection.dialect.name == "sqlite":
            _insert(connection, statement, len(columns), rows)
        else:
            named = [dict(zip(columns, row, strict=True)) for row in rows]
            connection.exec_driver_sql(statement, named)

    def update(
        self,
        connection: Connection,
        table: Table,
        columns: Sequence[str],
        rows: Sequence[tuple[Any, ...]],
    ) -> None:
        """Write some columns of many rows that are there; each row ends with its key.

        Half the work of replacing whole rows; indexes on other columns are not touched.
        """
        if not rows:
            return
        sets, where = self._set(columns, ", "), self._is_key(table)
        statement = f"UPDATE {self._quoted(table.name)} SET {sets} WHERE {where}"  # noqa: S608 - ours
        connection.exec_driver_sql(statement, list(rows))

    def delete(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        """Delete rows by their keys, as far as they are there."""
        if keys:
            where = self._is_key(table)
            statement = f"DELETE FROM {self._quoted(table.name)} WHERE {where}"  # noqa: S608 - ours
            connection.exec_driver_sql(statement, list(keys))

    def _quoted(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote(name)

    def _set(self, names: Iterable[str], between: str) -> str:
        mark = "?" if self.is_sqlite else "%s"
        return between.join(f"{self._quoted(name)} = {mark}" for name in names)

    def _is_key(self, table: Table) -> str:
        return self._set((column.name for column in table.primary_key), " AND ")

    def risks(self) -> tuple[str, ...]:
        """The server's settings that could lose commits at a power cut."""
        if self.is_sqlite:
            return ()
        with self.begin(reading=True) as connection:
            return tuple(
                f"{name} is off on {self.name}"
                for name in ("fsync", "full_page_writes")
                if connection.execute(text(f"SHOW {name}")).scalar() == "off"
            )

    def revision(self) -> str | None:
        """The migration the database is at; None if it is empty."""
        with self.begin(reading=True) as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def is_current(self) -> bool:
        """Whether the tables are those that this program expects."""
        return self.revision() == HEAD

    def upgrade(self) -> None:
        """Bring the tables to this program's version; a no-op if they are."""
        # Imported here: Alembic is slow to load, and most commands need no migration.
        from alembic import command  # noqa: PLC0415 - as the comment says
        from alembic.util import CommandError  # noqa: PLC0415 - as the comment says

        with self.begin() as connection:
            self._wait_for_turn(connection)
            config = alembic_config()
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as exc:
                raise DatabaseError(
                    f"the database {self.name} has a version that this program does not know",
                    "it was used by a newer notebooks-accounting: install that version again",
                ) from exc

    def _create(self) -> None:
        """Create all tables in one step, and note the current migration for Alembic.

        Alembic is not loaded: that takes 0.2 s of a site's first poll.
        """
        with self.begin() as connection:
            self._wait_for_turn(connection)
            if inspect(connection).has_table("alembic_version"):
                return
            metadata.create_all(connection)
            connection.execute(text(_MARK))
            connection.execute(text("INSERT INTO alembic_version VALUES (:at)"), {"at": HEAD})

    def _wait_for_turn(self, connection: Connection) -> None:
        """Serialise processes that start on one empty database; SQLite's BEGIN does it already."""
        if self.is_sqlite:
            return
        self.lift_bounds(connection)  # another process may migrate, and this one may, too
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _key("db")})

    def lift_bounds(self, connection: Connection) -> None:
        """Let the rest of a transaction take as long as it needs; SQLite has no bounds."""
        if self.is_sqlite:
            return
        driver: Any = connection.connection.driver_connection
        driver.silent_seconds = None
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))

    def ensure_current(self) -> None:
        """Create the tables in a new database; refuse one that waits for ``db upgrade``."""
        revision = self.revision()
        if revision is None:
            self._create()
        elif not self.is_current():
            raise DatabaseError(
                f"the tables of {self.name} are of version {revision}",
                "run 'notebooks-accounting db upgrade' once, with the service stopped",
            )

    @contextmanager
    def exclusive(self, job: str, *, shared: bool = False) -> Iterator[None]:
        """Do a job that must not run twice at once; ``Busy`` if another process does it.

        The lock vanishes with its process, however that ends.

        Args:
            job: the lock's name.
            shared: any number may hold it so, while nobody holds it alone.
        """
        lock = self._file_lock if self.is_sqlite else self._advisory_lock
        with lock(job, shared=shared) as taken:
            if not taken:
                raise Busy(
                    f"another process is at '{job}' on {self.name}",
                    "let it finish; if none should be running, look for a second service",
                )
            yield

    @contextmanager
    def _file_lock(self, job: str, *, shared: bool) -> Iterator[bool]:
        database = self.url.database
        folder = Path(database).parent if database else Path(tempfile.gettempdir())
        path = folder / f".{Path(database or f'memory-{os.getpid()}').name}.{job}.lock"
        try:
            file = path.open("a")
        except OSError as exc:
            raise DatabaseError(
                f"the lock {path} cannot be written: {exc.strerror}",
                "the database's folder must be writable for this program",
            ) from exc
        with file:
            try:
                fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    @contextmanager
    def _advisory_lock(self, job: str, *, shared: bool) -> Iterator[bool]:
        function = "pg_try_advisory_xact_lock_shared" if shared else "pg_try_advisory_xact_lock"
        with self.begin() as connection:
            query = text(f"SELECT {function}(:key)")
            yield bool(connection.execute(query, {"key": _key(job)}).scalar())


_CURES = {
    "does not answer": "see whether PostgreSQL and its machine hang; nothing was changed",
    "statement timeout": "see what keeps PostgreSQL busy (pg_stat_activity); nothing was changed",
    "lock timeout": "see who holds the lock (pg_locks, pg_stat_activity); nothing was changed",
    "queuepool limit": "too much is asked at once: try again in a moment",
    "timeout expired": "see whether PostgreSQL and its machine hang, and the network to it",
    "disk is full": "free some space and run it again; nothing was lost",
    "no space left": "free some space and run it again; nothing was lost",
    "readonly": "make the database file and its folder writable for this program",
    "read-only": "make the database file and its folder writable for this program",
    "unable to open": "check that the folder in ACCOUNTING_DATABASE_URL exists and is writable",
    "not a database": "ACCOUNTING_DATABASE_URL points to a file that is something else",
    "malformed": "the file is damaged: restore it from a backup",
    "locked": "another program holds the database: stop it, then run this again",
    "does not exist": "create the database, then run 'notebooks-accounting db upgrade'",
    "connection": "check that PostgreSQL runs and ACCOUNTING_DATABASE_URL is right",
    "no such table": "run 'notebooks-accounting db upgrade'",
}


@lru_cache(maxsize=64)  # compiling it takes as long as writing hundreds of rows
def _upsert(dialect: Dialect, table: Table, columns: tuple[str, ...]) -> str:
    statement = (sqlite.insert if dialect.name == "sqlite" else postgresql.insert)(table)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in columns if name not in keys}
    upsert = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    compiled = upsert.compile(dialect=dialect, column_keys=list(columns))
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - an INSERT compiles to SQL
    if compiled.positional and compiled.positiontup != list(columns):
        raise ValueError(f"columns of {table.name} must be in the table's order")
    return str(compiled)


def _insert(
    connection: Connection, statement: str, width: int, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Many rows with each statement: the driver takes and releases Python's lock for each.

    Row by row, threads that write and threads that compute would stop each other at every row.
    """
    together = _PARAMETERS // width
    whole = len(rows) - len(rows) % together
    if whole:
        values = f"({', '.join('?' * width)})"
        many = statement.replace(values, ", ".join([values] * together), 1)
        for start in range(0, whole, together):
            part = tuple(chain.from_iterable(rows[start : start + together]))
            connection.exec_driver_sql(many, part)
    if rest := list(rows[whole:]):
        connection.exec_driver_sql(statement, rest)


def _key(job: str) -> int:
    digest = hashlib.sha256(f"notebooks-accounting {job}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def alembic_config() -> "Config":
    """Alembic's configuration, with the migrations where this installation has them."""
    from alembic.config import Config  # noqa: PLC0415 - see upgrade()

    config = Config()
    folder = _PACKAGED if _PACKAGED.exists() else _CHECKED_OUT
    config.set_main_option("script_location", str(folder))
    return config
