"""One notebook: its records by month, and the messages that took them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from accounting.lookup.entries import Entry
from accounting.lookup.records import Forbidden, Question, allowed, chosen, entries_of
from accounting.model.time import Month
from accounting.store.due import NOTHING_CLOSED
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.holds import Acknowledgement, Holds
from accounting.store.records import Selection
from accounting.store.tables import message_records, messages, records


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that took a record.

    Attributes:
        month: of which month's record.
        id: its place in the outbox.
        empaid: our id of it.
        broker_id: the broker's id of it; empty until it is delivered.
        built_at, sent_at: Unix seconds.
        is_current: it carried what the record says now.
    """

    month: tuple[int, int]
    id: int
    empaid: str
    destination: str
    state: str
    broker_id: str
    built_at: float
    sent_at: float | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class Notebook:
    """One notebook: its records by month, and the messages that took them, the earliest first.

    ``acknowledgements`` are of its held records, for administrators.
    """

    uid: str
    months: list[Entry]
    messages: list[Taken]
    acknowledgements: Mapping[Month, Acknowledgement]


def notebook(
    database: Database, viewer: Viewer, uid: str, open_from: Month = NOTHING_CLOSED
) -> Notebook | None:
    """All that is recorded of one notebook; None if nothing is.

    Raises:
        Forbidden: it is not the viewer's, or does not exist; only an admin learns which.
    """
    selection = Selection(uid=uid)
    query = chosen(viewer, Question(selection, open_from=open_from)).order_by(
        records.c.year, records.c.month
    )
    took = (
        select(message_records, messages, records.c.digest.label("now"))
        .join(messages, messages.c.id == message_records.c.message_id)
        .join(
            records,
            (records.c.uid == message_records.c.uid)
            & (records.c.year == message_records.c.year)
            & (records.c.month == message_records.c.month),
        )
        .where(message_records.c.uid == uid, *allowed(viewer, selection))
        .order_by(messages.c.origin, messages.c.part)
    )
    with database.asking() as connection:
        months = entries_of(connection, connection.execute(query).all(), open_from)
        taken = [_taken(row) for row in connection.execute(took)]
    if not months:
        if viewer.is_admin:
            return None
        raise Forbidden
    accepted = Holds(database).of(uid) if viewer.is_admin else {}
    return Notebook(uid, months, taken, accepted)


def _taken(row: Any) -> Taken:
    return Taken(
        month=(row.year, row.month),
        id=row.id,
        empaid=row.empaid,
        destination=row.destination,
        state=row.state,
        broker_id=row.broker_id,
        built_at=row.built_at,
        sent_at=row.sent_at,
        is_current=row.digest == row.now,
    )
