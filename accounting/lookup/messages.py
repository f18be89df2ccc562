"""The outbox's messages: where each is, and what it carries. For administrators only."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from accounting.database import Database
from accounting.lookup import cursor
from accounting.tables import messages

_SORT = "-id"
_COLUMNS = [column for column in messages.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as a list shows it; times are Unix seconds.

    Attributes:
        id: its place in the outbox.
        empaid: our id of it, which the receiver logs.
        records: how many it carries.
        error: why the last attempt failed.
        broker_id: the broker's id of it; empty until it is delivered.
    """

    id: int
    empaid: str
    destination: str
    state: str
    records: int
    built_at: float
    attempts: int
    tried_at: float | None
    error: str
    sent_at: float | None
    broker_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some messages, the latest first; ``next`` is the cursor of those before them."""

    messages: list[Shown]
    next: str


def page(database: Database, *, state: str = "", limit: int = 100, after: str = "") -> Page:
    """Messages without their bodies.

    Raises:
        BadCursor: the cursor is not of this question.
    """
    query = select(*_COLUMNS).order_by(messages.c.id.desc()).limit(limit + 1)
    if state:
        query = query.where(messages.c.state == state)
    if after:
        (last,) = cursor.decode(after, _SORT, (int,))
        query = query.where(messages.c.id < last)
    found = _read(database, query)
    more = cursor.encode(_SORT, [found[limit - 1].id]) if len(found) > limit else ""
    return Page(found[:limit], more)


def one(database: Database, number: int) -> Shown | None:
    """One message."""
    return next(iter(_read(database, select(*_COLUMNS).where(messages.c.id == number))), None)


def body(database: Database, number: int) -> str | None:
    """The exact text that a message carries; None if there is no such message.

    Empty when it named a user who was forgotten.
    """
    query = select(messages.c.body).where(messages.c.id == number)
    with database.begin(reading=True) as connection:
        found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def _read(database: Database, query: Select[Any]) -> list[Shown]:
    with database.begin(reading=True) as connection:
        rows = connection.execute(query).mappings().all()
    return [Shown(**{name: row[name] for name in Shown.__slots__}) for row in rows]
