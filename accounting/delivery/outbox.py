"""The outbox: messages with their exact bodies, first in, first out (D3).

Each destination has its own queue; what one was told does not count for another. A message is
stored together with the note that its records are no longer due there, in one transaction; only
then is it sent. Whatever happens between, it is sent from here, with the same bytes::

    fill ────────────────────────────────┐
                    ┌────── failed ────┐ │
                    ▼                  │ ▼
              pending ── claimed ──►  sending ──► sent
                 ▲                       │
        retried  │                       ├──► split    (its halves are pending in its place)
                 └─────  parked  ◄───────┘
                            └──► withdrawn             (its records are due again)

A crash leaves ``sending``: nobody knows whether the broker has it, so it is sent again, as soon as
the attempt that was cut short cannot be under way any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, exists, func, select, tuple_, update

from accounting.delivery import batches
from accounting.delivery.outlets import queue
from accounting.delivery.outlets.outlet import Outlet
from accounting.delivery.outlets.records import CloudRecords
from accounting.errors import AccountingError
from accounting.model.messages import (
    UNDELIVERED,
    WAITING,
    Entry,
    Failure,
    FailureKind,
    Limit,
    Message,
    MessageState,
    RecordKey,
    Stop,
)
from accounting.model.time import Month
from accounting.store.due import NOTHING_CLOSED, is_due
from accounting.store.engine.database import Database
from accounting.store.tables import (
    delivered,
    message_records,
    messages,
    outlets,
    queued,
    settled,
    stops,
)

_MESSAGE = [messages.c[name] for name in Message.__slots__]


@dataclass(frozen=True, slots=True)
class _Read:
    """What is due at a destination, read before it is stored.

    Attributes:
        state: of the records, when they were read.
        due: what fits into a message.
        left_out: how many figures cannot be carried.
        body: the message's.
    """

    state: queue.State
    due: Sequence[Entry]
    left_out: int
    body: str


class Filled(NamedTuple):
    """What became of due records.

    Attributes:
        after: the last that was taken; None: nothing more is due.
        records: how many were taken.
        left_out: how many cannot be carried.
        message: it holds them, and its first attempt has begun.
    """

    after: RecordKey | None
    records: int
    left_out: int
    message: Message | None


class Outbox:
    """The queues; their reading side for people is ``accounting.lookup.messages``.

    Args:
        database: keeps them.
        outlet: what messages carry; by default APEL's cloud records.
    """

    def __init__(self, database: Database, outlet: Outlet | None = None) -> None:
        self.database = database
        self.outlet: Outlet = outlet or CloudRecords()
        self._built: tuple[Message | None, Sequence[Entry]] = (None, ())

    def register(self, destination: str, position: int = 0) -> None:
        """Note that a destination takes this outlet's figures: they are due there from now on."""
        with self.database.begin() as connection:
            queue.register(connection, destination, self.outlet.kind, position)

    def keep(self, destinations: Sequence[str]) -> None:
        """Nothing is due any more at others than these: they are not in the settings."""
        with self.database.begin() as connection:
            connection.execute(outlets.delete().where(outlets.c.destination.not_in(destinations)))

    def due_count(self, open_from: Month = NOTHING_CLOSED, destination: str = "") -> int:
        """How many figures must go to a destination and are in no message yet.

        Without a destination: how many records must go to any.
        """
        with self.database.begin(reading=True) as connection:
            if destination:
                return self.outlet.due_count(connection, destination, open_from)
            return connection.execute(select(func.count()).where(is_due(open_from))).scalar_one()

    def differing_count(self, open_from: Month, destination: str) -> int:
        """How many corrections of closed months wait for ``republish`` to a destination."""
        with self.database.begin(reading=True) as connection:
            return self.outlet.differing_count(connection, destination, open_from)

    def unsaid_counts(self, open_from: Month, destination: str) -> tuple[int, int]:
        """How many figures are due at a destination, and how many corrections wait, at once."""
        with self.database.begin(reading=True) as connection:
            return self.outlet.unsaid_counts(connection, destination, open_from)

    def settle(self, destination: str) -> None:
        """Note which months this destination was told all of; nobody searches them again."""
        with self.database.begin() as connection:
            self.outlet.settle(connection, destination)

    def counts(self, destination: str | None = None) -> Mapping[MessageState, int]:
        """How many messages there are, by state."""
        query = select(messages.c.state, func.count()).group_by(messages.c.state)
        if destination is not None:
            query = query.where(messages.c.destination == destination)
        with self.database.begin(reading=True) as connection:
            found = {MessageState(state): count for state, count in connection.execute(query)}
        return {state: found.get(state, 0) for state in MessageState}

    def elsewhere(self) -> int:
        """How many undelivered messages are for destinations that the settings do not have."""
        known = select(outlets.c.destination)
        query = select(func.count()).where(
            messages.c.state.in_(UNDELIVERED), messages.c.destination.not_in(known)
        )
        with self.database.begin(reading=True) as connection:
            return connection.execute(query).scalar_one()

    def waiting_records(self, destination: str) -> int:
        """How many records wait in undelivered messages to a destination."""
        query = select(func.coalesce(func.sum(messages.c.records), 0)).where(
            messages.c.destination == destination, messages.c.state.in_(UNDELIVERED)
        )
        with self.database.begin(reading=True) as connection:
            return int(connection.execute(query).scalar_one())

    def fill(
        self,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        now: float,
        open_from: Month = NOTHING_CLOSED,
    ) -> Filled:
        """Put due records into one new message, and note that its first attempt begins.

        Records are taken in the order of their pods and months, so that a pod's months follow each
        other. Those whose last message is not delivered yet wait for that.

        Args:
            destination: where it goes.
            after: where the message before ended; None to begin.
            limit: how much a message may hold.
            now: Unix time.
            open_from: the first month that is not closed.
        """
        asked = destination, after, limit, open_from
        # Reading and encoding takes longer than storing: meanwhile, no other writer waits.
        with self.database.begin(reading=True) as connection:
            read = self._read(connection, *asked)
        message = None
        if read.due:
            with self.database.begin() as connection:
                if queue.state(connection) != read.state:
                    read = self._read(connection, *asked)
                message = self._store(connection, destination, read, now)
        self._built = message, read.due
        after = read.due[-1].key if read.due else None
        return Filled(after, len(read.due), read.left_out, message)

    def _read(self, connection: Connection, *asked: Any) -> _Read:
        state = queue.state(connection)  # first: on PostgreSQL, later queries see later commits
        due, left_out = self.outlet.due(connection, *asked)
        return _Read(state, due, left_out, self.outlet.body([entry.text for entry in due]))

    def _store(
        self, connection: Connection, destination: str, read: _Read, now: float
    ) -> Message | None:
        if not read.due:
            return None
        number = batches.store(connection, destination, read.body, count=len(read.due), now=now)
        batches.enqueue(connection, destination, number, read.due)
        found = connection.execute(select(*_MESSAGE).where(messages.c.id == number)).one()
        return _claim(connection, _message(found), now)

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
            messages.c.destination == destination, messages.c.state == MessageState.PARKED
        )
        with self.database.begin(reading=True) as connection:
            if connection.execute(parked.limit(1)).first() is not None:
                query = query.where(~_stands_behind())
            row = connection.execute(query).one_or_none()
        return None if row is None else _message(row)

    def claim(self, message: Message, now: float) -> Message | None:
        """Note that an attempt begins; None if the message has changed: ask for the next one."""
        with self.database.begin() as connection:
            return _claim(connection, message, now)

    def sent(self, message: Message, broker_id: str, now: float) -> None:
        """Note that the destination has taken the message over, and with it its records."""
        with self.database.begin() as connection:
            batches.note(
                connection,
                message.id,
                state=MessageState.SENT.value,
                sent_at=now,
                broker_id=broker_id,
                **batches.NO_ERROR,
            )
            self._deliver(connection, message, now)
            connection.execute(stops.delete().where(stops.c.destination == message.destination))

    def _deliver(self, connection: Connection, message: Message, now: float) -> None:
        """Take the records over into what the receiver holds now."""
        rows = [
            (key.year, key.month, key.uid, message.destination, message.id, digest, text, now)
            for key, digest, text in self._figures(connection, message)
        ]
        names = tuple(column.name for column in delivered.columns)
        self.database.write(connection, delivered, names, rows)

    def _figures(
        self, connection: Connection, message: Message
    ) -> list[tuple[RecordKey, str, str]]:
        """The keys, digests and texts of a message's figures."""
        built, entries = self._built
        if built == message:
            return [(entry.key, entry.digest, entry.text) for entry in entries]
        keys = batches.keys_of(connection, message.id)
        return [(keys[digest], digest, text) for digest, text in self._texts(message).items()]

    def _texts(self, message: Message) -> dict[str, str]:
        """Digest → text of the figures in a message, in its order."""
        return {self.outlet.digest(text): text for text in self.outlet.texts(message.body)}

    def failed(self, message: Message, failure: Failure, next_try_at: float | None) -> None:
        """Note an attempt that failed; the message stays where it is in the queue."""
        with self.database.begin() as connection:
            state = MessageState.PENDING.value
            batches.note(
                connection, message.id, state=state, next_try_at=next_try_at, **_said(failure)
            )

    def split(self, message: Message, failure: Failure, now: float) -> None:
        """Put two halves in the message's place; the whole is kept as history.

        Raises:
            ValueError: it holds a single record.
        """
        texts = list(self._texts(message).items())
        if len(texts) < 2:  # noqa: PLR2004 - two halves
            raise ValueError("a single record cannot be split")
        middle = len(texts) // 2
        with self.database.begin() as connection:
            batches.note(connection, message.id, state=MessageState.SPLIT.value, **_said(failure))
            keys = batches.keys_of(connection, message.id)
            for letter, half in (("a", texts[:middle]), ("b", texts[middle:])):
                place = (message.origin, message.part + letter)
                body = self.outlet.body([text for _, text in half])
                to = message.destination
                number = batches.store(connection, to, body, count=len(half), now=now, place=place)
                digests = {keys[digest]: digest for digest, _ in half}
                batches.move(connection, to, message.id, number, digests)

    def set_aside(self, message: Message, failure: Failure) -> None:
        """Park a message that was just tried in vain."""
        self._change(
            message.id,
            (MessageState.SENDING,),
            state=MessageState.PARKED.value,
            reported_at=None,
            **_said(failure),
        )

    def park(self, number: int, failure: Failure) -> None:
        """Set a message aside: only what shares a pod and month with it waits for it.

        Raises:
            AccountingError: there is no such message, or it does not wait, or it is being sent.
        """
        self._change(
            number, (MessageState.PENDING,), state=MessageState.PARKED.value, **_said(failure)
        )

    def retry(self, number: int) -> None:
        """Send a parked or failed message with the next push, without further waiting.

        Raises:
            AccountingError: there is no such message, or it is neither. One that is being sent,
                or was when the program died, is tried again by itself.
        """
        waiting = (MessageState.PENDING, MessageState.PARKED)
        self._change(number, waiting, state=MessageState.PENDING.value, next_try_at=None)

    def withdraw(self, number: int) -> None:
        """Give a parked message up: its records are due again, with what they say then.

        Raises:
            AccountingError: there is no such message, or it is not parked.
        """
        with self.database.begin() as connection:
            _changed(connection, number, (MessageState.PARKED,), state=MessageState.WITHDRAWN.value)
            queue.forget(connection, queued.c.message_id == number)

    def _change(self, number: int, states: Sequence[MessageState], **values: Any) -> None:
        with self.database.begin() as connection:
            _changed(connection, number, states, **values)

    def readdress(self, old: str, new: str) -> int:
        """Let another destination take one's place: with what waits, and what it was told.

        A waiting message is withdrawn if the new destination was already told something of its
        records: it may be older. They are due there as they are now.

        Returns:
            How many messages waited.
        """
        waits = (messages.c.destination == old) & messages.c.state.in_(UNDELIVERED)
        there = queued.alias()
        known = (there.c.destination == new) & and_(
            *(there.c[name] == message_records.c[name] for name in RecordKey._fields)
        )
        taken = select(message_records.c.message_id).where(exists().where(known))
        with self.database.begin() as connection:
            stale = connection.execute(
                update(messages)
                .where(waits, messages.c.id.in_(taken))
                .values(state=MessageState.WITHDRAWN.value)
            )
            moved = connection.execute(
                update(messages).where(waits).values(destination=new, next_try_at=None)
            )
            self._hand_over(connection, old, new)
            connection.execute(stops.delete().where(stops.c.destination == old))
        return stale.rowcount + moved.rowcount

    def _hand_over(self, connection: Connection, old: str, new: str) -> None:
        """Let a destination know what another was told, and hold what that holds."""
        withdrawn = select(messages.c.id).where(messages.c.state == MessageState.WITHDRAWN)
        queue.forget(connection, (queued.c.destination == old) & queued.c.message_id.in_(withdrawn))
        for table in (queued, delivered):
            there = table.alias()
            known = and_(*(there.c[name] == table.c[name] for name in RecordKey._fields))
            mine = table.c.destination == old
            connection.execute(
                update(table)
                .where(mine, ~exists().where(known, there.c.destination == new))
                .values(destination=new)
            )
            connection.execute(table.delete().where(mine))
        connection.execute(settled.delete().where(settled.c.destination.in_((old, new))))
        connection.execute(outlets.delete().where(outlets.c.destination == old))

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
    failure = Failure(FailureKind(row.kind), row.reason, row.cure)
    return Stop(row.destination, row.stopped_at, failure, row.message_id, row.probe_at)


def _message(row: Any) -> Message:
    return replace(Message(*row), state=MessageState(row.state))


def _claim(connection: Connection, message: Message, now: float) -> Message | None:
    """See ``Outbox.claim``."""
    state, attempts = MessageState.SENDING, message.attempts + 1
    changed = connection.execute(
        update(messages)
        .where(
            messages.c.id == message.id,
            messages.c.state.in_(WAITING),
            messages.c.attempts == message.attempts,
        )
        .values(state=state.value, attempts=attempts, tried_at=now)
    )
    if not changed.rowcount:
        return None
    return replace(message, state=state, attempts=attempts, tried_at=now)


def _said(failure: Failure) -> dict[str, Any]:
    return {"error": failure.reason, "error_kind": failure.kind.value, "cure": failure.cure}


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
        *(theirs.c[name] == mine.c[name] for name in RecordKey._fields),
    )
    return exists().where(mine.c.message_id == messages.c.id, is_before, same)


def _changed(
    connection: Connection, number: int, states: Sequence[MessageState], **values: Any
) -> None:
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
