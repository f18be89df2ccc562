"""What destinations were told: reads and writes ``queued`` and ``settled``, for all outlets."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, delete, exists, select, true, update
from sqlalchemy.dialects import postgresql, sqlite

from accounting.model.messages import UNDELIVERED, Entry, OutletKind, RecordKey
from accounting.model.time import Month
from accounting.store.due import moved
from accounting.store.engine.database import Database
from accounting.store.tables import joined, messages, outlets, progress, queued, revisions, settled

_AT_ONCE = 500
"""Rows that are fetched together."""


State = tuple[int, Mapping[Month, int]]
"""Of what messages are built from: see ``state``."""


class Told(NamedTuple):
    """What a destination was last told of a figure.

    Attributes:
        digest: of its text; None: tell it again.
        final: it was the month's last word.
        is_waiting: the message that holds it is not delivered yet.
    """

    digest: str | None
    final: bool
    is_waiting: bool


def register(connection: Connection, destination: str, kind: OutletKind, position: int) -> None:
    """Note that a destination takes this kind of figure."""
    _upsert(
        connection,
        outlets,
        {"destination": destination},
        {"kind": kind.value, "position": position},
    )


def is_waiting(table: Any, destination: str) -> Any:
    """The condition of a row whose figure an undelivered message to a destination holds."""
    same = (queued.c[name] == table.c[name] for name in RecordKey._fields)
    return exists().where(
        *same,
        queued.c.destination == destination,
        messages.c.id == queued.c.message_id,
        messages.c.destination == destination,
        messages.c.state.in_(UNDELIVERED),
    )


def in_order(
    connection: Connection,
    table: Any,
    condition: Any,
    destination: str,
    after: RecordKey | None,
    *,
    columns: Sequence[Any] = (),
    few: Callable[[Month, int | None], Collection[str] | None] = lambda *_: None,
) -> Generator[Row[Any]]:
    """A table's rows that may be told, by month and key, behind ``after``.

    Each month by itself: an index has its rows in order. Of several months at once, SQLite sorts
    all that waits, anew for each message.

    Args:
        connection: reads them.
        table: their table.
        condition: of what may be told.
        destination: to there.
        after: only those behind this key.
        columns: which to read; none: all.
        few: gives the uids that alone may be told of a month, by the revision at which all of it
            was told; None: all may.
    """
    c = table.c
    months = {
        Month(year, of): told_at for year, of, told_at in connection.execute(moved(destination))
    }
    for month, told_at in sorted(months.items()):
        if after is not None and month < after.of:
            continue
        if (uids := few(month, told_at)) is not None and not uids:
            continue
        query = select(*(columns or c)).where(c.year == month.year, c.month == month.month)
        query = query.where(condition, true() if uids is None else c.uid.in_(uids))
        if after is not None and month == after.of:
            query = query.where(c.uid > after.uid)
        # Of this statement only: on the connection it would make a cursor of the INSERT to come.
        rows = connection.execute(query.order_by(c.uid).execution_options(yield_per=_AT_ONCE))
        with closing(rows):
            for part in rows.partitions():
                yield from part


def told(connection: Connection, destination: str, month: Month) -> Mapping[str, Told]:
    """What a destination was told of a month, by the figures' keys."""
    query = (
        select(queued.c.uid, queued.c.digest, queued.c.final, messages.c.state)
        .outerjoin(messages, messages.c.id == queued.c.message_id)
        .where(
            queued.c.year == month.year,
            queued.c.month == month.month,
            queued.c.destination == destination,
        )
    )
    return {
        uid: Told(digest, bool(final), state in UNDELIVERED)
        for uid, digest, final, state in connection.execute(query)
    }


def enqueue(
    connection: Connection, destination: str, number: int, entries: Sequence[Entry]
) -> None:
    """Note what a message tells a destination."""
    rows = [
        (*entry.key.of, entry.key.uid, destination, entry.digest, entry.final, number)
        for entry in entries
    ]
    columns = ("year", "month", "uid", "destination", "digest", "final", "message_id")
    Database.write(connection, queued, columns, rows)


def move(
    connection: Connection, destination: str, old: int, new: int, keys: Iterable[RecordKey]
) -> None:
    """Let figures belong to another message."""
    bound = [{f"b_{name}": value for name, value in key._asdict().items()} for key in keys]
    is_key = and_(*(queued.c[name] == bindparam(f"b_{name}") for name in RecordKey._fields))
    mine = (queued.c.destination == destination) & (queued.c.message_id == old)
    connection.execute(update(queued).where(is_key, mine).values(message_id=new), bound)


def forget(connection: Connection, condition: Any) -> int:
    """Let figures be due again, and their months be searched; how many."""
    where = queued.c.destination, queued.c.year, queued.c.month
    months = connection.execute(select(*where).where(condition).distinct()).all()
    done = connection.execute(update(queued).where(condition).values(digest=None, final=False))
    for destination, year, month in months:
        unsettle(connection, destination, Month(year, month))
    return done.rowcount


def revisions_now(connection: Connection) -> Mapping[Month, int]:
    """The revisions of all months, to be read before it is looked for what is left of them.

    On PostgreSQL, a poll may write a record in between: its month is then searched again.
    """
    found = connection.execute(select(revisions.c.year, revisions.c.month, revisions.c.revision))
    return {Month(year, month): revision for year, month, revision in found}


def state(connection: Connection) -> State:
    """Changes if records do, or if users are erased: what was read before must be read again."""
    erased = connection.scalar(select(progress.c.revision)) or 0
    return erased, revisions_now(connection)


def settle(
    connection: Connection, destination: str, month: Month, revised: Mapping[Month, int]
) -> None:
    """Note that a destination was told all of a month, as it was at its revision."""
    if month in revised:
        settle_at(connection, destination, month, revised[month])


def settle_at(connection: Connection, destination: str, month: Month, revision: int) -> None:
    """Note up to which revision a destination was told all of a month."""
    key = {"destination": destination, **month._asdict()}
    _upsert(connection, settled, key, {"revision": revision})


def forget_joined(connection: Connection) -> None:
    """Forget the records that joined a total before all destinations were told all of the month."""
    takes = outlets.c.kind == OutletKind.RECORDS.value
    later = exists().where(
        settled.c.destination == outlets.c.destination,
        settled.c.year == joined.c.year,
        settled.c.month == joined.c.month,
        settled.c.revision > joined.c.revision,
    )
    lacks = exists().where(takes, ~later.correlate(outlets, joined)).correlate(joined)
    connection.execute(delete(joined).where(~lacks))


def unsettle(connection: Connection, destination: str, month: Month) -> None:
    """Let a month be searched again."""
    connection.execute(
        delete(settled).where(
            settled.c.destination == destination,
            settled.c.year == month.year,
            settled.c.month == month.month,
        )
    )


def _upsert(
    connection: Connection, table: Any, key: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    connection.execute(
        insert.values(**key, **values).on_conflict_do_update(
            index_elements=list(key), set_=dict(values)
        )
    )
