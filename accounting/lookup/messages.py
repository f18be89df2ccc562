"""The messages as people look at them: pages, one with its records, and the destinations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, and_, func, select, tuple_

from accounting.delivery.outbox import stop_from
from accounting.model.messages import (
    UNDELIVERED,
    WAITING,
    Failure,
    FailureKind,
    MessageState,
    RecordKey,
    Stop,
)
from accounting.store.engine.database import Database
from accounting.store.tables import message_records, messages, queued, records, stops

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages; empty: all.

    Attributes:
        destination: only to there.
        states: only in one of these.
        uid: only those that took a record of this pod.
    """

    destination: str = ""
    states: Sequence[MessageState] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message without its body; times are Unix seconds, None where there was none yet.

    Attributes:
        id: its number.
        empaid: our own id of it, which the receiver logs.
        records: how many it holds.
        attempts: how often sending it was tried; ``tried_at``: when last.
        next_try_at: when it may be tried again.
        failure: the last one; None once it is sent.
        broker_id: the id the broker gave it; empty until it is sent.
        origin, part: the number of the whole and which part of it this is, after a split.
    """

    id: int
    empaid: str
    destination: str
    state: MessageState
    records: int
    built_at: float
    attempts: int
    tried_at: float | None
    next_try_at: float | None
    sent_at: float | None
    broker_id: str
    failure: Failure | None
    origin: int
    part: str


@dataclass(frozen=True, slots=True)
class Taken:
    """One record of a message.

    Attributes:
        uid, year, month: its key.
        digest: of what this message said.
        is_latest: no later message took it.
        is_current: the record still says the same.
        is_known: the ledger has this record of a notebook; not so where the destination takes
            other figures.
    """

    uid: str
    year: int
    month: int
    digest: str
    is_latest: bool
    is_current: bool
    is_known: bool


@dataclass(frozen=True, slots=True)
class Destination:
    """How delivery to one destination stands.

    Attributes:
        name: its address, as messages have it; ``alias``: its name in the settings, or empty.
        messages: how many, by state.
        oldest_at: when the oldest undelivered message was built.
        last_sent_at: when a message was last delivered.
        next_try_at: when what stands first may be tried again; None: at once, or nothing waits.
        failure: what is wrong there now: why it is stopped, or the failure of what stands first.
        stop: it is stopped; None if it is not.
    """

    name: str
    messages: Mapping[MessageState, int]
    oldest_at: float | None
    last_sent_at: float | None
    next_try_at: float | None
    failure: Failure | None
    stop: Stop | None
    alias: str = ""


class Messages:
    """Reads the messages' table."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def page(
        self, selection: Selection | None = None, before: int | None = None, limit: int = 100
    ) -> list[Entry]:
        """The latest messages first; the next page is ``before`` the last one's ``id``."""
        query = _narrowed(_ENTRIES, selection or Selection())
        if before is not None:
            query = query.where(messages.c.id < before)
        query = query.order_by(messages.c.id.desc()).limit(limit)
        with self.database.asking() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def all(self, selection: Selection) -> Iterator[Entry]:
        """All of them, the latest first; nothing is held between the pages that are read."""
        before = None
        while found := self.page(selection, before, _AT_ONCE):
            yield from found
            before = found[-1].id

    def count(self, selection: Selection) -> int:
        """How many messages are selected."""
        found = _narrowed(select(messages.c.id), selection).subquery()
        with self.database.asking() as connection:
            return connection.execute(select(func.count()).select_from(found)).scalar_one()

    def find(self, number: int) -> Entry | None:
        """One message; None if there is none with this number."""
        with self.database.asking() as connection:
            row = connection.execute(_ENTRIES.where(messages.c.id == number)).one_or_none()
        return None if row is None else _entry(row)

    def body(self, number: int) -> str:
        """What it says; empty if it is not there. User names are in it."""
        query = select(messages.c.body).where(messages.c.id == number)
        with self.database.asking() as connection:
            return connection.execute(query).scalar_one_or_none() or ""

    def records(
        self, number: int, after: RecordKey | None = None, limit: int = 1000
    ) -> list[Taken]:
        """A message's records by pod and month; the next page is ``after`` the last one's key."""
        mine = message_records.c
        key = tuple_(mine.uid, mine.year, mine.month)
        same, of_queue = (
            and_(*(table.c[name] == mine[name] for name in RecordKey._fields))
            for table in (records, queued)
        )
        there = select(messages.c.destination).where(messages.c.id == number).scalar_subquery()
        query = (
            select(
                mine.uid,
                mine.year,
                mine.month,
                mine.digest,
                func.coalesce(queued.c.message_id == number, False),
                func.coalesce(
                    records.c.digest == mine.digest, queued.c.digest == mine.digest, False
                ),
                records.c.uid.is_not(None),
            )
            .outerjoin_from(message_records, records, same)
            .outerjoin(queued, of_queue & (queued.c.destination == there))
            .where(mine.message_id == number)
            .order_by(*key.clauses)
            .limit(limit)
        )
        if after is not None:
            query = query.where(key > after)
        with self.database.asking() as connection:
            return [Taken(*row) for row in connection.execute(query)]

    def all_records(self, number: int) -> Iterator[Taken]:
        """All of them; nothing is held between the pages that are read."""
        after = None
        while found := self.records(number, after, _AT_ONCE):
            yield from found
            last = found[-1]
            after = RecordKey(last.uid, last.year, last.month)

    def taken_by(self, uid: str) -> list[dict[str, Any]]:
        """The messages that took a pod's records, by month, the earliest first (D6)."""
        query = (
            select(
                message_records.c.year,
                message_records.c.month,
                messages.c.id,
                messages.c.empaid,
                messages.c.destination,
                messages.c.state,
                messages.c.broker_id,
                messages.c.sent_at,
            )
            .join(messages, messages.c.id == message_records.c.message_id)
            .where(message_records.c.uid == uid)
            .order_by(messages.c.origin, messages.c.part)
        )
        with self.database.asking() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def oldest_pending_at(self) -> float | None:
        """When the oldest undelivered message was built, Unix seconds."""
        waiting = messages.c.state.in_(UNDELIVERED)
        return self._time(select(func.min(messages.c.built_at)).where(waiting))

    def last_sent_at(self) -> float | None:
        """When a message was last delivered, Unix seconds."""
        return self._time(select(func.max(messages.c.sent_at)))

    def _time(self, query: Select[Any]) -> float | None:
        with self.database.asking() as connection:
            at: float | None = connection.execute(query).scalar_one()
        return at

    def destinations(self, names: Mapping[str, str] | None = None) -> list[Destination]:
        """All destinations that a message was ever for, and those in the settings.

        Args:
            names: address → name of those in the settings, which come first, in their order.
        """
        given = names or {}
        grouped = select(
            messages.c.destination,
            messages.c.state,
            func.count(),
            func.min(messages.c.built_at),
            func.max(messages.c.sent_at),
        ).group_by(messages.c.destination, messages.c.state)
        with self.database.asking() as connection:
            rows = connection.execute(grouped).all()
            stopped = {row.destination: stop_from(row) for row in connection.execute(select(stops))}
            others = sorted({*stopped, *(row[0] for row in rows)} - {*given})
            found = [*given, *others]
            first = {name: connection.execute(_first(name)).one_or_none() for name in found}
        return [
            replace(
                _destination(name, [row for row in rows if row[0] == name], first[name], stopped),
                alias=given.get(name, ""),
            )
            for name in found
        ]


_ENTRIES = select(*(column for column in messages.c if column.name != "body"))


def _first(destination: str) -> Select[Any]:
    """What stands first in a destination's queue."""
    return (
        _ENTRIES.where(messages.c.destination == destination, messages.c.state.in_(WAITING))
        .order_by(messages.c.origin, messages.c.part)
        .limit(1)
    )


def _destination(
    name: str, rows: Sequence[Any], first: Any, stopped: Mapping[str, Stop]
) -> Destination:
    counts = {MessageState(state): count for _, state, count, _, _ in rows}
    stop = stopped.get(name)
    head = None if first is None else _entry(first)
    next_try_at, failure = (head.next_try_at, head.failure) if head else (None, None)
    if stop:
        next_try_at, failure = stop.probe_at, stop.failure
    undelivered = [built for _, state, _, built, _ in rows if state in UNDELIVERED]
    return Destination(
        name=name,
        messages={state: counts.get(state, 0) for state in MessageState},
        oldest_at=min(undelivered, default=None),
        last_sent_at=max((sent for *_, sent in rows if sent is not None), default=None),
        next_try_at=next_try_at,
        failure=failure,
        stop=stop,
    )


def _entry(row: Any) -> Entry:
    return Entry(
        id=row.id,
        empaid=row.empaid,
        destination=row.destination,
        state=MessageState(row.state),
        records=row.records,
        built_at=row.built_at,
        attempts=row.attempts,
        tried_at=row.tried_at,
        next_try_at=row.next_try_at,
        sent_at=row.sent_at,
        broker_id=row.broker_id,
        failure=Failure(FailureKind(row.error_kind), row.error, row.cure)
        if row.error_kind
        else None,
        origin=row.origin,
        part=row.part,
    )


def _narrowed(query: Select[Any], selection: Selection) -> Select[Any]:
    if selection.destination:
        query = query.where(messages.c.destination == selection.destination)
    if selection.states:
        query = query.where(messages.c.state.in_(selection.states))
    if selection.uid:
        taken = select(message_records.c.message_id).where(message_records.c.uid == selection.uid)
        query = query.where(messages.c.id.in_(taken))
    return query
