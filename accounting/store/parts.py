"""A pod's part of what was used, by month or by day, as SQL over the records."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Select,
    and_,
    case,
    literal,
    literal_column,
    select,
    union_all,
)

from accounting.model.energy import EnergyQuality
from accounting.model.time import Month
from accounting.store.tables import records

DAY_SECONDS = 86400
DESCRIBED = ("uid", "vo", "user", "flavor", "image")
INTEGRALS = ("core_seconds", "memory_mb_seconds", "gpu_seconds")
TAKEN = ("joules", "energy_quality")
"""A pod's energy within the month, and how well it is known."""
SUMMED = ("joules", "joules_estimated", "without_energy")
"""What sums take of that: see ``energy``."""
NO_SPANS = "[]"
"""Of records whose pods were not resized in the month."""


is_apart: ColumnElement[Any] = literal_column("records.apart")
"""The condition of a record that no total has (see ``totals``); written so that an index fits."""


def of_apart(query: Select[Any]) -> Select[Any]:
    """A query of records that are apart: SQLite would rather read their whole month."""
    hint = "INDEXED BY ix_records_apart"
    return query.where(is_apart).with_hint(records, hint, dialect_name="sqlite")


def by_month(asked: list[ColumnElement[bool]], *, apart: bool = False) -> Select[Any]:
    """Per pod and month: what was used within it.

    Args:
        asked: conditions on ``records``.
        apart: only those that no total has.
    """
    c = records.c
    found = select(
        *(c[name] for name in DESCRIBED),
        ordinal(c.year, c.month).label("month"),
        c.used_wall_seconds.label("wall"),
        c.used_cpu_seconds.label("cpu"),
        *(c[name] for name in (*INTEGRALS, *TAKEN)),
    ).where(*asked)
    return of_apart(found) if apart else found


def by_day(month: Month, asked: list[ColumnElement[bool]], *, apart: bool = False) -> Select[Any]:
    """Per pod and day of one month: its part of what was used within the month.

    ``begins`` is 1 on the very first of a pod's days, and 0 on the others.

    Most pods live on one day only: those need no part to be found, and are by far the quicker way.
    """
    source: Any = records
    if apart:  # both queries below look at them: each is looked up once
        c = records.c
        times = ("year", "month", "start_at", "created_at")
        names = (*times, "used_wall_seconds", "used_cpu_seconds", "spans")
        needed = (c[name] for name in (*DESCRIBED, *names, *INTEGRALS, *TAKEN))
        source = of_apart(select(*needed).where(*asked)).cte()
        asked = []
    c = source.c
    until, wall, cpu = c.created_at, c.used_wall_seconds, c.used_cpu_seconds
    # What was used before the month began, but counts for it, counts on its first day.
    begun = _greater((until - wall) // DAY_SECONDS, literal(month.start // DAY_SECONDS))
    ended = _greater(until - 1, until - wall) // DAY_SECONDS
    described = (*(c[name] for name in DESCRIBED), ordinal(c.year, c.month).label("month"))
    # What was held all the time; of the others, see ``summaries``.
    held = [case((c.spans == NO_SPANS, c[name])).label(name) for name in INTEGRALS]
    short = select(
        *described,
        ended.label("day"),
        wall.label("wall"),
        cpu.label("cpu"),
        *held,
        *(c[name] for name in TAKEN),
        begins_in(month, c).label("begins"),
    )
    days = _days(month)
    low = case((days.c.day == begun, until - wall), else_=days.c.day * DAY_SECONDS)
    high = case((days.c.day == ended, until), else_=(days.c.day + 1) * DAY_SECONDS)
    before, after = (cpu * (edge - until + wall) // wall for edge in (low, high))
    shares = [(each * (high - low) / wall).label(each.name) for each in (*held, c.joules)]
    parts = ((high - low).label("wall"), (after - before).label("cpu"), *shares)
    begins = case((days.c.day == begun, begins_in(month, c)), else_=0).label("begins")
    long = select(*described, days.c.day, *parts, c.energy_quality, begins).select_from(
        # Every record matches a day; the OUTER join keeps SQLite's join order.
        source.outerjoin(days, and_(days.c.day >= begun, days.c.day <= ended))
    )
    both = [short.where(*asked, begun >= ended), long.where(*asked, begun < ended)]
    return select(union_all(*both).subquery("by_day"))


def begins_in(month: Month, c: Any) -> ColumnElement[int]:
    """1 if a record's pod has begun in its month, and 0 if that was earlier.

    Args:
        month: the record's.
        c: columns of ``records``.
    """
    return case((c.start_at >= month.start, 1), else_=0)


def energy(found: Any) -> Iterator[ColumnElement[Any]]:
    """Of a pod's part: its energy, what of it is estimated, and 1 if not all of it is known."""
    quality = found.energy_quality
    yield found.joules.label("joules")
    estimated = case((quality == EnergyQuality.ESTIMATED.value, found.joules))
    yield estimated.label("joules_estimated")
    lacks = found.joules.is_(None) | (quality == EnergyQuality.PARTLY.value)
    yield case((lacks, 1), else_=0).label("without_energy")


def _greater(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of two; the engines name it differently."""
    return case((one > other, one), else_=other)


@lru_cache(maxsize=64)  # the same each time: a query may hold it twice
def _days(month: Month) -> CTE:
    """The days of a month; with parameters, as SQLAlchemy else compiles each month's query anew."""
    first, last = month.start // DAY_SECONDS, month.end // DAY_SECONDS - 1
    days = select(literal(first).label("day")).cte(recursive=True)
    return days.union_all(select(days.c.day + 1).where(days.c.day < last))


def ordinal(year: ColumnElement[int], month: ColumnElement[int]) -> ColumnElement[int]:
    """A month as one number that counts on over the years."""
    return year * 12 + month - literal(1)
