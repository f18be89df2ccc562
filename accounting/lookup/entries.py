"""A record in a list: what it says, and how far its content has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import itemgetter
from typing import Any

from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records.formats.export import month_text, row_of
from accounting.records.formats.tabular import COLUMNS
from accounting.store.rows import record_of
from accounting.store.tables import records

_COLUMN_AT = {column.name: place for place, column in enumerate(records.columns)}
_SHOWN = itemgetter(*(_COLUMN_AT[name] for name in COLUMNS))
_YEAR_AND_MONTH = itemgetter(_COLUMN_AT["year"], _COLUMN_AT["month"])
_MONTH, _FLAGS, _ACCELERATORS = map(COLUMNS.index, ("month", "flags", "accelerators"))


class Delivery(StrEnum):
    """How far a record's content has come.

    ``acknowledged`` is held too, and an operator accepted it. ``differing`` is a correction of a
    closed month: it waits for ``republish``.
    """

    HELD = "held"
    ACKNOWLEDGED = "acknowledged"
    DUE = "due"
    DIFFERING = "differing"
    PENDING = "pending"
    PARKED = "parked"
    SENT = "sent"


@dataclass(frozen=True)
class Entry:
    """A record in a list.

    Attributes:
        row: the record's, which begins with the columns of ``tables.records``.
        delivery: how far its content has come.
        message_id: the message that took it last.
    """

    row: Sequence[Any]
    delivery: Delivery
    message_id: int | None

    @cached_property
    def record(self) -> Record:
        """The record as it stands."""
        return record_of(self.row)

    @property
    def values(self) -> dict[str, Any]:
        """As ``row_of``; of nearly all records without making them, which takes longer."""
        shown = list(_SHOWN(self.row))
        if shown[_FLAGS] != "[]" or shown[_ACCELERATORS] != "[]":
            return row_of(self.record)
        shown[_FLAGS] = shown[_ACCELERATORS] = ()
        shown[_MONTH] = month_text(Month(*_YEAR_AND_MONTH(self.row)))
        return dict(zip(COLUMNS, shown, strict=True))
