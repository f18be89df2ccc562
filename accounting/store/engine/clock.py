"""Times in the future, left in the database by a clock that ran ahead, and how they are mended."""

from typing import Any

from sqlalchemy import Connection, func, or_, select, update

from accounting.errors import ClockError
from accounting.store.engine.database import Database
from accounting.store.tables import gaps, messages, progress, stops, windows

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
        "watermarks": select(func.count()).select_from(progress).where(_is_ahead(late)),
        "windows": select(func.count()).select_from(windows).where(windows.c.end > late),
        "messages": select(func.count()).select_from(messages).where(_tried(late) | _told(late)),
        "stops": select(func.count()).select_from(stops).where(stops.c.stopped_at > late),
    }
    with database.begin(reading=True) as connection:
        found = {name: connection.execute(query).scalar_one() for name, query in wanted.items()}
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
        connection.execute(
            update(messages).where(_tried(late)).values(tried_at=now, next_try_at=None)
        )
        for column in (messages.c.built_at, messages.c.sent_at):
            connection.execute(update(messages).where(column > late).values({column: now}))
        connection.execute(
            update(stops).where(stops.c.stopped_at > late).values(stopped_at=now, probe_at=now)
        )
    return found


def _mend_ledger(connection: Connection, now: float, late: float) -> None:
    last = select(func.max(windows.c.end)).where(windows.c.end <= now)
    until = connection.execute(last).scalar() or int(now)
    connection.execute(update(progress).where(_is_ahead(late)).values(watermark=until))
    connection.execute(
        update(progress).where(progress.c.spoken_at > late).values(spoken_at=float(until))
    )
    connection.execute(windows.delete().where(windows.c.end > late))
    connection.execute(gaps.delete().where(gaps.c.start_at > late))
    connection.execute(update(gaps).where(gaps.c.end_at > late).values(end_at=float(until)))


def _is_ahead(late: float) -> Any:
    return progress.c.watermark > late


def _told(late: float) -> Any:
    """Messages whose times give the ages of the outbox and of the last delivery."""
    return or_(messages.c.built_at > late, messages.c.sent_at > late)


def _tried(late: float) -> Any:
    waiting = messages.c.state.in_(("pending", "sending"))
    return waiting & or_(
        messages.c.tried_at > late, messages.c.next_try_at > late + _FARTHEST_SECONDS
    )
