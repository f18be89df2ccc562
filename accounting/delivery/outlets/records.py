"""APEL's cloud records: one of each pod and month, cumulative."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any

from sqlalchemy import Connection, case, exists, func, literal_column, select, union

from accounting.delivery.outlets import queue
from accounting.model.messages import Entry, Limit, OutletKind, RecordKey
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.formats import apel
from accounting.store.due import is_due, moved, unsaid
from accounting.store.rows import column_of
from accounting.store.tables import queued, records

_FEW = 2000
"""Records that are looked up one by one, rather than found as their whole month is read."""


class CloudRecords:
    """Individual records; the database finds what is due."""

    kind = OutletKind.RECORDS

    def due(
        self,
        connection: Connection,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        open_from: Month,
    ) -> tuple[list[Entry], int]:
        """See ``Outlet``; those whose last message is not delivered yet wait for that."""
        condition = is_due(open_from, destination) & ~queue.is_waiting(records, destination)
        return taken(connection, condition, destination, after, limit)

    def due_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        return self.unsaid_counts(connection, destination, open_from)[0]

    def differing_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        return self.unsaid_counts(connection, destination, open_from)[1]

    def unsaid_counts(
        self, connection: Connection, destination: str, open_from: Month
    ) -> tuple[int, int]:
        """See ``Outlet``."""
        due, differing = 0, 0
        for year, month, told_at in connection.execute(moved(destination)).all():
            of = Month(year, month)
            new, corrected = _unsaid_of(connection, destination, of, told_at)
            due += new if of < open_from else new + corrected
            differing += corrected if of < open_from else 0
        return due, differing

    def settle(self, connection: Connection, destination: str) -> None:
        """See ``Outlet``."""
        revised = queue.revisions_now(connection)
        for year, month, told_at in connection.execute(moved(destination)).all():
            left = unsaid(destination, Month(year, month), told_at)
            if all(connection.execute(some.limit(1)).first() is None for some in left):
                queue.settle(connection, destination, Month(year, month), revised)
        queue.forget_joined(connection)

    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``."""
        return apel.message(texts)

    def texts(self, body: str) -> list[str]:
        """See ``Outlet``."""
        return apel.texts(body)

    def digest(self, text: str) -> str:
        """See ``Outlet``."""
        return apel.text_digest(text)


def _unsaid_of(
    connection: Connection, destination: str, month: Month, told_at: int | None
) -> tuple[int, int]:
    """How many of a month's records a destination was not told, and how many corrections.

    Args:
        connection: reads them.
        destination: to there.
        month: the records'.
        told_at: see ``unsaid``.
    """
    c, said = records.c, queued.c
    there = (said.year == month.year, said.month == month.month, said.destination == destination)
    if told_at is None and not connection.scalar(select(exists().where(*there))):
        # Nothing of it was queued yet: where all are due, they need not be looked at.
        all_of_it = select(func.count()).where(c.year == month.year, c.month == month.month)
        # SQLite would rather read the whole month than the index of the few that are held.
        hint = {"text": "INDEXED BY ix_records_held", "dialect_name": "sqlite"}
        held = all_of_it.where(c.held != literal_column("''")).with_hint(records, **hint)
        whole, kept_back = (connection.execute(one).scalar_one() for one in (all_of_it, held))
        return whole - kept_back, 0
    uid = union(*unsaid(destination, month, told_at)).subquery().c.uid
    is_final = exists().where(*there, said.uid == uid, said.final)
    found = select(func.count(), func.count(case((is_final, 1)))).select_from(uid.table)
    count, corrected = connection.execute(found).one()
    return count - corrected, corrected


def taken(
    connection: Connection, condition: Any, destination: str, after: RecordKey | None, limit: Limit
) -> tuple[list[Entry], int]:
    """Records that fit into one message, by month and pod; and how many cannot be carried."""
    found: list[Entry] = []
    size, left_out = 0, 0
    few = partial(_few, connection, destination)
    read = queue.in_order(
        connection, records, condition, destination, after, columns=_READ, few=few
    )
    # Closed at once: what is written next must find no cursor that is open.
    with closing(read) as rows:
        for entry in map(_entry, rows):
            if limit.ascii_only and not entry.text.isascii():
                left_out += 1
                continue
            size += len(entry.text.encode())
            if found and size > apel.MAX_BODY_BYTES:
                break
            found.append(entry)
            if len(found) == limit.records:
                break
    return found, left_out


def _few(
    connection: Connection, destination: str, month: Month, told_at: int | None
) -> set[str] | None:
    """The uids of a month's records that were not told; None: perhaps all, or too many.

    With them, a push of little need not read the whole month.
    """
    if told_at is None:
        return None
    uids: set[str] = set()
    for query in unsaid(destination, month, told_at):
        uids.update(connection.scalars(query.limit(_FEW)))
    return uids if len(uids) < _FEW else None


_NOTED = [records.c[name] for name in (*RecordKey._fields, "digest", "flags")]
_READ = [*_NOTED, *map(column_of, apel.PATHS.values())]


def _entry(row: Sequence[Any]) -> Entry:
    """A record as a message carries it, from ``_READ``: no ``Record`` is made on the way."""
    uid, year, month, digest, flags, *said = row
    key = RecordKey(uid, year, month)
    values = apel.written(said, ascii_user=apel.ASCII_USER in flags)
    is_final = builder.is_last_word(values["Status"], values["RecordCreateTime"], key.of)
    return Entry(key, apel.text_of(values), digest, is_final)
