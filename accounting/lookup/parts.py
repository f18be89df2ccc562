"""A pod's part of what was used, by month or by day, as SQL over the records."""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    Select,
    and_,
    case,
    column,
    literal,
    select,
    union_all,
    values,
)

from accounting.model.time import Month
from accounting.store.tables import records

DAY_SECONDS = 86400
DESCRIBED = ("uid", "vo", "user", "flavor", "image")
INTEGRALS = ("core_seconds", "memory_mb_seconds", "gpu_seconds")
TAKEN = ("joules", "energy_quality")
"""A pod's energy within the month, and how well it is known."""
NO_SPANS = "[]"
"""Of records whose pods were not resized in the month."""


def by_month(asked: list[ColumnElement[bool]]) -> Select[Any]:
    """Per pod and month: what was used within it."""
    c = records.c
    return select(
        *(c[name] for name in DESCRIBED),
        ordinal(c.year, c.month).label("month"),
        c.used_wall_seconds.label("wall"),
        c.used_cpu_seconds.label("cpu"),
        *(c[name] for name in (*INTEGRALS, *TAKEN)),
    ).where(*asked)


def by_day(month: Month, asked: list[ColumnElement[bool]]) -> Select[Any]:
    """Per pod and day of one month: its part of what was used within the month.

    Most pods live on one day only: those need no part to be found, and are by far the quicker way.
    """
    c = records.c
    until, wall, cpu = c.created_at, c.used_wall_seconds, c.used_cpu_seconds
    # What was used before the month began, but counts for it, counts on its first day.
    begun = _greater((until - wall) // DAY_SECONDS, literal(month.start // DAY_SECONDS))
    ended = _greater(until - 1, until - wall) // DAY_SECONDS
    described = (*(c[name] for name in DESCRIBED), ordinal(c.year, c.month).label("month"))
    # What was held all the time; of the others, see ``summaries``.
    held = [case((c.spans == NO_SPANS, c[name])).label(name) for name in INTEGRALS]
    figures = (wall.label("wall"), cpu.label("cpu"), *held, *(c[name] for name in TAKEN))
    short = select(*described, ended.label("day"), *figures)
    days = _days(month)
    low = case((days.c.day == begun, until - wall), else_=days.c.day * DAY_SECONDS)
    high = case((days.c.day == ended, until), else_=(days.c.day + 1) * DAY_SECONDS)
    before, after = (cpu * (edge - until + wall) // wall for edge in (low, high))
    shares = [(each * (high - low) / wall).label(each.name) for each in (*held, c.joules)]
    parts = ((high - low).label("wall"), (after - before).label("cpu"), *shares)
    long = select(*described, days.c.day, *parts, c.energy_quality).select_from(
        # Every record matches a day; the OUTER join keeps SQLite's join order.
        records.outerjoin(days, and_(days.c.day >= begun, days.c.day <= ended))
    )
    both = union_all(
        short.where(*asked, begun >= ended), long.where(*asked, begun < ended)
    ).subquery("by_day")
    return select(both)


def _greater(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of two; the engines name it differently."""
    return case((one > other, one), else_=other)


def _days(month: Month) -> CTE:
    days, name = (
        range(month.start // DAY_SECONDS, month.end // DAY_SECONDS),
        f"days_{month.year}_{month.month}",
    )
    return values(column("day", Integer), name=name).data([(day,) for day in days]).cte(name)


def ordinal(year: ColumnElement[int], month: ColumnElement[int]) -> ColumnElement[int]:
    """A month as one number that counts on over the years."""
    return year * 12 + month - literal(1)
