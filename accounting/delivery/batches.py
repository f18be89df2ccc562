"""Messages as rows: bodies, and the notes of which message took a figure."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from accounting.delivery.outlets import queue
from accounting.model.messages import Entry, MessageState, RecordKey
from accounting.store.engine.database import Database
from accounting.store.tables import message_records, messages

NO_ERROR: dict[str, Any] = {"error": "", "error_kind": "", "cure": "", "next_try_at": None}
"""The columns of a message that nothing is wrong with."""


def keys_of(connection: Connection, number: int) -> dict[str, RecordKey]:
    """Digest → key of a message's figures."""
    columns = message_records.c
    query = select(columns.digest, columns.uid, columns.year, columns.month)
    rows = connection.execute(query.where(columns.message_id == number))
    return {digest: RecordKey(*key) for digest, *key in rows}


def store(
    connection: Connection,
    destination: str,
    body: str,
    *,
    count: int,
    now: float,
    place: tuple[int, str] | None = None,
) -> int:
    """A new message; its number. It stands last in the queue if no place is given."""
    origin, part = place or (0, "")
    inserted = connection.execute(
        messages.insert().values(
            empaid=str(uuid.uuid4()),
            destination=destination,
            state=MessageState.PENDING.value,
            body=body,
            records=count,
            built_at=now,
            attempts=0,
            broker_id="",
            origin=origin,
            part=part,
            **NO_ERROR,
        )
    )
    number: int = (inserted.inserted_primary_key or (0,))[0]
    if place is None:
        note(connection, number, origin=number)
    return number


def enqueue(
    connection: Connection, destination: str, number: int, entries: Sequence[Entry]
) -> None:
    """Note which figures a message took, and that they are no longer due there."""
    _note_taken(connection, number, ((entry.key, entry.digest) for entry in entries))
    queue.enqueue(connection, destination, number, entries)


def move(
    connection: Connection, destination: str, old: int, new: int, digests: Mapping[RecordKey, str]
) -> None:
    """Let a part of a message's figures belong to another message; both keep the note of it."""
    _note_taken(connection, new, digests.items())
    queue.move(connection, destination, old, new, digests)


def _note_taken(
    connection: Connection, number: int, figures: Iterable[tuple[RecordKey, str]]
) -> None:
    rows = [(number, *key, digest) for key, digest in figures]
    columns = ("message_id", *RecordKey._fields, "digest")
    Database.write(connection, message_records, columns, rows)


def note(connection: Connection, number: int, **values: Any) -> None:
    """Set columns of a message."""
    connection.execute(update(messages).where(messages.c.id == number).values(**values))
