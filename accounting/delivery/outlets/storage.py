"""StAR storage records: what a home volume held on a day. Only days that are over go out.

Source: OGF GFD.201, and how APEL's loader takes it: it replaces by the record's id.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select, tuple_

from accounting.delivery.outlets import queue
from accounting.delivery.outlets.computed import Computed
from accounting.model.messages import Entry, Limit, OutletKind, RecordKey
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS
from accounting.records.formats import apel, star
from accounting.store.due import unsettled
from accounting.store.tables import progress, queued, volumes
from accounting.store.volumes import volume_of


class Storage(Computed):
    """One record of each volume and day; the database finds what is due, for they are many.

    A day's record is its last word: what is measured anew afterwards is a correction, which has
    the same id and replaces it.
    """

    kind = OutletKind.STORAGE

    def due(
        self,
        connection: Connection,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        open_from: Month,
    ) -> tuple[list[Entry], int]:
        """See ``Outlet``; those whose last message is not delivered yet wait for that."""
        condition = and_(
            *_sendable(connection),
            ~_is_told(destination),
            ~_is_late(destination, open_from),
            ~queue.is_waiting(volumes, destination),
        )
        taken: list[Entry] = []
        size = 0
        with closing(queue.in_order(connection, volumes, condition, destination, after)) as rows:
            for entry in map(_entry, rows):
                size += len(entry.text)
                if taken and size > apel.MAX_BODY_BYTES:
                    break
                taken.append(entry)
                if len(taken) == limit.records:
                    break
        return taken, 0

    def due_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        query = _unsaid(_count(), connection, destination)
        query = query.where(~_is_late(destination, open_from))
        return int(connection.execute(query).scalar_one())

    def differing_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        query = _unsaid(_count(), connection, destination)
        query = query.where(_is_late(destination, open_from))
        return int(connection.execute(query).scalar_one())

    def settle(self, connection: Connection, destination: str) -> None:
        """See ``Outlet``; a month is searched again when a further day of it is over."""
        revised = queue.revisions_now(connection)
        for year, month in connection.execute(unsettled(destination)).all():
            of_month = (volumes.c.year == year) & (volumes.c.month == month)
            left = _unsaid(select(volumes.c.uid), connection, destination).where(of_month)
            if connection.execute(left.limit(1)).first() is None:
                queue.settle(connection, destination, Month(year, month), revised)

    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """See ``Computed``."""
        del destination
        of_month = (volumes.c.year == month.year) & (volumes.c.month == month.month)
        query = select(volumes).where(of_month, *_sendable(connection)).order_by(volumes.c.uid)
        return list(map(_entry, connection.execute(query)))

    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``."""
        return star.body(texts)

    def texts(self, body: str) -> list[str]:
        """See ``Outlet``."""
        return star.texts(body)

    def digest(self, text: str) -> str:
        """See ``Outlet``."""
        return star.digest(text)

    def values(self, text: str) -> Mapping[str, str]:
        """See ``Computed``."""
        return star.parsed(text)

    def vo(self, values: Mapping[str, str]) -> str:
        """See ``Computed``."""
        return values.get("Group", "")

    def user(self, values: Mapping[str, str]) -> str:
        """See ``Computed``."""
        return values.get("UserIdentity", "")


def _unsaid(query: Select[Any], connection: Connection, destination: str) -> Select[Any]:
    """Restrict a query to records that differ from what a destination was told."""
    months = tuple_(volumes.c.year, volumes.c.month).in_(unsettled(destination))
    return query.where(months, *_sendable(connection), ~_is_told(destination))


def _sendable(connection: Connection) -> Iterator[Any]:
    """Records that go out: nothing holds them, and their day is over."""
    watermark = connection.execute(select(progress.c.watermark)).scalar() or 0
    yield volumes.c.held == ""
    yield volumes.c.day < int(watermark) // DAY_SECONDS


def _is_told(destination: str) -> Any:
    """What the record says is in a message to there."""
    same = _told(destination) & (queued.c.digest == volumes.c.digest)
    return exists().where(same).correlate_except(queued)


def _told(destination: str) -> Any:
    return and_(
        queued.c.year == volumes.c.year,
        queued.c.month == volumes.c.month,
        queued.c.uid == volumes.c.uid,
        queued.c.destination == destination,
    )


def _is_late(destination: str, open_from: Month) -> Any:
    """The condition of a correction of a closed month, which waits for ``republish`` (D6)."""
    same_year = (volumes.c.year == open_from.year) & (volumes.c.month < open_from.month)
    is_closed = or_(volumes.c.year < open_from.year, same_year)
    told = exists().where(_told(destination) & queued.c.final).correlate_except(queued)
    return is_closed & told


def _count() -> Select[Any]:
    return select(func.count()).select_from(volumes)


def _entry(row: Any) -> Entry:
    volume = volume_of(row)
    return Entry(RecordKey(volume.uid, *volume.month), star.text(volume), volume.digest, final=True)
