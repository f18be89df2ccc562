"""Which records must go out, and which corrections wait: conditions for queries (D3, D6)."""

from typing import Any

from sqlalchemy import or_

from accounting.model.time import Month
from accounting.store.tables import records

NOTHING_CLOSED = Month(1970, 1)
"""As ``open_from``: every correction goes out at once."""


def is_due(open_from: Month = NOTHING_CLOSED) -> Any:
    """The condition of a record that must go out: its content is in no message yet (D3).

    A record that says something new after its month's last word was queued is a correction: it
    goes out while the month is open. Later it waits for ``republish`` (D6).

    Args:
        open_from: the first month that is not closed.
    """
    return _differs() & ~(records.c.queued_final & _is_closed(open_from))


def is_late(open_from: Month) -> Any:
    """The condition of a correction that came after its month was closed, and waits (D6)."""
    return _differs() & records.c.queued_final & _is_closed(open_from)


def _differs() -> Any:
    columns = records.c
    differs = or_(columns.queued_digest.is_(None), columns.queued_digest != columns.digest)
    return (columns.held == "") & differs


def _is_closed(open_from: Month) -> Any:
    columns = records.c
    earlier = (columns.year == open_from.year) & (columns.month < open_from.month)
    return (columns.year < open_from.year) | earlier
