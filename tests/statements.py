"""What a database is asked, and how SQLite goes about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, event


class Asked(NamedTuple):
    """A statement with its values."""

    statement: str
    values: Any


@contextmanager
def asked_of(database: Engine | Connection) -> Iterator[list[Asked]]:
    """All that a database is asked in the block, as it comes."""
    asked: list[Asked] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        asked.append(Asked(statement, values))

    event.listen(database, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(database, "before_cursor_execute", note)


def plan(connection: Connection, asked: Asked) -> list[str]:
    """SQLite's steps."""
    explained = f"EXPLAIN QUERY PLAN {asked.statement}"
    return [step.detail for step in connection.exec_driver_sql(explained, asked.values)]
