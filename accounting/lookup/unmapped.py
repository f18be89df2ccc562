"""Flavours whose hours EOSC's accounting is not told, because the settings do not say as what."""

from dataclasses import dataclass

from sqlalchemy import func, select, tuple_

from accounting.config import Settings
from accounting.model.pods import ERASED
from accounting.model.records import Held
from accounting.model.time import Month
from accounting.records.daily import DAY_SECONDS
from accounting.store.engine.database import Database
from accounting.store.tables import records

MONTHS = 3
"""How many months are looked at, this one included: what is older was seen long ago."""
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Unmapped:
    """One flavour.

    Attributes:
        flavor: empty for notebooks that have none.
        notebooks: how many had it.
        hours: that they ran.
    """

    flavor: str
    notebooks: int
    hours: float

    @property
    def called(self) -> str:
        """Its name, for people."""
        return self.flavor or "(no flavour)"

    def __str__(self) -> str:
        return f"{self.called} ({self.hours:,.1f} h)"


def unmapped(settings: Settings, database: Database, now: float) -> list[Unmapped]:
    """Those of the last months, most hours first; none where nothing goes to EOSC.

    Raises:
        DatabaseError: the database cannot be read.
    """
    eosc = settings.eosc
    if eosc.url is None:
        return []
    first = Month.of(now)
    for _ in range(MONTHS - 1):
        first = Month.of(first.start - 1)
    c = records.c
    query = (
        select(c.flavor, func.count(c.uid.distinct()), func.sum(c.used_wall_seconds))
        .where(
            tuple_(c.year, c.month) >= tuple_(*first),
            c.created_at > eosc.first * DAY_SECONDS,
            c.held == Held.NO.value,
            c.user != ERASED,
        )
        .group_by(c.flavor)
    )
    with database.asking() as connection:
        rows = connection.execute(query).all()
    metrics = eosc.of_flavors()
    found = [
        Unmapped(flavor, pods, int(seconds) / _HOUR)
        for flavor, pods, seconds in rows
        if not metrics.knows(flavor)
    ]
    return sorted(found, key=lambda one: (-one.hours, one.flavor))
