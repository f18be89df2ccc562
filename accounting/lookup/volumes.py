"""What home volumes hold: by volume, user, VO or day of a month, as a viewer may see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, case, distinct, func, select, true

from accounting.lookup.records import Forbidden
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS, Quality
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.tables import volumes

_c = volumes.c


class StorageBy(StrEnum):
    """What rows stand for."""

    VOLUME = "volume"
    USER = "user"
    VO = "vo"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Stored:
    """What some volumes hold.

    Attributes:
        key: what the row stands for, by the names of ``StorageBy``.
        volumes: how many.
        used_bytes: on the last day that the month has been read to; of a day, on that day.
        allocated_bytes: the same of their claims' sizes, where those are known.
        used_byte_days: used bytes, added up over the days.
        measured_by_file_system, measured_by_directory, only_allocated: volumes times days, by how
            their used bytes are known.
    """

    key: Mapping[str, str]
    volumes: int
    used_bytes: int
    allocated_bytes: int
    used_byte_days: int
    measured_by_file_system: int
    measured_by_directory: int
    only_allocated: int

    @property
    def quality(self) -> str:
        """How most of it is known; empty where there is nothing."""
        known = dict(zip(Quality, _qualities(self), strict=True))
        return max(known, key=lambda quality: known[quality]).value if self.volumes else ""


def _qualities(stored: Stored) -> tuple[int, int, int]:
    return stored.measured_by_file_system, stored.measured_by_directory, stored.only_allocated


def stored(
    database: Database,
    viewer: Viewer,
    by: Sequence[StorageBy],
    month: Month,
    *,
    user: str = "",
    vo: str = "",
) -> list[Stored]:
    """A month's volumes, added up.

    Args:
        database: the ledger's.
        viewer: who asks.
        by: what rows stand for.
        month: which month.
        user: only this user's.
        vo: only this VO's.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    where = [*_allowed(viewer, user, vo), _c.year == month.year, _c.month == month.month]
    last = select(func.max(_c.day)).where(_c.year == month.year, _c.month == month.month)
    columns = [_COLUMNS[one] for one in by]
    with database.asking() as connection:
        last_day = connection.execute(last).scalar()
        query = select(*columns, *_sums(last_day, is_by_day=StorageBy.DAY in by)).where(*where)
        rows = connection.execute(query.group_by(*columns).order_by(*columns)).all()
    return [_row(by, row) for row in rows if row[len(by)]]


def measured_months(database: Database) -> list[Month]:
    """The months that have volumes, the latest first."""
    query = select(_c.year, _c.month).distinct()
    with database.asking() as connection:
        return sorted((Month(*row) for row in connection.execute(query)), reverse=True)


def _allowed(viewer: Viewer, user: str, vo: str) -> list[ColumnElement[bool]]:
    if not viewer.may(Right.READ) or not viewer.may_ask_for(user=user, vo=vo):
        raise Forbidden
    conditions = [viewer.restriction_of_volumes()]
    if user:
        conditions.append(_c.owner == user if user == viewer.user else _c.user == user)
    return [*conditions, _c.vo == vo] if vo else conditions


# "name" is the claim's: like the user's name, it says whose the volume is.
_COLUMNS: dict[StorageBy, Any] = {
    StorageBy.VOLUME: case((_c.user == _c.owner, _c.name), else_=_c.uid),
    StorageBy.USER: _c.user,
    StorageBy.VO: _c.vo,
    StorageBy.DAY: _c.day,
}


def _sums(last_day: int | None, *, is_by_day: bool) -> list[Any]:
    counted = case((true() if is_by_day else _c.day == last_day, 1), else_=0)
    of_quality = (case((_c.quality == quality.value, 1), else_=0) for quality in Quality)
    return [
        func.count(distinct(_c.namespace + "/" + _c.name)),
        func.sum(_c.used_bytes * counted),
        func.sum(func.coalesce(_c.allocated_bytes, 0) * counted),
        func.sum(_c.used_bytes),
        *map(func.sum, of_quality),
    ]


def _row(by: Sequence[StorageBy], row: Sequence[Any]) -> Stored:
    key = {one.value: _shown(one, value) for one, value in zip(by, row, strict=False)}
    return Stored(key, *(int(value or 0) for value in row[len(by) :]))


def _shown(by: StorageBy, value: Any) -> str:
    if by is StorageBy.DAY:
        return f"{datetime.fromtimestamp(value * DAY_SECONDS, UTC):%Y-%m-%d}"
    return str(value)
