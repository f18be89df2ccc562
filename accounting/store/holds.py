"""Held records that an operator was told of, and those that one acknowledged.

An acknowledgement is of one record with one reason. When the record is held for another reason, or
is held again after it was good, it is news again.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)

from accounting.model.records import Held
from accounting.model.time import Month
from accounting.store.engine.database import Database
from accounting.store.records import Selection, narrowed
from accounting.store.tables import holds, records

_h, _r = holds.c, records.c
_same_key = and_(_h.uid == _r.uid, _h.year == _r.year, _h.month == _r.month)
_same_hold = and_(_same_key, _h.held == _r.held, _h.problem == _r.problem)

is_acknowledged: ColumnElement[bool] = and_(
    _r.held != "",
    exists(
        select(1)
        .select_from(holds)
        .where(_same_hold, _h.acknowledged_at.is_not(None))
        .correlate(records)
    ),
)
"""The condition of a held record that was acknowledged."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who accepted that a record stays held.

    Attributes:
        at: Unix seconds.
        by: a hub's user, a token's purpose, or an account of the operating system.
        reason: why, in their words.
    """

    at: float
    by: str
    reason: str


class Holds:
    """Reads and keeps what was said of held records.

    Args:
        database: the ledger's.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def report(self, now: float) -> Mapping[Held, int]:
        """How many records are held that no earlier report counted, by reason.

        Args:
            now: Unix seconds.
        """
        with self.database.begin() as connection:
            return _report(connection, now)

    def untold(self, found: Mapping[tuple[str, Month], Held]) -> Mapping[Held, int]:
        """How many of these held records nobody acknowledged and no push has reported, by reason.

        Args:
            found: (pod, month) of records that are held → why.
        """
        if not found:
            return {}
        known = select(_h.uid, _h.year, _h.month).join(records, _same_hold)
        with self.database.begin(reading=True) as connection:
            told = {(row.uid, Month(row.year, row.month)) for row in connection.execute(known)}
        return Counter(reason for key, reason in found.items() if key not in told)

    def acknowledge(self, selection: Selection, by: str, reason: str, now: float) -> int:
        """Accept that the selected held records stay where they are.

        Args:
            selection: which; those that are not held are left out.
            by: who accepts it.
            reason: why.
            now: Unix seconds.

        Returns:
            How many records are held and selected.
        """
        values = {"acknowledged_at": now, "acknowledged_by": by, "reason": reason}
        return self._set(selection, now, values)

    def reopen(self, selection: Selection, now: float) -> int:
        """Take acknowledgements back; how many records are held and selected."""
        values = {"acknowledged_at": None, "acknowledged_by": "", "reason": ""}
        return self._set(selection, now, values)

    def counts(self) -> tuple[Mapping[Held, int], int]:
        """Held records that nobody acknowledged, by reason; and how many were acknowledged."""
        query = (
            select(_r.held, is_acknowledged.label("done"), func.count())
            .where(_r.held != "")
            .group_by(_r.held, "done")
        )
        open_: Counter[Held] = Counter()
        acknowledged = 0
        with self.database.begin(reading=True) as connection:
            for held, done, count in connection.execute(query):
                if done:
                    acknowledged += count
                else:
                    open_[Held(held)] = count
        return open_, acknowledged

    def of(self, uid: str) -> Mapping[Month, Acknowledgement]:
        """The acknowledgements of one notebook's records that are held now."""
        query = (
            select(_h.year, _h.month, _h.acknowledged_at, _h.acknowledged_by, _h.reason)
            .join(records, _same_hold)
            .where(_h.uid == uid, _r.held != "", _h.acknowledged_at.is_not(None))
        )
        with self.database.begin(reading=True) as connection:
            return {
                Month(year, month): Acknowledgement(at, by, reason)
                for year, month, at, by, reason in connection.execute(query)
            }

    def _set(self, selection: Selection, now: float, values: Mapping[str, object]) -> int:
        chosen = narrowed(select(_r.uid, _r.year, _r.month).where(_r.held != ""), selection)
        with self.database.begin() as connection:
            _report(connection, now)
            keys = connection.execute(chosen).all()
            for uid, year, month in keys:
                connection.execute(
                    update(holds)
                    .where(_h.uid == uid, _h.year == year, _h.month == month)
                    .values(**values)
                )
        return len(keys)


def _report(connection: Connection, now: float) -> Mapping[Held, int]:
    """Forget holds that ended or changed, and note those that are new."""
    if connection.dialect.name != "sqlite":  # pushes to several destinations may report at once
        connection.execute(text("LOCK TABLE holds IN EXCLUSIVE MODE"))
    still = exists(select(1).select_from(records).where(_same_hold).correlate(holds))
    connection.execute(delete(holds).where(~still))
    noted = exists(select(1).select_from(holds).where(_same_key).correlate(records))
    new = select(_r.uid, _r.year, _r.month, _r.held, _r.problem).where(_r.held != "", ~noted)
    found = connection.execute(new).all()
    if found:
        columns = ("uid", "year", "month", "held", "problem")
        rows = [{**dict(zip(columns, row, strict=True)), "reported_at": now} for row in found]
        connection.execute(insert(holds), rows)
    return Counter(Held(row.held) for row in found)
