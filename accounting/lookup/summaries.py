"""What was used within months, added up by any of month, day, VO, user, flavour and image.

The sums are of what records say was used within their month, and so the ledger's, and APEL's.

Days: wall time lies between a pod's start and its last sample without a break, so each day's part
of it is exact. CPU time is known at month ends and at the last sample only: each day gets its part
in proportion to its wall time, in whole seconds that add up to the month's exactly. What was held
is exact, too: of pods that were resized in the month, a record has each size and for how long.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    column,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    union_all,
    values,
)

from accounting.lookup.records import allowed
from accounting.model.time import Month
from accounting.records import holdings
from accounting.store.access import Viewer
from accounting.store.database import Database
from accounting.store.records import Selection
from accounting.store.rows import spans_of
from accounting.store.tables import records, revisions

_DAY = 86400
MOST_MONTHS_BY_DAY = 14


class By(StrEnum):
    """What usage can be added up by."""

    MONTH = "month"
    DAY = "day"
    VO = "vo"
    USER = "user"
    FLAVOR = "flavor"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Question:
    """Which usage, and how it is added up.

    Attributes:
        by: what rows stand for; one row for all if empty.
        first, last: the months from and to which, both included.
        user, vo, flavor: only these; empty text: all.
    """

    by: tuple[By, ...]
    first: Month
    last: Month
    user: str = ""
    vo: str = ""
    flavor: str = ""

    @property
    def months(self) -> list[Month]:
        """All months it is about."""
        return list(self.first.until(self.last))

    def parts(self) -> Iterator["Question"]:
        """Questions that together answer this one: where rows are of one month, one for each."""
        if {By.MONTH, By.DAY}.isdisjoint(self.by):
            yield self
            return
        for month in self.months:
            yield replace(self, first=month, last=month)


@dataclass(frozen=True, slots=True)
class Usage:
    """A row of a summary.

    Attributes:
        key: what it stands for, by the question's ``by``; months and days as ISO 8601.
        pods: notebooks.
        users: distinct users, as records show them.
        wall_seconds, cpu_seconds: used within the row's time.
        core_seconds: wall time, times the cores that each notebook had.
        memory_mb_seconds: wall time, times the MB of memory that each had.
        gpu_seconds: wall time, times the GPUs that each had.
        pods_without_cpu: those whose CPU time is unknown, which counts as nothing here.
    """

    key: dict[str, str]
    pods: int
    users: int
    wall_seconds: int
    cpu_seconds: int
    core_seconds: float
    memory_mb_seconds: float
    gpu_seconds: float
    pods_without_cpu: int


_Revision = tuple[int, int, int]
_Key = tuple[Viewer, Question, tuple[_Revision, ...]]
_MOST_KEPT = 1000


def known_months(database: Database) -> tuple[Month, Month] | None:
    """The first and the last month of which there are records; None if there are none."""
    with database.begin(reading=True) as connection:
        found = connection.execute(select(revisions.c.year, revisions.c.month)).all()
    months = [Month(year, month) for year, month in found]
    return (min(months), max(months)) if months else None


def _month_of(ordinal: int) -> Month:
    return Month(ordinal // 12, ordinal % 12 + 1)


class Summaries:
    """Adds up, and keeps what it has added up until a record of those months is written.

    Closed months are added up once. Several who ask the same at once wait for one answer.

    Args:
        database: the ledger's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Future[list[Usage]]] = OrderedDict()

    def version(self, months: Sequence[Month]) -> list[_Revision]:
        """The revisions of those months that have records; equal: nothing was written."""
        query = select(revisions).order_by(revisions.c.year, revisions.c.month)
        with self.database.begin(reading=True) as connection:
            rows = connection.execute(query).all()
        wanted = set(months)
        return [tuple(row) for row in rows if (row.year, row.month) in wanted]

    def summary(self, viewer: Viewer, question: Question) -> list[Usage]:
        """The sums of a question, sorted by what they stand for.

        Raises:
            Forbidden: the viewer may not ask for that user or VO.
        """
        found: list[Usage] = []
        for part in question.parts():
            version = tuple(self.version(part.months))
            found += self._once(
                (viewer, part, version), partial(_sums, self.database, viewer, part)
            )
        order = [by.value for by in question.by]
        return sorted(found, key=lambda usage: [usage.key[name] for name in order])

    def _once(self, key: _Key, find: Callable[[], list[Usage]]) -> list[Usage]:
        with self._lock:
            kept = self._kept.get(key)
            if is_ours := kept is None:
                kept = self._kept[key] = Future()
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        if is_ours:
            try:
                kept.set_result(find())
            except BaseException as exc:  # noqa: BLE001 - every waiting thread gets it
                with self._lock:
                    self._kept.pop(key, None)
                kept.set_exception(exc)
        return kept.result()


def _sums(database: Database, viewer: Viewer, question: Question) -> list[Usage]:
    parts = _by_day(viewer, question) if By.DAY in question.by else _used(viewer, question)
    found = parts.subquery("parts")
    # As expressions: SQLite would otherwise read all records in the order of an index on users.
    keys = [func.coalesce(found.c[by.value], literal_column("NULL")) for by in question.by]
    c = found.c
    # A notebook has a row per month: in a row for several months, it still counts once.
    once = len(question.months) == 1
    query = select(
        *keys,
        func.count() if once else func.count(c.uid.distinct()),
        func.count(c.user.distinct()),
        func.sum(c.wall),
        func.coalesce(func.sum(c.cpu), 0),
        *(func.coalesce(func.sum(c[name]), 0.0) for name in _INTEGRALS),
        func.sum(case((c.cpu.is_(None), 1), else_=0)),
    )
    if keys:
        query = query.group_by(*keys)
    with database.begin(reading=True) as connection:
        rows = connection.execute(query).all()
        resized = _resized_by_day(connection, viewer, question) if By.DAY in question.by else {}
    usages = [_usage(question, row) for row in rows if row[len(keys)]]
    return [_with(usage, resized.get(tuple(usage.key.values()))) for usage in usages]


_DESCRIBED = ("uid", "vo", "user", "flavor", "image")
_INTEGRALS = ("core_seconds", "memory_mb_seconds", "gpu_seconds")


def _used(viewer: Viewer, question: Question) -> Select[Any]:
    """Per pod and month: what was used within it."""
    c = records.c
    return select(
        *(c[name] for name in _DESCRIBED),
        _ordinal(c.year, c.month).label("month"),
        c.used_wall_seconds.label("wall"),
        c.used_cpu_seconds.label("cpu"),
        *(c[name] for name in _INTEGRALS),
    ).where(*_asked(viewer, question))


def _asked(viewer: Viewer, question: Question) -> list[ColumnElement[bool]]:
    c = records.c
    asked = Selection(user=question.user, vo=question.vo)
    conditions = [*allowed(viewer, asked), _within(question)]
    if question.user and question.user != viewer.user:
        conditions.append(c.user == question.user)
    if question.vo:
        conditions.append(c.vo == question.vo)
    if question.flavor:
        conditions.append(c.flavor == question.flavor)
    return conditions


def _within(question: Question) -> ColumnElement[bool]:
    year, month = records.c.year, records.c.month
    if question.first == question.last:
        return and_(year == question.first.year, month == question.first.month)
    of_month = tuple_(year, month)
    return and_(of_month >= tuple_(*question.first), of_month <= tuple_(*question.last))


def _by_day(viewer: Viewer, question: Question) -> Select[Any]:
    """Per pod and day of one month: its part of what was used within the month.

    Most pods live on one day only: those need no part to be found, and are by far the quicker way.
    """
    month = question.first
    c = records.c
    until, wall, cpu = c.created_at, c.used_wall_seconds, c.used_cpu_seconds
    # What was used before the month began, but counts for it, counts on its first day.
    begun = _greater((until - wall) // _DAY, literal(month.start // _DAY))
    ended = _greater(until - 1, until - wall) // _DAY
    described = (*(c[name] for name in _DESCRIBED), _ordinal(c.year, c.month).label("month"))
    asked = _asked(viewer, question)
    # What was held all the time; of the others, see `_resized_by_day`.
    held = [case((c.spans == _NO_SPANS, c[name])).label(name) for name in _INTEGRALS]
    short = select(*described, ended.label("day"), wall.label("wall"), cpu.label("cpu"), *held)
    days = _days(month)
    low = case((days.c.day == begun, until - wall), else_=days.c.day * _DAY)
    high = case((days.c.day == ended, until), else_=(days.c.day + 1) * _DAY)
    before, after = (cpu * (edge - until + wall) // wall for edge in (low, high))
    shares = [(each * (high - low) / wall).label(each.name) for each in held]
    parts = ((high - low).label("wall"), (after - before).label("cpu"), *shares)
    long = select(*described, days.c.day, *parts).select_from(
        # Every record matches a day; the OUTER join keeps SQLite's join order.
        records.outerjoin(days, and_(days.c.day >= begun, days.c.day <= ended))
    )
    both = union_all(
        short.where(*asked, begun >= ended), long.where(*asked, begun < ended)
    ).subquery("by_day")
    return select(both)


_NO_SPANS = "[]"


def _resized_by_day(
    connection: Connection, viewer: Viewer, question: Question
) -> dict[tuple[str, ...], list[float]]:
    """By the rows' keys: what those pods held that were resized within the month."""
    c = records.c
    month = question.first
    query = select(
        *(c[name] for name in _DESCRIBED), c.created_at, c.used_wall_seconds, c.spans
    ).where(*_asked(viewer, question), c.spans != _NO_SPANS)
    held: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0] * len(_INTEGRALS))
    for row in connection.execute(query):
        named = dict(zip(_DESCRIBED, row, strict=False)) | {By.MONTH.value: str(month)}
        begun = row.created_at - row.used_wall_seconds
        for day, sums in holdings.by_day(spans_of(row.spans), begun, month).items():
            key = tuple(
                _shown(by, day) if by is By.DAY else str(named[by.value]) for by in question.by
            )
            for place, amount in enumerate(sums):
                held[key][place] += amount
    return held


def _with(usage: Usage, more: Sequence[float] | None) -> Usage:
    if more is None:
        return usage
    sums = {
        name: round(getattr(usage, name) + amount, 3)
        for name, amount in zip(_INTEGRALS, more, strict=True)
    }
    return replace(usage, **sums)


def _greater(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of two; the engines name it differently."""
    return case((one > other, one), else_=other)


def _days(month: Month) -> CTE:
    days = range(month.start // _DAY, month.end // _DAY)
    return values(column("day", Integer), name="days").data([(day,) for day in days]).cte("days")


def _ordinal(year: ColumnElement[int], month: ColumnElement[int]) -> ColumnElement[int]:
    """A month as one number that counts on over the years."""
    return year * 12 + month - literal(1)


def _usage(question: Question, row: Sequence[Any]) -> Usage:
    count = len(question.by)
    key = {by.value: _shown(by, value) for by, value in zip(question.by, row, strict=False)}
    pods, users, wall, cpu, cores, memory, gpus, unknown = row[count:]
    return Usage(
        key,
        pods,
        users,
        int(wall),
        int(cpu),
        round(float(cores), 3),
        round(float(memory), 3),
        round(float(gpus), 3),
        int(unknown),
    )


def _shown(by: By, value: Any) -> str:
    if by is By.MONTH:
        return str(_month_of(value))
    if by is By.DAY:
        return datetime.fromtimestamp(value * _DAY, UTC).date().isoformat()
    return str(value)
