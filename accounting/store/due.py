"""Which records must go out, and which corrections wait: conditions for queries (D3, D6)."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, exists, func, or_, select, tuple_

from accounting.model.messages import OutletKind
from accounting.model.time import Month
from accounting.store.parts import of_apart
from accounting.store.tables import joined, outlets, queued, records, revisions, settled

_NONE_KNOWN = ~exists().select_from(outlets)
"""Nothing was pushed yet."""
NOTHING_CLOSED = Month(1970, 1)
"""As ``open_from``: every correction goes out at once."""


def is_due(open_from: Month = NOTHING_CLOSED, destination: str = "") -> Any:
    """The condition of a record that must go out: its content is in no message yet (D3).

    A record that says something new after its month's last word was queued is a correction: it
    goes out while the month is open. Later it waits for ``republish`` (D6).

    Args:
        open_from: the first month that is not closed.
        destination: to there; by default to any that takes records.
    """
    return _unsaid(destination, lambda at: ~(_is_closed(open_from) & _is_final(at)), first=True)


def is_differing(open_from: Month, destination: str = "") -> Any:
    """The condition of a correction that came after its month was closed, and waits (D6)."""
    return _unsaid(destination, lambda at: _is_closed(open_from) & _is_final(at), first=False)


def _unsaid(destination: str, also: Any, *, first: bool) -> Any:
    """The condition of records that differ from what was queued.

    Args:
        destination: to there; empty: to any.
        also: a further condition, from the destination as SQL.
        first: holds of everything while no destination is known.
    """
    columns = records.c
    sendable = (columns.held == "") & tuple_(columns.year, columns.month).in_(
        unsettled(destination)
    )
    if destination:
        return sendable & ~_is_queued(destination) & also(destination)
    takes = outlets.c.kind == OutletKind.RECORDS.value
    at = outlets.c.destination
    somewhere = exists().where(takes, ~_is_queued(at), also(at)).correlate_except(outlets)
    return sendable & or_(_NONE_KNOWN, somewhere) if first else sendable & somewhere


# Every page of the list asks it: to write it anew takes a sixth of the page.
@lru_cache(maxsize=64)
def unsettled(destination: str = "") -> Any:
    """The months that may hold something to tell: (year, month), for IN.

    A month that has not changed since a destination had been told all of it is not searched.
    """
    same = and_(
        settled.c.year == revisions.c.year,
        settled.c.month == revisions.c.month,
        settled.c.revision == revisions.c.revision,
    )
    months = select(revisions.c.year, revisions.c.month)
    if destination:
        return months.where(~exists().where(same, settled.c.destination == destination))
    takes = outlets.c.kind == OutletKind.RECORDS.value
    told = exists().where(same, settled.c.destination == outlets.c.destination)
    told = told.correlate_except(settled)
    return months.where(or_(_NONE_KNOWN, exists().where(takes, ~told)))


def moved(destination: str) -> Select[Any]:
    """The same with the revision at which a destination had been told all; NULL: it never was."""
    here = and_(
        settled.c.destination == destination,
        *(settled.c[name] == revisions.c[name] for name in ("year", "month")),
    )
    months = select(revisions.c.year, revisions.c.month, settled.c.revision)
    return months.outerjoin_from(revisions, settled, here).where(
        settled.c.revision.is_distinct_from(revisions.c.revision)
    )


def unsaid(destination: str, month: Month, told_at: int | None) -> list[Select[Any]]:
    """The uids of a month's records that a destination was not told, as several queries.

    Args:
        destination: to there.
        month: which month.
        told_at: the month's revision at which it had been told everything; None: it never was.
            Only records that have changed since then are looked at, and not the whole month.
    """
    c, of = records.c, joined.c
    found = select(c.uid).where(c.year == month.year, c.month == month.month, c.held == "")
    if told_at is None:
        return [found.where(~_is_queued(destination))]
    # A scalar subquery: of a join, PostgreSQL reads all that was queued, not the few it needs.
    said = select(queued.c.digest).where(_of_record(destination)).scalar_subquery()
    found = found.where(func.coalesce(said, "") != c.digest)
    since = (of.year == month.year, of.month == month.month, of.revision >= told_at)
    return [of_apart(found), found.where(c.uid.in_(select(of.uid).where(*since)))]


def _is_queued(destination: Any) -> Any:
    """What the record says is in a message to there."""
    same = queued.c.digest == records.c.digest
    return exists().where(_of_record(destination), same).correlate_except(queued)


def _is_final(destination: Any) -> Any:
    return exists().where(_of_record(destination), queued.c.final).correlate_except(queued)


def _of_record(destination: Any) -> Any:
    return and_(
        queued.c.year == records.c.year,
        queued.c.month == records.c.month,
        queued.c.uid == records.c.uid,
        queued.c.destination == destination,
    )


def _is_closed(open_from: Month) -> Any:
    """To be asked first: of open months, SQLite then looks for nothing else."""
    columns = records.c
    earlier = (columns.year == open_from.year) & (columns.month < open_from.month)
    return (columns.year < open_from.year) | earlier
