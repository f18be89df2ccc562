"""Putting records into messages: bodies, and the notes of which message took a record."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, tuple_, update

from accounting.model.messages import Limit, MessageState, RecordKey
from accounting.model.records import Record
from accounting.records import apel, builder
from accounting.store.rows import record_of
from accounting.store.tables import message_records, messages, records

NO_ERROR: dict[str, Any] = {"error": "", "error_kind": "", "cure": "", "next_try_at": None}
"""The columns of a message that nothing is wrong with."""


def texts(body: str) -> dict[str, str]:
    """Digest → text of the records in a body, in its order."""
    separator = f"{apel.SEPARATOR}\n"
    parts = body.removeprefix(f"{apel.HEADER}\n").split(separator)
    texts = [part + separator for part in parts[:-1]]
    return {apel.text_digest(text): text for text in texts}


def keys_of(connection: Connection, number: int) -> dict[str, RecordKey]:
    """Digest → key of a message's records."""
    columns = message_records.c
    query = select(columns.digest, columns.uid, columns.year, columns.month)
    rows = connection.execute(query.where(columns.message_id == number))
    return {digest: RecordKey(*key) for digest, *key in rows}


def due(
    connection: Connection, condition: Any, after: RecordKey | None, limit: Limit
) -> tuple[list[tuple[Record, str]], int]:
    """Records that fit into one message, with their texts, by month and pod.

    Args:
        connection: reads them.
        condition: which.
        after: only those behind this key.
        limit: how much a message may hold.

    Returns:
        (records and texts, how many were left out because the destination cannot carry them).
    """
    key = tuple_(records.c.year, records.c.month, records.c.uid)
    query = select(records).where(condition).order_by(*key.clauses)
    if after is not None:
        query = query.where(key > (after.year, after.month, after.uid))
    taken: list[tuple[Record, str]] = []
    size, left_out = 0, 0
    # Of this statement only: on the connection it would make a cursor of the INSERT that follows.
    rows = connection.execute(query.execution_options(yield_per=limit.records))
    for row in rows:
        record = record_of(row)
        text = apel.text(record)
        if limit.ascii_only and not text.isascii():
            left_out += 1
            continue
        size += len(text.encode())
        if taken and size > apel.MAX_BODY_BYTES:
            break
        taken.append((record, text))
        if len(taken) == limit.records:
            break
    rows.close()
    return taken, left_out


def store(
    connection: Connection,
    destination: str,
    texts: Sequence[str],
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
            body=apel.message(texts),
            records=len(texts),
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


def enqueue(connection: Connection, number: int, due: Sequence[Record]) -> None:
    """Note which records a message took, and that they are no longer due."""
    connection.execute(
        message_records.insert(),
        [
            {
                "message_id": number,
                "uid": record.uid,
                "year": record.month.year,
                "month": record.month.month,
                "digest": record.digest,
            }
            for record in due
        ],
    )
    connection.execute(
        update(records)
        .where(_has_bound_key())
        .values(
            queued_digest=bindparam("b_digest"),
            queued_final=bindparam("b_final"),
            message_id=number,
        ),
        [
            {
                **_bound_key(RecordKey(record.uid, *record.month)),
                "b_digest": record.digest,
                "b_final": builder.is_final(record),
            }
            for record in due
        ],
    )


def move(connection: Connection, old: int, new: int, digests: Mapping[RecordKey, str]) -> None:
    """Let a part of a message's records belong to another message; both keep the note of it."""
    connection.execute(
        message_records.insert(),
        [{"message_id": new, **key._asdict(), "digest": digest} for key, digest in digests.items()],
    )
    connection.execute(
        update(records).where(_has_bound_key(), records.c.message_id == old).values(message_id=new),
        [_bound_key(key) for key in digests],
    )


def _has_bound_key() -> Any:
    return and_(*(records.c[name] == bindparam(f"b_{name}") for name in RecordKey._fields))


def _bound_key(key: RecordKey) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in key._asdict().items()}


def note(connection: Connection, number: int, **values: Any) -> None:
    """Set columns of a message."""
    connection.execute(update(messages).where(messages.c.id == number).values(**values))
