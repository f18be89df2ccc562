"""The outbox: messages with their exact bodies, first in, first out (D3).

A message is stored together with the note that its records are no longer due, in one transaction;
only then is it sent. Whatever happens between, it is sent from here, with the same bytes.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, select, tuple_, update

from accounting import apel
from accounting.database import Database
from accounting.model import Record
from accounting.register import is_due, record_of
from accounting.tables import message_records, messages, records


class State(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    SENT = "sent"


class Key(NamedTuple):
    """A record's key, in the order in which messages take records."""

    uid: str
    year: int
    month: int


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a message may hold.

    Attributes:
        records: at most that many; its size is bounded as well.
        ascii_only: leave out records with other text, which the destination cannot carry.
    """

    records: int
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it waits; ``body`` never changes.

    Attributes:
        id: its place in the queue.
        empaid: our own id of it, which the receiver logs.
        attempts: how often sending it was tried.
    """

    id: int
    empaid: str
    destination: str
    body: str
    records: int
    attempts: int


class Outbox:
    """Reads and writes messages."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def due_count(self) -> int:
        """How many records must go out and are in no message yet."""
        with self.database.begin(reading=True) as connection:
            return connection.execute(select(func.count()).where(is_due())).scalar_one()

    def fill(
        self, destination: str, after: Key | None, limit: Limit, now: float
    ) -> tuple[Key | None, int, int]:
        """Put due records into one new message.

        Records are taken in the order of their pods and months, so that a pod's months follow each
        other.

        Args:
            destination: where it goes.
            after: where the message before ended; None to begin.
            limit: how much a message may hold.
            now: Unix time.

        Returns:
            (last record looked at, records taken, records left out); nothing more is due when
            none was taken.
        """
        with self.database.begin() as connection:
            due, left_out = self._due(connection, after, limit)
            if due:
                self._store(connection, destination, due, now)
        last = due[-1][0] if due else None
        return (Key(last.uid, *last.month) if last else None), len(due), left_out

    def _due(
        self, connection: Connection, after: Key | None, limit: Limit
    ) -> tuple[list[tuple[Record, str]], int]:
        key = tuple_(records.c.uid, records.c.year, records.c.month)
        query = select(records).where(is_due()).order_by(*key.clauses)
        if after is not None:
            query = query.where(key > after)
        taken: list[tuple[Record, str]] = []
        size, left_out = 0, 0
        rows = connection.execution_options(yield_per=limit.records).execute(query)
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

    def _store(
        self,
        connection: Connection,
        destination: str,
        due: Sequence[tuple[Record, str]],
        now: float,
    ) -> None:
        inserted = connection.execute(
            messages.insert().values(
                empaid=str(uuid.uuid4()),
                destination=destination,
                state=State.PENDING.value,
                body=apel.message(text for _, text in due),
                records=len(due),
                built_at=now,
                attempts=0,
                error="",
                broker_id="",
            )
        )
        (number,) = inserted.inserted_primary_key or (0,)
        keys = [
            {"uid": r.uid, "year": r.month.year, "month": r.month.month, "digest": r.digest}
            for r, _ in due
        ]
        connection.execute(
            message_records.insert(), [{**key, "message_id": number} for key in keys]
        )
        connection.execute(
            update(records)
            .where(
                records.c.uid == bindparam("b_uid"),
                records.c.year == bindparam("b_year"),
                records.c.month == bindparam("b_month"),
            )
            .values(queued_digest=bindparam("b_digest"), message_id=number),
            [{f"b_{name}": value for name, value in key.items()} for key in keys],
        )

    def next(self, destination: str) -> Message | None:
        """The oldest message that waits for this destination."""
        query = (
            select(messages)
            .where(messages.c.destination == destination, messages.c.state == State.PENDING.value)
            .order_by(messages.c.id)
            .limit(1)
        )
        with self.database.begin(reading=True) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return Message(row.id, row.empaid, row.destination, row.body, row.records, row.attempts)

    def sent(self, message: Message, broker_id: str, now: float) -> None:
        """Note that the destination has taken the message over."""
        self._note(message, now, state=State.SENT.value, sent_at=now, broker_id=broker_id, error="")

    def failed(self, message: Message, error: str, now: float) -> None:
        """Note an attempt that failed; the message stays first in the queue."""
        self._note(message, now, error=error)

    def _note(self, message: Message, now: float, **values: Any) -> None:
        with self.database.begin() as connection:
            connection.execute(
                update(messages)
                .where(messages.c.id == message.id)
                .values(attempts=message.attempts + 1, tried_at=now, **values)
            )

    def counts(self, destination: str | None = None) -> Mapping[State, int]:
        """How many messages there are, by state."""
        query = select(messages.c.state, func.count()).group_by(messages.c.state)
        if destination is not None:
            query = query.where(messages.c.destination == destination)
        with self.database.begin(reading=True) as connection:
            found = {State(state): count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def oldest_pending_at(self) -> float | None:
        """When the oldest waiting message was built, Unix seconds."""
        waiting = messages.c.state == State.PENDING.value
        return self._time(select(func.min(messages.c.built_at)).where(waiting))

    def last_sent_at(self) -> float | None:
        """When a message was last delivered, Unix seconds."""
        return self._time(select(func.max(messages.c.sent_at)))

    def _time(self, query: Select[Any]) -> float | None:
        with self.database.begin(reading=True) as connection:
            at: float | None = connection.execute(query).scalar_one()
        return at

    def taken_by(self, uid: str) -> list[dict[str, Any]]:
        """The messages that took a pod's records, by month, the earliest first (D6)."""
        query = (
            select(
                message_records.c.year,
                message_records.c.month,
                messages.c.empaid,
                messages.c.destination,
                messages.c.state,
                messages.c.broker_id,
                messages.c.sent_at,
            )
            .join(messages, messages.c.id == message_records.c.message_id)
            .where(message_records.c.uid == uid)
            .order_by(messages.c.id)
        )
        with self.database.begin(reading=True) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def messages(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest messages without their bodies, the latest first."""
        columns = [column for column in messages.c if column.name != "body"]
        query = select(*columns).order_by(messages.c.id.desc()).limit(limit)
        with self.database.begin(reading=True) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
