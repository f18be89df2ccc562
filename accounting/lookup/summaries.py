"""What was used within months, added up by any of month, day, VO, user, flavour and image.

Records are cumulative: what a pod's record of the month before says is taken off, as the
repository's summariser does (apel.md, rule 3). So the sums are the ledger's, and APEL's.

Days: wall time lies between a pod's start and its last sample without a break, so each day's part
of it is exact. CPU time is known at month ends and at the last sample only: each day gets its part
in proportion to its wall time, in whole seconds that add up to the month's exactly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Subquery,
    and_,
    case,
    column,
    func,
    literal,
    or_,
    select,
    values,
)

from accounting.access import Viewer
from accounting.database import Database
from accounting.lookup.records import allowed
from accounting.model import Month
from accounting.register import Selection, narrowed
from accounting.tables import progress, records, windows

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

    key: Mapping[str, str]
    pods: int
    users: int
    wall_seconds: int
    cpu_seconds: int
    core_seconds: float
    memory_mb_seconds: float
    gpu_seconds: float
    pods_without_cpu: int


def known_months(database: Database) -> tuple[Month, Month] | None:
    """The first and the last month of which there are records; None if there are none."""
    key = records.c.year * 12 + records.c.month - 1
    with database.begin(reading=True) as connection:
        first, last = connection.execute(select(func.min(key), func.max(key))).one()
    if first is None:
        return None
    return Month(first // 12, first % 12 + 1), Month(last // 12, last % 12 + 1)


def version(database: Database, months: Sequence[Month]) -> list[Any]:
    """Changes whenever a record of these months may have; equal: nothing did."""
    query = select(
        select(func.max(windows.c.polled_at)).scalar_subquery(),
        select(func.max(progress.c.revision)).scalar_subquery(),
    )
    with database.begin(reading=True) as connection:
        return [*map(str, months), *connection.execute(query).one()]


def summary(database: Database, viewer: Viewer, question: Question) -> list[Usage]:
    """The sums of a question, sorted by what they stand for.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    used = _used(viewer, question)
    by_day = By.DAY in question.by
    parts = _daily(used, question) if by_day else used
    keys = [_key(by, parts) for by in question.by]
    unique = len(question.months) == 1 or (By.MONTH in question.by and not by_day) or by_day
    pods = func.count() if unique else func.count(parts.c.uid.distinct())
    wall = parts.c.wall
    query = select(
        *keys,
        pods,
        func.count(parts.c.user.distinct()),
        func.sum(wall),
        func.sum(parts.c.cpu),
        func.coalesce(func.sum(wall * parts.c.cpu_count), 0.0),
        func.coalesce(func.sum(wall * parts.c.memory_mb), 0),
        func.coalesce(func.sum(wall * parts.c.gpu_count), 0.0),
        func.sum(parts.c.unknown),
    )
    if keys:
        query = query.group_by(*keys).order_by(*keys)
    with database.begin(reading=True) as connection:
        rows = connection.execute(query).all()
    return [_usage(question, row) for row in rows if row[len(keys)]]


def _used(viewer: Viewer, question: Question) -> Subquery:
    """Per pod and month: what was used within it, and until when."""
    now, before = records, records.alias("before")
    selection = Selection(
        user="" if question.user == viewer.user else question.user,
        vo=question.vo,
        flavor=question.flavor,
    )
    asked = Selection(user=question.user, vo=question.vo)
    n, b = now.c, before.c
    last_month = and_(
        b.uid == n.uid,
        b.year == case((n.month == 1, n.year - 1), else_=n.year),
        b.month == case((n.month == 1, 12), else_=n.month - 1),
    )
    query = (
        select(
            n.uid,
            n.year,
            n.month,
            n.vo,
            n.user,
            n.flavor,
            n.image,
            n.created_at.label("until"),
            (n.wall_seconds - func.coalesce(b.wall_seconds, 0)).label("wall"),
            (func.coalesce(n.cpu_seconds, 0) - func.coalesce(b.cpu_seconds, 0)).label("cpu"),
            case((n.cpu_seconds.is_(None), 1), else_=0).label("unknown"),
            n.cpu_count,
            n.memory_mb,
            n.gpu_count,
        )
        .select_from(now.outerjoin(before, last_month))
        .where(*allowed(viewer, asked), _within(n.year, n.month, question))
    )
    return narrowed(query, selection).subquery("used")


def _within(year: Any, month: Any, question: Question) -> ColumnElement[bool]:
    by_year: dict[int, list[int]] = {}
    for wanted in question.months:
        by_year.setdefault(wanted.year, []).append(wanted.month)
    return or_(*(and_(year == y, month.in_(found)) for y, found in by_year.items()))


def _daily(used: Subquery, question: Question) -> Subquery:
    """The same, per pod and day."""
    days = _days(question)
    u, d = used.c, days.c
    begun = u.until - u.wall
    # What was used before the month began, but counts for it, counts on its first day.
    low = case((d.is_first == 1, begun), else_=func_max(begun, d.start))
    high = func_min(u.until, d.end)
    part = [u.cpu * (edge - begun) // u.wall for edge in (low, high)]
    touches = or_(
        and_(u.wall > 0, begun < d.end, or_(d.is_first == 1, u.until > d.start)),
        and_(u.wall <= 0, u.until >= d.start, u.until < d.end),
    )
    on = and_(d.year == u.year, d.month == u.month, touches)
    return (
        select(
            u.uid, u.year, u.month, u.vo, u.user, u.flavor, u.image, u.unknown,
            u.cpu_count, u.memory_mb, u.gpu_count,
            d.start.label("day"),
            case((u.wall > 0, high - low), else_=u.wall).label("wall"),
            case((u.wall > 0, part[1] - part[0]), else_=u.cpu).label("cpu"),
        )
        .select_from(used.join(days, on))
        .subquery("daily")
    )  # fmt: skip


def func_max(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of two; the engines name it differently."""
    return case((one > other, one), else_=other)


def func_min(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    """The lesser of two."""
    return case((one < other, one), else_=other)


def _days(question: Question) -> CTE:
    rows = [
        (month.year, month.month, start, start + _DAY, int(start == month.start))
        for month in question.months
        for start in range(month.start, month.end, _DAY)
    ]
    names = ("year", "month", "start", "end", "is_first")
    return values(*(column(name, Integer) for name in names), name="days").data(rows).cte("days")


def _key(by: By, parts: Subquery) -> ColumnElement[Any]:
    if by is By.MONTH:
        return parts.c.year * 12 + parts.c.month - literal(1)
    return parts.c[by.value]


def _usage(question: Question, row: Sequence[Any]) -> Usage:
    count = len(question.by)
    key = {by.value: _shown(by, value) for by, value in zip(question.by, row, strict=False)}
    pods, users, wall, cpu, cores, memory, gpus, unknown = row[count:]
    return Usage(
        key, pods, users, int(wall), int(cpu),
        round(float(cores), 3), round(float(memory), 3), round(float(gpus), 3), int(unknown),
    )  # fmt: skip


def _shown(by: By, value: Any) -> str:
    if by is By.MONTH:
        return str(Month(value // 12, value % 12 + 1))
    if by is By.DAY:
        month = Month.of(value)
        return f"{month}-{(value - month.start) // _DAY + 1:02d}"
    return str(value)
