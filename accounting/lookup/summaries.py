"""What was used within months, added up by any of month, day, VO, user, flavour and image.

The sums are of what records say was used within their month: of what was measured. Beside them
stands what of it goes out to the repository, and what was delivered (``outgoing``).

Days: wall time lies between a pod's start and its last sample without a break, so each day's part
of it is exact. CPU time is known at month ends and at the last sample only: each day gets its part
in proportion to its wall time, in whole seconds that add up to the month's exactly. What was held
is exact, too: of pods that were resized in the month, a record has each size and for how long.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)

from accounting.lookup import outgoing, parts
from accounting.lookup.outgoing import NOTHING, Lacking, Part
from accounting.lookup.records import allowed
from accounting.model.energy import EnergyQuality
from accounting.model.time import Month
from accounting.records import holdings
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.records import Selection
from accounting.store.rows import spans_of
from accounting.store.tables import records, revisions

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
        user, vo, flavor, image: only these; empty text: all.
        contains: (one of those, a part of its text), whatever its case.
        days: only these days, as days since 1970, both included; None: all of the months.
    """

    by: tuple[By, ...]
    first: Month
    last: Month
    user: str = ""
    vo: str = ""
    flavor: str = ""
    image: str = ""
    contains: tuple[tuple[By, str], ...] = ()
    days: tuple[int, int] | None = None

    @property
    def months(self) -> list[Month]:
        """All months it is about."""
        return list(self.first.until(self.last))

    @property
    def is_by_months(self) -> bool:
        """Whether it is about whole months, as the repository is given them."""
        return self.days is None and By.DAY not in self.by

    def months_by_day(self) -> list[Month]:
        """The months of which days are told apart, or only some are asked for."""
        if By.DAY in self.by:
            return self.months
        if self.days is None:
            return []
        first, last = self.days
        return [
            month
            for month in self.months
            if month.start < first * parts.DAY_SECONDS or (last + 1) * parts.DAY_SECONDS < month.end
        ]

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
        joules: energy, as far as it is known; ``joules_estimated`` is the part that is estimated.
        pods_without_energy: those of which not all energy is known, which counts as nothing here.
        goes_out: what is not held back.
        delivered: what the repository was given so far; None where days are told apart: it is
            given months.
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
    joules: float = 0.0
    joules_estimated: float = 0.0
    pods_without_energy: int = 0
    goes_out: Part = NOTHING
    delivered: Part | None = None

    @property
    def energy_quality(self) -> EnergyQuality:
        """How well the energy is known: that of the worst part."""
        if self.joules_estimated:
            return EnergyQuality.ESTIMATED
        if not self.joules:
            return EnergyQuality.NONE
        return EnergyQuality.PARTLY if self.pods_without_energy else EnergyQuality.MEASURED

    @property
    def measured(self) -> Part:
        """The figures that ``goes_out`` and ``delivered`` are parts of."""
        return Part(self.pods, self.wall_seconds, self.cpu_seconds)

    @property
    def differs(self) -> bool:
        """Whether not all that was measured goes out, or not all was delivered."""
        return {self.goes_out, self.delivered or self.goes_out} != {self.measured}


_Revision = tuple[int, int, int]
_Key = tuple[Any, ...]
_MOST_KEPT = 1000
_Found = TypeVar("_Found")
_Lacking = tuple[Mapping[tuple[str, ...], Lacking], Lacking]


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
        self._kept: OrderedDict[_Key, Future[Any]] = OrderedDict()

    def version(self, months: Sequence[Month]) -> list[_Revision]:
        """The revisions of those months that have records; equal: nothing was written."""
        query = select(revisions).order_by(revisions.c.year, revisions.c.month)
        with self.database.begin(reading=True) as connection:
            rows = connection.execute(query).all()
        wanted = set(months)
        return [tuple(row) for row in rows if (row.year, row.month) in wanted]

    def deliveries(self) -> outgoing.Version:
        """Equal: nothing was delivered meanwhile."""
        return outgoing.version(self.database)

    def summary(self, viewer: Viewer, question: Question) -> list[Usage]:
        """The sums of a question, sorted by what they stand for.

        Raises:
            Forbidden: the viewer may not ask for that user or VO.
        """
        found: list[Usage] = []
        deliveries = self.deliveries()
        for part in question.parts():
            known = (viewer, part, tuple(self.version(part.months)))
            sums = self._once(("measured", *known), partial(_sums, self.database, viewer, part))
            lacking = self._once(
                ("lacking", *known, deliveries), partial(_lacking, self.database, viewer, part)
            )
            found += [_told(question, usage, lacking) for usage in sums]
        order = [by.value for by in question.by]
        return sorted(found, key=lambda usage: [usage.key[name] for name in order])

    def names(self, viewer: Viewer, month: Month, most: int) -> Mapping[By, list[str]]:
        """Names that a month's records have, as far as the viewer may know; in order, some of them.

        Args:
            viewer: who looks.
            month: which month.
            most: at most so many of each.
        """
        key = ("names", viewer, month, most, tuple(self.version([month])))
        return self._once(key, partial(_names, self.database, viewer, month, most))

    def _once(self, key: _Key, find: Callable[[], _Found]) -> _Found:
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
        return cast("_Found", kept.result())


def _sums(
    database: Database, viewer: Viewer, question: Question, *more: ColumnElement[bool]
) -> list[Usage]:
    """The sums of what was measured.

    Args:
        database: the ledger's.
        viewer: who looks.
        question: about what.
        more: further conditions on ``records``.
    """
    found = _parts(question, [*_asked(viewer, question), *more]).subquery("parts")
    # As expressions: SQLite would otherwise read all records in the order of an index on users.
    keys = [func.coalesce(found.c[by.value], literal_column("NULL")) for by in question.by]
    c = found.c
    # A notebook has a row per month: in a row for several months, it still counts once.
    once = len(question.months) == 1 and (question.days is None or By.DAY in question.by)
    query = select(
        *keys,
        func.count() if once else func.count(c.uid.distinct()),
        func.count(c.user.distinct()),
        func.sum(c.wall),
        func.coalesce(func.sum(c.cpu), 0),
        *(func.coalesce(func.sum(c[name]), 0.0) for name in parts.INTEGRALS),
        func.sum(case((c.cpu.is_(None), 1), else_=0)),
        func.coalesce(func.sum(c.joules), 0.0),
        func.coalesce(func.sum(case((c.energy_quality == _ESTIMATED, c.joules))), 0.0),
        func.sum(case((c.joules.is_(None) | (c.energy_quality == _PARTLY), 1), else_=0)),
    )
    if keys:
        query = query.group_by(*keys)
    with database.begin(reading=True) as connection:
        rows = connection.execute(query).all()
        resized = _resized(connection, question, [*_asked(viewer, question), *more])
    usages = [_usage(question, row) for row in rows if row[len(keys)]]
    return [_with(usage, resized.get(tuple(usage.key.values()))) for usage in usages]


def _names(database: Database, viewer: Viewer, month: Month, most: int) -> Mapping[By, list[str]]:
    found = {}
    with database.begin(reading=True) as connection:
        for by in (By.VO, By.USER, By.FLAVOR, By.IMAGE):
            column = records.c[by.value]
            query = select(column).where(viewer.restriction(), _of(month), column != "")
            names = query.distinct().order_by(column).limit(most)
            found[by] = list(connection.scalars(names))
    return found


def _told(question: Question, usage: Usage, lacking: _Lacking) -> Usage:
    """A row with what of it goes out and was delivered."""
    found, usual = lacking
    lacks = found.get(tuple(usage.key[by.value] for by in question.by), usual)
    measured = usage.measured
    told = None if lacks.delivered is None else measured.more(lacks.delivered)
    if told is None and question.is_by_months:  # nothing was delivered yet
        told = Part()
    return replace(usage, goes_out=measured.more(lacks.goes_out), delivered=told)


def _lacking(database: Database, viewer: Viewer, question: Question) -> _Lacking:
    """By the question's keys: what of the measured usage does not go out, or was not delivered.

    Returns:
        That, and what holds of all other keys.
    """
    c = records.c
    if not question.is_by_months:
        held = c.held != literal_column("''")
        some = c.uid.in_(select(c.uid).where(held))
        usual = Lacking(delivered=None)
        return {
            tuple(one.key.values()): replace(
                usual, goes_out=Part(-one.pods, -one.wall_seconds, -one.cpu_seconds)
            )
            for one in _sums(database, viewer, question, some, held)
        }, usual
    keys = [parts.ordinal(c.year, c.month) if by is By.MONTH else c[by.value] for by in question.by]
    rows, usual = outgoing.lacking(database, _asked(viewer, question), question.months, keys)
    return {
        tuple(_shown(by, value) for by, value in zip(question.by, key, strict=True)): lacks
        for key, lacks in rows.items()
    }, usual


def _parts(question: Question, asked: list[ColumnElement[bool]]) -> Select[Any]:
    """Per pod: what was used, by month or by day as the question needs it."""
    if By.DAY in question.by:
        return _within_days(parts.by_day(question.first, asked), question)
    if question.days is None:
        return parts.by_month(asked)
    found, in_part = [], question.months_by_day()
    for month in question.months:
        within = [*asked, _of(month)]
        if month not in in_part:
            found.append(parts.by_month(within))
            continue
        by_day = _within_days(parts.by_day(month, within), question).subquery()
        found.append(select(*(by_day.c[name] for name in (*parts.DESCRIBED, "month", *_FIGURES))))
    return found[0] if len(found) == 1 else select(union_all(*found).subquery("of_days"))


def _within_days(by_day: Select[Any], question: Question) -> Select[Any]:
    if question.days is None:
        return by_day
    found = by_day.subquery("all_days")
    return select(found).where(found.c.day.between(*question.days))


_FIGURES = ("wall", "cpu", *parts.INTEGRALS, *parts.TAKEN)
_ESTIMATED, _PARTLY = EnergyQuality.ESTIMATED.value, EnergyQuality.PARTLY.value


def _asked(viewer: Viewer, question: Question) -> list[ColumnElement[bool]]:
    c = records.c
    asked = Selection(user=question.user, vo=question.vo)
    conditions = [*allowed(viewer, asked), _within(question)]
    if question.user and question.user != viewer.user:
        conditions.append(c.user == question.user)
    if question.vo:
        conditions.append(c.vo == question.vo)
    exact = {"flavor": question.flavor, "image": question.image}
    conditions += [c[name] == value for name, value in exact.items() if value]
    conditions += [c[by.value].icontains(text, autoescape=True) for by, text in question.contains]
    return conditions


def _of(month: Month) -> ColumnElement[bool]:
    return and_(records.c.year == month.year, records.c.month == month.month)


def _within(question: Question) -> ColumnElement[bool]:
    if question.first == question.last:
        return _of(question.first)
    of_month = tuple_(records.c.year, records.c.month)
    return and_(of_month >= tuple_(*question.first), of_month <= tuple_(*question.last))


def _resized(
    connection: Connection, question: Question, asked: Sequence[ColumnElement[bool]]
) -> dict[tuple[str, ...], list[float]]:
    """By the rows' keys: what those pods held by day that were resized within a month."""
    c = records.c
    first, last = question.days or (
        question.first.start // parts.DAY_SECONDS,
        question.last.end // parts.DAY_SECONDS,
    )
    held: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0] * len(parts.INTEGRALS))
    for month in question.months_by_day():
        query = select(
            *(c[name] for name in parts.DESCRIBED), c.created_at, c.used_wall_seconds, c.spans
        ).where(*asked, _of(month), c.spans != parts.NO_SPANS)
        for row in connection.execute(query):
            named = dict(zip(parts.DESCRIBED, row, strict=False)) | {By.MONTH.value: str(month)}
            begun = row.created_at - row.used_wall_seconds
            for day, sums in holdings.by_day(spans_of(row.spans), begun, month).items():
                if not first <= day <= last:
                    continue
                named[By.DAY.value] = _shown(By.DAY, day)
                key = tuple(str(named[by.value]) for by in question.by)
                for place, amount in enumerate(sums):
                    held[key][place] += amount
    return held


def _with(usage: Usage, more: Sequence[float] | None) -> Usage:
    if more is None:
        return usage
    sums = {
        name: round(getattr(usage, name) + amount, 3)
        for name, amount in zip(parts.INTEGRALS, more, strict=True)
    }
    return replace(usage, **sums)


def _usage(question: Question, row: Sequence[Any]) -> Usage:
    count = len(question.by)
    key = {by.value: _shown(by, value) for by, value in zip(question.by, row, strict=False)}
    pods, users, wall, cpu, cores, memory, gpus, unknown, joules, guessed, lacking = row[count:]
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
        round(float(joules), 3),
        round(float(guessed), 3),
        int(lacking),
    )


def _shown(by: By, value: Any) -> str:
    if by is By.MONTH:
        return str(_month_of(value))
    if by is By.DAY:
        return datetime.fromtimestamp(value * parts.DAY_SECONDS, UTC).date().isoformat()
    return str(value)
