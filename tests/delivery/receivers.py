"""The receivers behind topics, as the crash tests look at them.

Each is computed from what the broker stored, replaces by its key as the repository does, and sees
when something older follows something newer.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import select

from accounting.delivery.outlets import summaries
from accounting.delivery.outlets.summaries import Summaries
from accounting.records import apel
from accounting.simulation.judges.repository import Repository
from accounting.store.engine.database import Database
from accounting.store.records import Records
from accounting.store.tables import delivered

Table = dict[tuple[str, tuple[int, int]], tuple[str, int]]
"""(key, month) → (status or number of notebooks, wall seconds)."""


class Receiver(Protocol):
    """One receiver."""

    def load(self, body: str) -> None:
        """Take a message's body in."""

    def table(self) -> Table:
        """What it holds."""

    def ours(self, database: Database, address: str) -> Table:
        """What it must hold."""


@dataclass
class RecordsReceiver:
    """APEL's table of cloud records."""

    repository: Repository = field(default_factory=Repository)
    latest: dict[tuple[str, Any], tuple[int, bool]] = field(default_factory=dict)

    def load(self, body: str) -> None:
        """See ``Receiver``."""
        for record in self.repository.load(body):
            key = (record.uuid, record.month)
            now = (record.integer("WallDuration"), record.text("Status") == "completed")
            before = self.latest.get(key, (0, False))
            assert before <= now, f"{key}: {now} after {before}"
            self.latest[key] = now

    def table(self) -> Table:
        """See ``Receiver``."""
        return {
            key: (row.text("Status"), row.integer("WallDuration"))
            for key, row in self.repository.rows.items()
        }

    def ours(self, database: Database, address: str) -> Table:
        """See ``Receiver``."""
        del address
        return {
            (r.uid, (r.month.year, r.month.month)): (r.status.value, r.wall_seconds)
            for r in Records(database).find()
            if not r.held
        }


@dataclass
class SumsReceiver:
    """APEL's table of summaries; a month's sums only grow in these tests."""

    rows: Table = field(default_factory=dict)

    def load(self, body: str) -> None:
        """See ``Receiver``."""
        for said in Summaries().texts(body):
            key, now = _row(said)
            before = self.rows.get(key, ("0", 0))
            assert (int(before[0]), before[1]) <= (int(now[0]), now[1]), f"{now} after {before}"
            self.rows[key] = now

    def table(self) -> Table:
        """See ``Receiver``."""
        return self.rows

    def ours(self, database: Database, address: str) -> Table:
        """See ``Receiver``."""
        months = {record.month for record in Records(database).find()}
        with database.begin(reading=True) as connection:
            found = [
                entry.text
                for month in months
                for entry in Summaries().entries(connection, address, month)
            ]
        return dict(map(_row, found))


def receiver_of(takes: str) -> Receiver:
    """An empty one."""
    return SumsReceiver() if takes == "summary" else RecordsReceiver()


def _row(said: str) -> tuple[tuple[str, tuple[int, int]], tuple[str, int]]:
    values = apel.parsed(said)
    key = (summaries.key_of(values), (int(values["Year"]), int(values["Month"])))
    return key, (values["NumberOfVMs"], int(values["WallDuration"]))


def held(database: Database, address: str) -> Table:
    """What the outbox says that a receiver holds."""
    with database.begin(reading=True) as connection:
        rows = connection.execute(select(delivered).where(delivered.c.destination == address)).all()
    found: Table = {}
    for row in rows:
        values = apel.parsed(row.text)
        first = values.get("NumberOfVMs") or values["Status"]
        found[row.uid, (row.year, row.month)] = (first, int(values["WallDuration"]))
    return found
