"""The comparisons with the accounting portal, as they were made."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import func, insert, select, tuple_

from accounting.model.reconciliation import Cause, Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.store.engine.database import Database
from accounting.store.tables import reconciliations


class Reconciliations:
    """Keeps and finds them.

    Args:
        database: the ledger's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def keep(self, made: Reconciliation) -> None:
        """Add one."""
        values = {
            "destination": made.destination,
            **made.month._asdict(),
            "made_at": made.made_at,
            "source": made.source,
            "unit": made.unit.value,
            "is_partial": made.is_partial,
            "lines": json.dumps([asdict(line) for line in made.lines]),
        }
        with self.database.begin() as connection:
            connection.execute(insert(reconciliations).values(values))

    def kept(
        self,
        month: Month | None = None,
        destination: str = "",
        *,
        latest: bool = False,
        most: int | None = 100,
    ) -> list[Reconciliation]:
        """The last ones, the latest first.

        Args:
            month: only of that month.
            destination: only of that destination.
            latest: only the last one of each month and destination.
            most: at most so many; None: all.
        """
        c = reconciliations.c
        query = select(reconciliations).order_by(c.made_at.desc(), c.year.desc(), c.month.desc())
        if month is not None:
            query = query.where(c.year == month.year, c.month == month.month)
        if destination:
            query = query.where(c.destination == destination)
        if latest:
            key = (c.destination, c.year, c.month)
            last = select(*key, func.max(c.made_at)).group_by(*key)
            query = query.where(tuple_(*key, c.made_at).in_(last))
        with self.database.begin(reading=True) as connection:
            return [_made(row) for row in connection.execute(query.limit(most))]

    def latest(self) -> list[Reconciliation]:
        """The last one of each month and destination."""
        return self.kept(latest=True, most=None)


def _made(row: Any) -> Reconciliation:
    return Reconciliation(
        Month(row.year, row.month),
        row.destination,
        row.made_at,
        row.source,
        Unit(row.unit),
        row.is_partial,
        [_line(one) for one in json.loads(row.lines)],
    )


def _line(given: Mapping[str, Any]) -> Line:
    return Line(
        given["site"],
        given["vo"],
        Used(**given["shown"]),
        Used(**given["delivered"]),
        Cause(given["cause"]),
        given["detail"],
        tuple(given["messages"]),
    )
