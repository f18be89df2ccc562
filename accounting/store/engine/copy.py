"""Copies the whole ledger into another database; commits only if all counts agree."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from accounting.errors import DatabaseError
from accounting.store.engine.database import Database
from accounting.store.tables import messages, metadata

Watch = Callable[[str, int, int], None]
"""Told a table's name, how many rows of all tables were copied, and how many there are."""

_AT_ONCE = 250  # a message's body may have some hundred kB
_JOBS = ("poll", "push")


def copy(source: Database, target: Database, watch: Watch = lambda *_: None) -> dict[str, int]:
    """Copy every row of every table, in one transaction; the source stays as it is.

    Polls and pushes of both databases are locked out meanwhile.

    Args:
        source: with tables of this program's version.
        target: empty; its tables are made.
        watch: told after each portion.

    Returns:
        How many rows each table has, by its name.

    Raises:
        Busy: a poll or a push is at work on one of them.
        DatabaseError: the target holds something, or does not take it all; it is left as it was.
    """
    if source.url == target.url:
        raise DatabaseError(f"{target.name} would be copied into itself", "give another database")
    source.ensure_current()
    target.ensure_current()
    with ExitStack() as held:
        for database in (source, target):
            for job in _JOBS:
                held.enter_context(database.exclusive(job))
        reading = held.enter_context(source.begin(reading=True))
        if not source.is_sqlite:  # in SQLite every transaction reads one snapshot
            reading.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        writing = held.enter_context(target.begin())
        _refuse_full(target, _counts(writing))
        expected = _counts(reading)
        _copy_rows(reading, writing, sum(expected.values()), watch)
        if not target.is_sqlite:
            _go_on_counting(writing)
        _compare(target, expected, _counts(writing))
    return expected


def _counts(connection: Connection) -> dict[str, int]:
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in metadata.sorted_tables
    }


def _refuse_full(target: Database, counts: dict[str, int]) -> None:
    if any(counts.values()):
        found = ", ".join(name for name, count in counts.items() if count)
        raise DatabaseError(
            f"{target.name} is not empty: it has rows of {found}",
            "give an empty database; what is in this one was not touched",
        )


def _copy_rows(reading: Connection, writing: Connection, total: int, watch: Watch) -> None:
    done = 0
    for table in metadata.sorted_tables:  # in the order of foreign keys
        for rows in _portions(reading, table):
            writing.execute(insert(table), rows)
            done += len(rows)
            watch(table.name, done, total)


def _portions(reading: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = reading.execution_options(yield_per=_AT_ONCE).execute(select(table))
    for portion in found.mappings().partitions():
        yield [dict(row) for row in portion]


def _go_on_counting(writing: Connection) -> None:
    """Set the sequence of message numbers: inserting explicit numbers does not advance it."""
    last = select(func.coalesce(func.max(messages.c.id), 0)).scalar_subquery()
    sequence = func.pg_get_serial_sequence(messages.name, messages.c.id.name)
    writing.execute(select(func.setval(sequence, last + 1, False)))


def _compare(target: Database, expected: dict[str, int], found: dict[str, int]) -> None:
    for name, count in expected.items():
        if found[name] != count:
            raise DatabaseError(
                f"{target.name} took {found[name]:,} of {count:,} rows of {name}",
                "nothing was kept; look for triggers and rules on its tables, and try again",
            )
