"""Times in the future, left in the database by a clock that ran ahead, and how they are mended."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from accounting.errors import ClockError
from accounting.store.engine.database import Database
from accounting.store.tables import (
    delivered,
    gaps,
    holds,
    messages,
    progress,
    reconciliations,
    stops,
    windows,
)

TOLERANCE_SECONDS = 600.0
"""Clocks of two machines may differ by so much."""
_FARTHEST_SECONDS = 7 * 86400.0
"""No wait between two tries of a delivery is longer."""


def age(at: float | None, now: float) -> float | None:
    """Seconds since ``at``; None if that cannot be told, because a clock ran ahead.

    Two machines' clocks may differ by the tolerance: what is younger than nothing is 0 s old.
    """
    if at is None or at > now + TOLERANCE_SECONDS:
        return None
    return max(0.0, now - at)


def ahead(database: Database, now: float) -> dict[str, int]:
    """How many times are in the future, by what they are of; empty if none is."""
    late = now + TOLERANCE_SECONDS
    wanted = {
        "watermarks": (progress, _is_any(late, progress.c.watermark, progress.c.spoken_at)),
        "windows": (windows, windows.c.end > late),
        "gaps": (gaps, _is_any(late, gaps.c.start_at, gaps.c.end_at)),
        "messages": (messages, _tried(late) | _is_any(late, *_TOLD)),
        "stops": (stops, _stopped(late)),
        "deliveries": (delivered, delivered.c.delivered_at > late),
        "notes of held records": (holds, _is_any(late, *_NOTED)),
        "reconciliations": (reconciliations, reconciliations.c.made_at > late),
    }
    with database.begin(reading=True) as connection:
        found = {
            name: connection.execute(
                select(func.count()).select_from(table).where(which)
            ).scalar_one()
            for name, (table, which) in wanted.items()
        }
    return {name: count for name, count in found.items() if count}


def require_past(database: Database, now: float) -> None:
    """Stop a poll that would wait for the clock in silence.

    Raises:
        ClockError: polls have come farther than the clock.
    """
    with database.begin(reading=True) as connection:
        watermark = connection.execute(select(progress.c.watermark)).scalar()
    if watermark is not None and watermark > now + TOLERANCE_SECONDS:
        raise ClockError(
            f"polls have come {(watermark - now) / 3600:,.1f} h farther than this machine's clock",
            "if the clock is right now, run 'notebooks-accounting db mend-times'; else correct it",
        )


def mend(database: Database, now: float) -> dict[str, int]:
    """Bring times in the future back to now; how many, by what they are of.

    Polls go back to the last window that is past: what is read again changes nothing. Deliveries
    that waited for such a time are tried with the next push.
    """
    found = ahead(database, now)
    late = now + TOLERANCE_SECONDS
    with database.begin() as connection:
        _mend_ledger(connection, now, late)
        _mend_reconciliations(connection, now, late)
        connection.execute(
            update(messages).where(_tried(late)).values(tried_at=now, next_try_at=None)
        )
        for column in (*_TOLD, *_NOTED, delivered.c.delivered_at):
            connection.execute(update(column.table).where(column > late).values({column: now}))
        stopped = func.least if connection.dialect.name == "postgresql" else func.min
        connection.execute(
            update(stops)
            .where(_stopped(late))
            .values(stopped_at=stopped(stops.c.stopped_at, now), probe_at=now)
        )
    return found


def _mend_ledger(connection: Connection, now: float, late: float) -> None:
    last = select(func.max(windows.c.end)).where(windows.c.end <= now)
    until = connection.execute(last).scalar() or int(now)
    connection.execute(windows.delete().where(windows.c.end > late))
    connection.execute(gaps.delete().where(gaps.c.start_at > late))
    for column, mended in (
        (progress.c.watermark, until),
        (progress.c.spoken_at, float(until)),
        (gaps.c.end_at, float(until)),
        (windows.c.polled_at, now),
    ):
        connection.execute(update(column.table).where(column > late).values({column: mended}))


def _mend_reconciliations(connection: Connection, now: float, late: float) -> None:
    """Their time is part of their key: they keep their order, a millisecond apart."""
    made_at = reconciliations.c.made_at
    found = connection.execute(select(made_at).where(made_at > late).order_by(made_at.desc()))
    for number, was in enumerate(found.scalars().unique().all()):
        at = now - number / 1000
        connection.execute(update(reconciliations).where(made_at == was).values(made_at=at))


_TOLD = (messages.c.built_at, messages.c.sent_at, messages.c.reported_at)
"""They give the ages of the outbox and of the last delivery."""
_NOTED = (holds.c.reported_at, holds.c.acknowledged_at)


def _is_any(late: float, *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*(column > late for column in columns))


def _stopped(late: float) -> ColumnElement[bool]:
    return or_(stops.c.stopped_at > late, stops.c.probe_at > late + _FARTHEST_SECONDS)


def _tried(late: float) -> ColumnElement[bool]:
    waiting = messages.c.state.in_(("pending", "sending"))
    return waiting & or_(
        messages.c.tried_at > late, messages.c.next_try_at > late + _FARTHEST_SECONDS
    )
