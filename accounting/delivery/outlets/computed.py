"""Figures that are computed anew from a month, and compared with what a destination was told."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection

from accounting.delivery.outlets import queue
from accounting.model.messages import Entry, Limit, OutletKind, RecordKey
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.store.due import NOTHING_CLOSED, unsettled


class Computed(ABC):
    """An ``Outlet`` whose figures fit into memory, a month at a time."""

    kind: OutletKind

    @abstractmethod
    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """The month's figures as they are now, by key."""

    @abstractmethod
    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``."""

    def values(self, text: str) -> Mapping[str, str]:
        """A figure's text as names and values, for people; as APEL writes them."""
        return apel.parsed(text)

    def vo(self, values: Mapping[str, str]) -> str:
        """Whose figure it is; empty: nobody's."""
        return values.get("VO", "")

    def user(self, values: Mapping[str, str]) -> str:
        """Which user's figure it is; empty: nobody's."""
        return values.get("GlobalUserName", "")

    def due(
        self,
        connection: Connection,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        open_from: Month,
    ) -> tuple[list[Entry], int]:
        """See ``Outlet``; those whose last message is not delivered yet wait for that."""
        taken: list[Entry] = []
        size, left_out = 0, 0
        since = None if after is None else after.of
        for entry, is_waiting in self._unsaid(connection, destination, open_from, since):
            if is_waiting or (after is not None and _place(entry.key) <= _place(after)):
                continue
            if limit.ascii_only and not entry.text.isascii():
                left_out += 1
                continue
            size += len(entry.text.encode())
            if taken and (size > apel.MAX_BODY_BYTES or len(taken) == limit.records):
                break
            taken.append(entry)
        return taken, left_out

    def due_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        return self.unsaid_counts(connection, destination, open_from)[0]

    def differing_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        return self.unsaid_counts(connection, destination, open_from)[1]

    def unsaid_counts(
        self, connection: Connection, destination: str, open_from: Month
    ) -> tuple[int, int]:
        """See ``Outlet``."""
        found = self._differing(connection, destination)
        waits = [_is_differing(entry, told, open_from) for entry, told in found]
        return len(waits) - sum(waits), sum(waits)

    def settle(self, connection: Connection, destination: str) -> None:
        """See ``Outlet``."""
        revised = queue.revisions_now(connection)
        months = {Month(*row) for row in connection.execute(unsettled(destination))}
        left = {
            Month(entry.key.year, entry.key.month)
            for entry, _ in self._unsaid(connection, destination, NOTHING_CLOSED)
        }
        for month in months - left:
            queue.settle(connection, destination, month, revised)

    def months(self, connection: Connection, destination: str) -> Iterable[Month]:
        """The months that may hold something to tell, in order."""
        return sorted(Month(*row) for row in connection.execute(unsettled(destination)))

    def _unsaid(
        self,
        connection: Connection,
        destination: str,
        open_from: Month,
        since: Month | None = None,
    ) -> Iterator[tuple[Entry, bool]]:
        """What must go there, and whether an undelivered message stands before it.

        Of the months from ``since`` on; by default of all.
        """
        for entry, told in self._differing(connection, destination, since):
            if not _is_differing(entry, told, open_from):
                yield entry, told is not None and told.is_waiting

    def _differing(
        self, connection: Connection, destination: str, since: Month | None = None
    ) -> Iterator[tuple[Entry, queue.Told | None]]:
        """Figures that differ from what a destination was told, and what that was."""
        for month in self.months(connection, destination):
            if since is not None and month < since:
                continue
            told = queue.told(connection, destination, month)
            for entry in self.entries(connection, destination, month):
                before = told.get(entry.key.uid)
                if before is None or before.digest != entry.digest:
                    yield entry, before


def _is_differing(entry: Entry, told: queue.Told | None, open_from: Month) -> bool:
    """Whether it corrects a closed month's last word, and waits for ``republish`` (D6)."""
    return told is not None and told.final and entry.key.of < open_from


def _place(key: RecordKey) -> tuple[int, int, str]:
    return key.year, key.month, key.uid
