"""Finds, counts and sums records."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_

from accounting.errors import AccountingError
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.store.due import NOTHING_CLOSED, is_differing, is_due
from accounting.store.engine.database import Database
from accounting.store.rows import record_of
from accounting.store.tables import MOST_NAME, has_usual_name, records

_AT_ONCE = 1000
_MOST_SIMILAR = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records; None or empty text: all.

    Attributes:
        month: only this month.
        since, until: only those with usage in [since, until), Unix seconds.
        uid, machine, user, vo, flavor, image, status: equal to these.
        contains: (one of user, vo, flavor and image, a part of its text), whatever its case.
        within: where others of these conditions hold nowhere else: the first and the last month.
        users: the same: whose records these are; empty: anyone's.
        held: True: only those held back; False: only those that go out.
        due: only those that must go out and are in no message yet.
        differing: only those of closed months that differ from what was queued, and wait.
        open_from: the first month that is not closed: see ``is_due``.
        limit: at most that many.
    """

    month: Month | None = None
    since: int | None = None
    until: int | None = None
    uid: str = ""
    machine: str = ""
    user: str = ""
    vo: str = ""
    flavor: str = ""
    image: str = ""
    contains: tuple[tuple[str, str], ...] = ()
    within: tuple[Month, Month] | None = None
    users: tuple[str, ...] = ()
    status: str = ""
    held: bool | None = None
    due: bool = False
    differing: bool = False
    open_from: Month = NOTHING_CLOSED
    limit: int | None = None

    @property
    def exact(self) -> dict[str, str]:
        """The names that are asked for as a whole."""
        exact = {name: getattr(self, name) for name in ("user", "vo", "flavor", "image")}
        return {name: value for name, value in exact.items() if value}

    @property
    def names(self) -> frozenset[str]:
        """Of user, VO, flavour and image: which it asks for, as a whole or in part."""
        return frozenset({*self.exact, *(name for name, _ in self.contains)})


class Records:
    """Reads the records' table."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, selection: Selection | None = None) -> Iterator[Record]:
        """The selected records by pod and month, streamed."""
        query = narrowed(select(records), selection or Selection())
        query = query.order_by(records.c.uid, records.c.year, records.c.month)
        with self.database.begin(reading=True) as connection:
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(query)
            yield from map(record_of, rows)

    def count(self, selection: Selection | None = None) -> int:
        """How many records are selected."""
        selected = narrowed(select(records.c.uid), selection or Selection()).subquery()
        with self.database.begin(reading=True) as connection:
            return connection.execute(select(func.count()).select_from(selected)).scalar_one()

    def whole_uid(self, beginning: str) -> str:
        """The uid of the only pod whose uid is this or begins so.

        Raises:
            AccountingError: there is no such pod, or more than one.
        """
        uid = records.c.uid
        exact = select(uid).where(uid == beginning).limit(1)
        similar = select(uid).distinct().where(uid.startswith(beginning, autoescape=True))
        with self.database.begin(reading=True) as connection:
            if beginning and connection.scalar(exact):
                return beginning
            found = connection.scalars(similar.order_by(uid).limit(_MOST_SIMILAR + 1)).all()
        if not found:
            raise AccountingError(
                f"there is no record of '{beginning}'", "see 'notebooks-accounting records list'"
            )
        if len(found) > 1:
            more = " and others" if len(found) > _MOST_SIMILAR else ""
            raise AccountingError(
                f"'{beginning}' begins the uid of more than one pod",
                f"give more of it: {', '.join(found[:_MOST_SIMILAR])}{more}",
            )
        return str(found[0])

    def held(self) -> Mapping[Held, int]:
        """How many records are held back, by reason."""
        query = (
            select(records.c.held, func.count())
            .where(records.c.held != "")
            .group_by(records.c.held)
        )
        with self.database.begin(reading=True) as connection:
            return {Held(reason): count for reason, count in connection.execute(query)}

    def month_totals(self) -> Mapping[tuple[Month, str], tuple[int, int, int]]:
        """(month, VO) → pods, wall and CPU seconds used within the month, of all records."""
        return totals(self.find())


def narrowed(query: Select[Any], selection: Selection) -> Select[Any]:
    """The query, of the selected records only."""
    columns = records.c
    if selection.month is not None:
        query = query.where(
            columns.year == selection.month.year, columns.month == selection.month.month
        )
    query = _overlapping(query, selection)
    for name in ("uid", "machine", "status"):
        if value := getattr(selection, name):
            query = query.where(columns[name] == value)
    query = query.where(*of_names(selection, columns))
    if selection.users:
        query = query.where(columns.user.in_(selection.users))
    if 0 < len(selection.user) <= MOST_NAME or selection.users:
        query = query.where(has_usual_name)
    if selection.held is not None:
        query = query.where(columns.held != "" if selection.held else columns.held == "")
    if selection.due:
        query = query.where(is_due(selection.open_from))
    if selection.differing:
        query = query.where(is_differing(selection.open_from))
    return query.limit(selection.limit)


def of_names(selection: Selection, c: Any) -> list[ColumnElement[bool]]:
    """The conditions on VO, user, flavour and image, of records or totals with columns ``c``."""
    conditions = [c[name] == value for name, value in selection.exact.items()]
    return conditions + [
        c[name].icontains(part, autoescape=True) for name, part in selection.contains
    ]


def _overlapping(query: Select[Any], selection: Selection) -> Select[Any]:
    """Narrow by time; the months bound the rows that an index must read."""
    columns = records.c
    of_month = tuple_(columns.year, columns.month)
    if selection.within is not None:
        first, last = selection.within
        query = query.where(of_month >= tuple_(*first), of_month <= tuple_(*last))
    if selection.since is not None:
        query = query.where(
            columns.created_at > selection.since, of_month >= tuple_(*Month.of(selection.since))
        )
    if selection.until is not None:
        query = query.where(
            columns.start_at < selection.until, of_month <= tuple_(*Month.of(selection.until - 1))
        )
    return query


def totals(found: Iterable[Record]) -> Mapping[tuple[Month, str], tuple[int, int, int]]:
    """(month, VO) → pods, wall and CPU seconds used *within* the month."""
    sums: dict[tuple[Month, str], tuple[int, int, int]] = {}
    for record in found:
        pods, walls, cpus = sums.get((record.month, record.vo.name), (0, 0, 0))
        walls += record.used_wall_seconds
        cpus += record.used_cpu_seconds or 0
        sums[record.month, record.vo.name] = pods + 1, walls, cpus
    return sums
