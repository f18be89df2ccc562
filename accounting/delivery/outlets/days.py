"""Reads from the ledger how long notebooks ran on each day of a month."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select, tuple_

from accounting.model.pods import ERASED
from accounting.model.records import Held
from accounting.model.time import Month
from accounting.records.daily import Share, Spell, seconds_by_day
from accounting.store.tables import records


def of_month(connection: Connection, month: Month) -> dict[Share, int]:
    """Seconds by flavour, user, VO and day of what is not held back.

    Users who were erased are left out: what was told of them stays as it is.
    """
    return seconds_by_day(_spells(connection, month), month)


def first_month(connection: Connection, month: Month) -> Month:
    """The earliest month that the month's records tell something of.

    A record begins where the one of the month before was measured, at its last second; and one of a
    pod that was seen too late begins where the pod began.
    """
    c = records.c
    query = select(func.min(c.created_at - c.used_wall_seconds)).where(
        c.year == month.year, c.month == month.month, c.used_wall_seconds > 0
    )
    begun_at = connection.execute(query).scalar()
    return month if begun_at is None else min(month, Month.of(begun_at))


def _spells(connection: Connection, month: Month) -> Iterator[Spell]:
    """The parts of wall time that may lie in the month: of its records and of later ones."""
    c = records.c
    begun_at = c.created_at - c.used_wall_seconds
    columns = (c.flavor, c.user, c.vo, begun_at, c.created_at)
    query = select(*columns).where(
        tuple_(c.year, c.month) >= tuple_(*month),
        begun_at < month.end,
        c.held == Held.NO.value,
        c.user != ERASED,
    )
    return (Spell(*row) for row in connection.execute(query))
