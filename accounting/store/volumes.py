"""Days of home volumes as rows: reads what a window goes on from, writes what it has changed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from accounting.errors import AccountingError
from accounting.model.messages import UNDELIVERED
from accounting.model.pods import ERASED
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS, Quality, Volume, VolumeSeen, Withheld
from accounting.records.volumes import checked
from accounting.store.engine.database import Database
from accounting.store.tables import (
    delivered,
    message_records,
    messages,
    pods,
    queued,
    volumes,
)

COLUMNS = tuple(column.name for column in volumes.columns)
_fields_of = itemgetter(*(COLUMNS.index(name) for name in Volume._fields))
_QUALITY_AT, _HELD_AT = Volume._fields.index("quality"), Volume._fields.index("held")
_QUALITIES = {quality.value: quality for quality in Quality}
_HOLDS = {held.value: held for held in Withheld}
_PATHS = {"quality": "quality.value", "held": "held.value"}
_MONTH_AT = COLUMNS.index("year")
_before_month, _after_month = (
    attrgetter(*(_PATHS.get(name, name) for name in names))
    for names in (COLUMNS[:_MONTH_AT], COLUMNS[_MONTH_AT + 2 :])
)
_AT_ONCE = 400

_Name = tuple[str, str]
"""(namespace, name)"""


def volume_of(row: Any) -> Volume:
    """A volume's day from its row, whose columns are ``COLUMNS``: by position, as they are many."""
    values = list(_fields_of(row))
    values[_QUALITY_AT] = _QUALITIES[values[_QUALITY_AT]]
    values[_HELD_AT] = _HOLDS[values[_HELD_AT]]
    return Volume._make(values)


def volume_row(volume: Volume) -> tuple[Any, ...]:
    """A volume's day as ``COLUMNS``."""
    return (*_before_month(volume), *volume.month, *_after_month(volume))


@dataclass
class Kept:
    """What is known of the volumes that a window is about, up to the days that it tells of.

    Attributes:
        written: what has been added, by name and day.
    """

    _rows: dict[_Name, list[Volume]]
    _groups: Mapping[str, str]
    _added: dict[tuple[_Name, int], Volume] = field(default_factory=dict)

    @classmethod
    def read(cls, database: Database, seen: Sequence[VolumeSeen], *, is_replay: bool) -> Self:
        """Read it from the ledger.

        Args:
            database: the ledger's.
            seen: what the window says.
            is_replay: later windows were read before: the days before count again, too.
        """
        first, last = min(one.day for one in seen), max(one.day for one in seen)
        rows: dict[_Name, list[Volume]] = defaultdict(list)
        ours = volumes.c.namespace == seen[0].namespace
        with database.begin(reading=True) as connection:
            for volume in _read(connection, ours & volumes.c.day.between(first, last)):
                rows[volume.namespace, volume.name].append(volume)
            wanted = {(one.namespace, one.name) for one in seen}
            if not is_replay:
                wanted = {name for name in wanted if not _has(rows, name, first)}
            for volume in _latest(connection, ours, {name for _, name in wanted}, first):
                rows[volume.namespace, volume.name].append(volume)
            unknown = {
                one.user
                for one in seen
                if one.user
                and not one.group
                and not any(row.group for row in rows.get((one.namespace, one.name), ()))
            }
            groups = _groups(connection, unknown)
        return cls(rows, groups)

    def before(self, seen: VolumeSeen) -> list[Volume]:
        """The rows of that volume of that day and of the last one before, in order."""
        rows = self._rows.get((seen.namespace, seen.name), [])
        known = sorted((row for row in rows if row.day <= seen.day), key=lambda row: row.day)
        return known[-2:]

    def group_of(self, user: str) -> str:
        """The primary group of a user's latest notebook."""
        return self._groups.get(user, "")

    def add(self, volume: Volume) -> None:
        """Take a merged day in: later ones go on from it."""
        name = volume.namespace, volume.name
        rows = self._rows.setdefault(name, [])
        rows[:] = [row for row in rows if row.day != volume.day] + [volume]
        self._added[name, volume.day] = volume

    @property
    def written(self) -> list[Volume]:
        """What has been added, by name and day."""
        return [self._added[key] for key in sorted(self._added)]


def _has(rows: Mapping[_Name, Sequence[Volume]], name: _Name, day: int) -> bool:
    return any(row.day == day for row in rows.get(name, ()))


def _read(connection: Connection, condition: ColumnElement[bool]) -> Iterable[Volume]:
    return map(volume_of, connection.execute(select(volumes).where(condition)))


def _latest(
    connection: Connection, ours: ColumnElement[bool], names: Iterable[str], before: int
) -> Iterable[Volume]:
    """The last rows of some volumes of a namespace before a day."""
    for chunk in _chunks(names):
        earlier = ours & (volumes.c.day < before) & volumes.c.name.in_(chunk)
        last = select(volumes.c.name, func.max(volumes.c.day).label("day")).where(earlier)
        days = last.group_by(volumes.c.name).subquery()
        is_last = (volumes.c.name == days.c.name) & (volumes.c.day == days.c.day)
        yield from map(
            volume_of, connection.execute(select(volumes).where(ours).join(days, is_last))
        )


def _groups(connection: Connection, users: Iterable[str]) -> Mapping[str, str]:
    """The primary groups of users' latest notebooks that have one."""
    found: dict[str, tuple[float, str]] = {}
    for chunk in _chunks(users):
        query = select(pods.c.user, pods.c.last_running_at, pods.c.primary_group).where(
            pods.c.user.in_(chunk), pods.c.primary_group != ""
        )
        for user, at, group in connection.execute(query):
            found[user] = max(found.get(user, (at, group)), (at, group))
    return {user: group for user, (_, group) in found.items()}


def _chunks(names: Iterable[Any]) -> list[list[Any]]:
    ordered = sorted(names)
    return [ordered[at : at + _AT_ONCE] for at in range(0, len(ordered), _AT_ONCE)]


def write_volumes(connection: Connection, database: Database, changed: Sequence[Volume]) -> None:
    """Write days of volumes, each whole."""
    database.write(connection, volumes, COLUMNS, list(map(volume_row, changed)))


def completed_months(
    connection: Connection, changed: Iterable[Volume], before: int, watermark: int
) -> set[Month]:
    """The months in which a day of volumes is complete now, or a complete one has changed.

    Only complete days go out: a month is searched again when one is.

    Args:
        connection: reads them.
        changed: the days that a window changes.
        before: how far the ledger had come, Unix seconds.
        watermark: how far it has come.
    """
    today, was = watermark // DAY_SECONDS, before // DAY_SECONDS
    found = {volume.month for volume in changed if volume.day < today}
    if was < today:
        ended = volumes.c.day.between(was, today - 1)
        query = select(volumes.c.year, volumes.c.month).where(ended).distinct()
        found |= {Month(*row) for row in connection.execute(query)}
    return found


def erase_owners(connection: Connection, whose: ColumnElement[bool]) -> None:
    """Replace users' names in days of volumes, and in what was delivered of them (I3).

    Nothing is sent again for it. A claim that still says whose it is comes again with the next
    poll.

    Args:
        connection: writes them.
        whose: the condition of the days.

    Raises:
        AccountingError: messages with them still wait; their bytes must not change.
    """
    rows = connection.execute(select(volumes).where(whose, volumes.c.owner != ERASED)).all()
    for start in range(0, len(rows), _AT_ONCE):
        _erase(connection, rows[start : start + _AT_ONCE])


def _erase(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    uids = [row.uid for row in rows]
    took = select(message_records.c.message_id).where(message_records.c.uid.in_(uids))
    mine = messages.c.id.in_(took)
    waiting = select(messages.c.id).where(mine, messages.c.state.in_(UNDELIVERED)).limit(1)
    if connection.execute(waiting).first() is not None:
        raise AccountingError(
            "a message with this user's volumes is not delivered yet",
            "run 'notebooks-accounting push' first",
        )
    connection.execute(update(messages).where(mine).values(body=""))
    connection.execute(update(delivered).where(delivered.c.uid.in_(uids)).values(text=""))
    for row in rows:
        # The claim's name has the user's in it; the record's id stays.
        name = f"erased-{row.uid}"
        erased = volume_of(row)._replace(owner=ERASED, user=ERASED, name=name)
        digest = checked(erased).digest
        for table in (queued, delivered):
            told = (table.c.uid == row.uid) & (table.c.digest == row.digest)
            connection.execute(update(table).where(told).values(digest=digest))
        mine = volumes.c.uid == row.uid
        connection.execute(
            update(volumes).where(mine).values(owner=ERASED, user=ERASED, name=name, digest=digest)
        )
