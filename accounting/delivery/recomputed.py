"""What a receiver of computed figures holds, beside what they are now."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import and_, select

from accounting.delivery.differences import Chosen, Difference, Kind
from accounting.delivery.outlets import queue
from accounting.delivery.outlets.computed import Computed
from accounting.model.messages import Entry
from accounting.store.engine.database import Database
from accounting.store.tables import delivered, queued

_WALL, _CPU = ("WallDuration", "AvailableDuration"), ("CpuDuration",)


class Recomputed:
    """Compares a month's figures with those that were delivered, as ``Receiver`` does records.

    Args:
        database: the ledger's.
        destination: which receiver, as messages name it.
        outlet: what it takes.
    """

    def __init__(self, database: Database, destination: str, outlet: Computed) -> None:
        self.database = database
        self._destination = destination
        self._outlet = outlet

    def differences(self, chosen: Chosen) -> Iterator[Difference]:
        """The chosen figures as they are now, beside what was delivered, by key."""
        for entry, values, before in self._chosen(chosen):
            yield self._difference(entry, values, before)

    def held(self, _chosen: Chosen) -> int:
        """None: a figure that is no more is sent as nothing."""
        return 0

    def republish(self, chosen: Chosen) -> int:
        """Let the chosen figures go out again, as they are then; how many."""
        keys = [entry.key for entry, _, _ in self._chosen(chosen)]
        with self.database.begin() as connection:
            for key in keys:
                same = and_(*(queued.c[name] == value for name, value in key._asdict().items()))
                queue.forget(connection, same & (queued.c.destination == self._destination))
        return len(keys)

    def _chosen(self, chosen: Chosen) -> Iterator[tuple[Entry, Mapping[str, str], Any]]:
        """Figures, their values by name, and the row of what was delivered."""
        query = select(delivered.c.uid, delivered.c.digest, delivered.c.text).where(
            delivered.c.year == chosen.month.year,
            delivered.c.month == chosen.month.month,
            delivered.c.destination == self._destination,
        )
        with self.database.begin(reading=True) as connection:
            held = {row.uid: row for row in connection.execute(query)}
            found = self._outlet.entries(connection, self._destination, chosen.month)
        for entry in found:
            values, before = self._outlet.values(entry.text), held.get(entry.key.uid)
            if chosen.vo and self._outlet.vo(values) != chosen.vo:
                continue
            if chosen.user and self._outlet.user(values) != chosen.user:
                continue
            if chosen.changed and before is not None and before.digest == entry.digest:
                continue
            yield entry, values, before

    def _difference(self, entry: Entry, now: Mapping[str, str], before: Any) -> Difference:
        key, vo = entry.key, self._outlet.vo(now)
        if before is not None and before.digest == entry.digest:
            return Difference(key.uid, key.of, vo, Kind.SAME, {}, 0, 0)
        kind = Kind.NEVER_SENT if before is None else Kind.CHANGED
        if before is not None and not before.text:
            return Difference(key.uid, key.of, vo, kind, {}, None, None)
        then = {} if before is None else self._outlet.values(before.text)
        changes = {
            name: (then.get(name, ""), now.get(name, ""))
            for name in {**now, **then}
            if then.get(name) != now.get(name)
        }
        wall, cpu = (_seconds(now, names) - _seconds(then, names) for names in (_WALL, _CPU))
        return Difference(key.uid, key.of, vo, kind, changes, wall, cpu)


def _seconds(values: Mapping[str, str], names: tuple[str, ...]) -> int:
    return next((int(values[name]) for name in names if name in values), 0)
