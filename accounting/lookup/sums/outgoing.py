"""What of the measured usage goes out to the repository, and what of it was delivered.

Nearly all records go out, and nearly all were delivered as they stand. So only those that may
differ are looked at, one by one, and what they lack is taken off the sums of what was measured.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace
from sqlalchemy import (
    CompoundSelect,
    Connection,
    Select,
    and_,
    func,
    literal_column,
    select,
    tuple_,
    union,
)

from accounting.model.messages import UNDELIVERED, MessageState, OutletKind
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.store.due import moved, unsaid
from accounting.store.engine.database import Database
from accounting.store.tables import delivered, message_records, messages, outlets, records

Version = tuple[Any, ...]
_FEW = 1000
"""Up to so many notebooks are looked up by their uids: PostgreSQL would else read whole tables."""


class Part(msgspec.Struct, frozen=True):
    """A part of what was measured: notebooks, and what they used within the row's time."""

    pods: int = 0
    wall_seconds: int = 0
    cpu_seconds: int = 0

    def more(self, other: "Part") -> "Part":
        """Both together."""
        if other is NOTHING:  # as a rule, of thousands of rows
            return self
        return Part(
            self.pods + other.pods,
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
        )


NOTHING = Part()


@dataclass(frozen=True, slots=True)
class Lacking:
    """What parts differ by from what was measured; negative where they are less.

    Attributes:
        goes_out: what is held back is missing.
        delivered: what waits is missing, too. None: nothing was delivered at all.
    """

    goes_out: Part = NOTHING
    delivered: Part | None = NOTHING


class Differing(NamedTuple):
    """Notebooks of which something may not be as it was delivered.

    Attributes:
        destination: that is compared; empty: nothing was delivered at all.
        uids: theirs; a query for them where they are many.
    """

    destination: str
    uids: list[str] | CompoundSelect[Any]


def receiver(connection: Connection) -> str:
    """The destination that is compared: the first in the settings that takes records, or none."""
    first = (
        select(outlets.c.destination)
        .where(outlets.c.kind == OutletKind.RECORDS.value)
        .order_by(outlets.c.position, outlets.c.destination)
    )
    return connection.execute(first.limit(1)).scalar() or ""


def version(database: Database) -> Version:
    """Equal: nothing was delivered, built or given up meanwhile.

    Messages are never deleted, and one that was sent or withdrawn stays so. What an index has is
    enough, then: in SQLite a column behind the bodies would cost reading them all.
    """
    c = messages.c
    of = (c.destination, c.state)
    query = select(*of, func.count(), func.max(c.id)).group_by(*of).order_by(*of)
    with database.asking() as connection:
        return tuple(tuple(row) for row in connection.execute(query))


def differing(database: Database, months: Sequence[Month]) -> Differing:
    """The notebooks of which something in these months may not be as it was delivered."""
    with database.asking() as connection:
        destination = receiver(connection)
        if not _was_told(connection, destination):
            destination = ""
        candidates = _candidates(connection, destination, months)
        few = list(connection.scalars(candidates.limit(_FEW + 1)))
    return Differing(destination, few if len(few) <= _FEW else candidates)


def lacking(
    database: Database, asked: Sequence[Any], keys: Sequence[Any], differs: Differing
) -> tuple[Mapping[tuple[Any, ...], Lacking], Lacking]:
    """By a question's keys: what goes out and what was delivered, against what was measured.

    Args:
        database: the ledger's.
        asked: conditions on ``records``: whose, and of which months.
        keys: columns of ``records``, or expressions on them.
        differs: in those months.

    Returns:
        That, and what holds of all other keys.
    """
    destination, uids = differs
    rows: Sequence[Any] = []
    if uids != []:
        compared = _compared(destination, keys).where(*asked, records.c.uid.in_(uids))
        with database.asking() as connection:
            rows = connection.execute(compared).all()
    sums: dict[tuple[Any, ...], _Sums] = defaultdict(_Sums)
    for row in rows:
        sums[tuple(row[: len(keys)])].add(row)
    found = {key: one.lacking(is_told=bool(destination)) for key, one in sums.items()}
    return found, Lacking(delivered=NOTHING if destination else None)


def _was_told(connection: Connection, destination: str) -> bool:
    """Whether anything went to a destination yet: else all records wait, and none is compared."""
    sent = messages.c.state == MessageState.SENT.value
    went = select(messages.c.id).where(messages.c.destination == destination, sent).limit(1)
    return connection.execute(went).first() is not None


def _candidates(
    connection: Connection, destination: str, months: Sequence[Month]
) -> CompoundSelect[Any]:
    """The uids of notebooks of which something may not be as it was delivered.

    Of a month of which a destination was told all, and of which nothing waits, only held records
    differ. Where a record's month before was not delivered, its own part of the sum differs.
    """
    c = records.c
    held = select(c.uid).where(c.held != literal_column("''"))
    if not destination:
        return union(held)
    searched = {*months, *(Month.of(month.start - 1) for month in months)}
    of = message_records.c
    waiting = (
        select(of.uid)
        .join(messages, messages.c.id == of.message_id)
        .where(
            messages.c.state.in_([state.value for state in UNDELIVERED]),
            messages.c.destination == destination,
            tuple_(of.year, of.month).in_(sorted(searched)),
        )
    )
    found = [
        query
        for year, month, told_at in connection.execute(moved(destination))
        if Month(year, month) in searched
        for query in unsaid(destination, Month(year, month), told_at)
    ]
    return union(held, waiting, *found)


def _compared(destination: str, keys: Sequence[Any]) -> Select[Any]:
    """Records, each with its month before, and both beside what was delivered of them."""
    c, before = records.c, records.alias("before")
    now, earlier = delivered.alias("now"), delivered.alias("earlier")
    place, its_place = c.year * 12 + c.month, before.c.year * 12 + before.c.month
    columns = (
        c.uid,
        c.held,
        c.used_wall_seconds,
        c.used_cpu_seconds,
        before.c.held.label("held_before"),
        before.c.wall_seconds.label("wall_before"),
        before.c.cpu_seconds.label("cpu_before"),
        now.c.text.label("told"),
        earlier.c.text.label("told_before"),
    )
    return (
        select(*keys, *columns)
        .outerjoin_from(records, before, and_(before.c.uid == c.uid, its_place == place - 1))
        .outerjoin(
            now,
            and_(
                *(now.c[name] == c[name] for name in ("year", "month", "uid")),
                now.c.destination == destination,
            ),
        )
        .outerjoin(
            earlier,
            and_(
                earlier.c.year == before.c.year,
                earlier.c.month == before.c.month,
                earlier.c.uid == before.c.uid,
                earlier.c.destination == destination,
            ),
        )
    )


class _Sums:
    """What some records of one key lack."""

    def __init__(self) -> None:
        self._measured: set[str] = set()
        self._outgoing: set[str] = set()
        self._told: set[str] = set()
        self._goes_out = Part()
        self._delivered = Part()

    def add(self, row: Any) -> None:
        """Take one record in."""
        wall, cpu = row.used_wall_seconds, row.used_cpu_seconds or 0
        self._measured.add(row.uid)
        if row.held:
            self._goes_out = self._goes_out.more(Part(0, -wall, -cpu))
        else:
            self._outgoing.add(row.uid)
            if row.held_before:  # the repository knows of no earlier month to take off
                extra = Part(0, row.wall_before, row.cpu_before or 0)
                self._goes_out = self._goes_out.more(extra)
        if row.told is None:
            self._delivered = self._delivered.more(Part(0, -wall, -cpu))
            return
        self._told.add(row.uid)
        if row.told:  # else its text is forgotten, with its user: as measured
            there = dict(_figures(row.told, row.told_before or ""))
            more = Part(0, there["WallDuration"] - wall, there["CpuDuration"] - cpu)
            self._delivered = self._delivered.more(more)

    def lacking(self, *, is_told: bool) -> Lacking:
        """All together; pods count once, whatever months they ran in."""
        pods = len(self._measured)
        return Lacking(
            replace(self._goes_out, pods=len(self._outgoing) - pods),
            replace(self._delivered, pods=len(self._told) - pods) if is_told else None,
        )


def _figures(now: str, before: str) -> Iterator[tuple[str, int]]:
    """What a delivered record adds within its month: cumulative figures less the month before."""
    later, earlier = apel.parsed(now), apel.parsed(before)
    for name in ("WallDuration", "CpuDuration"):
        yield name, int(later.get(name, 0)) - int(earlier.get(name, 0))
