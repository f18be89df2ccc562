"""The outbox: messages with their exact bodies, first in, first out (D3).

A message is stored together with the note that its records are no longer due, in one transaction;
only then is it sent. Whatever happens between, it is sent from here, with the same bytes::

                    ┌────── failed ──────┐
                    ▼                    │
    fill ──►  pending ── claimed ──►  sending ──► sent
                 ▲                       │
        retried  │                       ├──► split    (its halves are pending in its place)
                 └─────  parked  ◄───────┘
                            └──► withdrawn             (its records are due again)

A crash leaves ``sending``: nobody knows whether the broker has it, so it is sent again, as soon as
the attempt that was cut short cannot be under way any more.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, exists, func, select, tuple_, update

from accounting import apel
from accounting.database import Database
from accounting.errors import AccountingError
from accounting.model import Month, Record
from accounting.register import NOTHING_CLOSED, is_due, record_of
from accounting.tables import delivered, message_records, messages, records, stops


class State(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    PARKED = "parked"
    SPLIT = "split"
    WITHDRAWN = "withdrawn"


WAITING = (State.PENDING, State.SENDING)
"""What the next push sends, if nothing stands before it."""
UNDELIVERED = (*WAITING, State.PARKED)
"""What later messages with the same pod-months must not overtake."""


class Kind(StrEnum):
    """What kind of failure it was; it decides what becomes of the message."""

    UNAVAILABLE = "unavailable"
    UNEXPECTED = "unexpected"
    REFUSED = "refused"
    REJECTED = "rejected"
    CERTIFICATE = "certificate"
    SIGNING = "signing"
    UNSENDABLE = "unsendable"
    TOO_LARGE = "too large"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message did not go; both texts are for the operator, without names or secrets."""

    kind: Kind
    reason: str
    cure: str


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
        id: its number.
        empaid: our own id of it, which the receiver logs.
        attempts: how often sending it was tried.
        next_try_at: not before that; None: at once.
        state: ``sending`` if an attempt was cut short by a crash.
        tried_at: when the last attempt began.
        origin, part: its place in the queue: the whole's number, and which part of it this is.
    """

    id: int
    empaid: str
    destination: str
    body: str
    records: int
    attempts: int
    next_try_at: float | None
    state: State
    tried_at: float | None
    origin: int
    part: str


_MESSAGE = [messages.c[name] for name in Message.__slots__]


@dataclass(frozen=True, slots=True)
class Stop:
    """A destination that takes nothing until the operator has done something.

    Attributes:
        stopped_at: since when, Unix seconds.
        failure: why, and the cure.
        message_id: the message that was being sent.
        probe_at: when it is tried again by itself; None: at every push (what is wrong is here,
            and looking costs nothing).
    """

    destination: str
    stopped_at: float
    failure: Failure
    message_id: int | None
    probe_at: float | None


class Outbox:
    """The queue; its reading side for people is ``accounting.messages``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def due_count(self, open_from: Month = NOTHING_CLOSED) -> int:
        """How many records must go out and are in no message yet."""
        with self.database.begin(reading=True) as connection:
            return connection.execute(select(func.count()).where(is_due(open_from))).scalar_one()

    def fill(
        self,
        destination: str,
        after: Key | None,
        limit: Limit,
        now: float,
        open_from: Month = NOTHING_CLOSED,
    ) -> tuple[Key | None, int, int]:
        """Put due records into one new message.

        Records are taken in the order of their pods and months, so that a pod's months follow each
        other. Those whose last message is not delivered yet wait for that.

        Args:
            destination: where it goes.
            after: where the message before ended; None to begin.
            limit: how much a message may hold.
            now: Unix time.
            open_from: the first month that is not closed.

        Returns:
            (last record taken, records taken, records left out); nothing more is due when none
            was taken.
        """
        with self.database.begin() as connection:
            condition = is_due(open_from) & _is_free(destination)
            due, left_out = _due(connection, condition, after, limit)
            if due:
                number = _store(connection, destination, [text for _, text in due], now)
                _enqueue(connection, number, [record for record, _ in due])
        last = due[-1][0] if due else None
        return (Key(last.uid, *last.month) if last else None), len(due), left_out

    def next(self, destination: str) -> Message | None:
        """The first message that waits for this destination and has nothing before it.

        Where messages are parked, those that share a pod and month with one of them stay behind
        it, and so do those behind those (apel.md, rule 1).
        """
        query = (
            select(*_MESSAGE)
            .where(messages.c.destination == destination, messages.c.state.in_(WAITING))
            .order_by(messages.c.origin, messages.c.part)
            .limit(1)
        )
        parked = select(messages.c.id).where(
            messages.c.destination == destination, messages.c.state == State.PARKED
        )
        with self.database.begin(reading=True) as connection:
            if connection.execute(parked.limit(1)).first() is not None:
                query = query.where(~_stands_behind())
            row = connection.execute(query).one_or_none()
        return None if row is None else replace(Message(*row), state=State(row.state))

    def claim(self, message: Message, now: float) -> Message | None:
        """Note that an attempt begins; None if the message has changed: ask for the next one."""
        with self.database.begin() as connection:
            changed = connection.execute(
                update(messages)
                .where(
                    messages.c.id == message.id,
                    messages.c.state.in_(WAITING),
                    messages.c.attempts == message.attempts,
                )
                .values(state=State.SENDING.value, attempts=message.attempts + 1, tried_at=now)
            )
        if not changed.rowcount:
            return None
        return replace(message, state=State.SENDING, attempts=message.attempts + 1, tried_at=now)

    def sent(self, message: Message, broker_id: str, now: float) -> None:
        """Note that the destination has taken the message over, and with it its records."""
        with self.database.begin() as connection:
            _note(
                connection,
                message.id,
                state=State.SENT.value,
                sent_at=now,
                broker_id=broker_id,
                **_NO_ERROR,
            )
            self._deliver(connection, message, now)
            connection.execute(stops.delete().where(stops.c.destination == message.destination))

    def _deliver(self, connection: Connection, message: Message, now: float) -> None:
        """Take the records over into what the receiver holds now."""
        keys = _keys_of(connection, message.id)
        rows = [
            (*keys[digest], message.destination, message.id, digest, text, now)
            for digest, text in _texts(message.body).items()
        ]
        names = tuple(column.name for column in delivered.columns)
        self.database.write(connection, delivered, names, rows)

    def failed(self, message: Message, failure: Failure, next_try_at: float | None) -> None:
        """Note an attempt that failed; the message stays first in the queue."""
        with self.database.begin() as connection:
            state = State.PENDING.value
            _note(connection, message.id, state=state, next_try_at=next_try_at, **_said(failure))

    def split(self, message: Message, failure: Failure, now: float) -> None:
        """Put two halves in the message's place; the whole is kept as history.

        Raises:
            ValueError: it holds a single record.
        """
        texts = list(_texts(message.body).items())
        if len(texts) < 2:  # noqa: PLR2004 - two halves
            raise ValueError("a single record cannot be split")
        middle = len(texts) // 2
        with self.database.begin() as connection:
            _note(connection, message.id, state=State.SPLIT.value, **_said(failure))
            keys = _keys_of(connection, message.id)
            for letter, half in (("a", texts[:middle]), ("b", texts[middle:])):
                place = (message.origin, message.part + letter)
                bodies = [text for _, text in half]
                number = _store(connection, message.destination, bodies, now, place)
                _move(connection, message.id, number, {keys[digest]: digest for digest, _ in half})

    def park(self, number: int, failure: Failure) -> None:
        """Set a message aside: only what shares a pod and month with it waits for it.

        Raises:
            AccountingError: there is no such message, or it does not wait.
        """
        self._change(number, WAITING, state=State.PARKED.value, **_said(failure))

    def retry(self, number: int) -> None:
        """Let the next push send a parked or failed message, without waiting any longer.

        Raises:
            AccountingError: there is no such message, or it is sent or split already.
        """
        self._change(number, UNDELIVERED, state=State.PENDING.value, next_try_at=None)

    def withdraw(self, number: int) -> None:
        """Give a parked message up: its records are due again, with what they say then.

        Raises:
            AccountingError: there is no such message, or it is not parked.
        """
        with self.database.begin() as connection:
            _changed(connection, number, (State.PARKED,), state=State.WITHDRAWN.value)
            connection.execute(
                update(records)
                .where(records.c.message_id == number)
                .values(queued_digest=None, queued_final=False)
            )

    def _change(self, number: int, states: Sequence[State], **values: Any) -> None:
        with self.database.begin() as connection:
            _changed(connection, number, states, **values)

    def readdress(self, old: str, new: str) -> int:
        """Let what waits for one destination go to another, behind what waits there.

        Returns:
            How many messages.
        """
        with self.database.begin() as connection:
            changed = connection.execute(
                update(messages)
                .where(messages.c.destination == old, messages.c.state.in_(UNDELIVERED))
                .values(destination=new, next_try_at=None)
            )
            connection.execute(stops.delete().where(stops.c.destination == old))
        return changed.rowcount

    def stop(self, stop: Stop) -> None:
        """Stop a destination: it takes nothing until it is resumed, or probed with success."""
        failure = stop.failure
        row = (
            stop.destination,
            stop.stopped_at,
            failure.kind.value,
            failure.reason,
            failure.cure,
            stop.message_id,
            stop.probe_at,
        )
        with self.database.begin() as connection:
            names = tuple(column.name for column in stops.columns)
            self.database.write(connection, stops, names, [row])

    def stop_of(self, destination: str) -> Stop | None:
        """Why a destination is stopped; None if it is not."""
        query = select(stops).where(stops.c.destination == destination)
        with self.database.begin(reading=True) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else stop_from(row)

    def resume(self, destination: str) -> bool:
        """Let the next push try a destination again at once; False if nothing kept it."""
        with self.database.begin() as connection:
            gone = connection.execute(stops.delete().where(stops.c.destination == destination))
            hurried = connection.execute(
                update(messages)
                .where(
                    messages.c.destination == destination,
                    messages.c.state.in_(WAITING),
                    messages.c.next_try_at.is_not(None),
                )
                .values(next_try_at=None)
            )
        return bool(gone.rowcount or hurried.rowcount)


def stop_from(row: Any) -> Stop:
    """A stop from its row."""
    failure = Failure(Kind(row.kind), row.reason, row.cure)
    return Stop(row.destination, row.stopped_at, failure, row.message_id, row.probe_at)


_NO_ERROR: dict[str, Any] = {"error": "", "error_kind": "", "cure": "", "next_try_at": None}


def _said(failure: Failure) -> dict[str, Any]:
    return {"error": failure.reason, "error_kind": failure.kind.value, "cure": failure.cure}


def _texts(body: str) -> dict[str, str]:
    """Digest → text of the records in a body, in its order."""
    separator = f"{apel.SEPARATOR}\n"
    parts = body.removeprefix(f"{apel.HEADER}\n").split(separator)
    texts = [part + separator for part in parts[:-1]]
    return {apel.text_digest(text): text for text in texts}


def _keys_of(connection: Connection, number: int) -> dict[str, Key]:
    """Digest → key of a message's records."""
    columns = message_records.c
    query = select(columns.digest, columns.uid, columns.year, columns.month)
    rows = connection.execute(query.where(columns.message_id == number))
    return {digest: Key(*key) for digest, *key in rows}


def _is_free(destination: str) -> Any:
    """The condition of a record that no undelivered message to this destination holds."""
    undelivered = select(messages.c.id).where(
        messages.c.destination == destination, messages.c.state.in_(UNDELIVERED)
    )
    return records.c.message_id.is_(None) | records.c.message_id.not_in(undelivered)


def _stands_behind() -> Any:
    """The condition of a message that shares a pod and month with an undelivered one before it."""
    before, theirs, mine = messages.alias(), message_records.alias(), message_records.alias()
    is_before = and_(
        before.c.destination == messages.c.destination,
        before.c.state.in_(UNDELIVERED),
        tuple_(before.c.origin, before.c.part) < tuple_(messages.c.origin, messages.c.part),
    )
    same = and_(
        theirs.c.message_id == before.c.id,
        *(theirs.c[name] == mine.c[name] for name in Key._fields),
    )
    return exists().where(mine.c.message_id == messages.c.id, is_before, same)


def _due(
    connection: Connection, condition: Any, after: Key | None, limit: Limit
) -> tuple[list[tuple[Record, str]], int]:
    key = tuple_(records.c.uid, records.c.year, records.c.month)
    query = select(records).where(condition).order_by(*key.clauses)
    if after is not None:
        query = query.where(key > after)
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


def _store(
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
            state=State.PENDING.value,
            body=apel.message(texts),
            records=len(texts),
            built_at=now,
            attempts=0,
            broker_id="",
            origin=origin,
            part=part,
            **_NO_ERROR,
        )
    )
    number: int = (inserted.inserted_primary_key or (0,))[0]
    if place is None:
        _note(connection, number, origin=number)
    return number


def _enqueue(connection: Connection, number: int, due: Sequence[Record]) -> None:
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
                **_bound_key(Key(record.uid, *record.month)),
                "b_digest": record.digest,
                "b_final": apel.is_final(record),
            }
            for record in due
        ],
    )


def _move(connection: Connection, old: int, new: int, digests: Mapping[Key, str]) -> None:
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
    return and_(*(records.c[name] == bindparam(f"b_{name}") for name in Key._fields))


def _bound_key(key: Key) -> dict[str, Any]:
    return {f"b_{name}": value for name, value in key._asdict().items()}


def _note(connection: Connection, number: int, **values: Any) -> None:
    connection.execute(update(messages).where(messages.c.id == number).values(**values))


def _changed(connection: Connection, number: int, states: Sequence[State], **values: Any) -> None:
    """Change a message that is in one of some states."""
    known = (messages.c.id == number, messages.c.state.in_(states))
    if connection.execute(update(messages).where(*known).values(**values)).rowcount:
        return
    state = connection.execute(
        select(messages.c.state).where(messages.c.id == number)
    ).scalar_one_or_none()
    if state is None:
        raise AccountingError(
            f"there is no message {number}", "see 'notebooks-accounting outbox list'"
        )
    raise AccountingError(
        f"message {number} is {state}, not {' or '.join(states)}",
        "see 'notebooks-accounting outbox show' for what became of it",
    )
