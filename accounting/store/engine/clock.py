"""Times in the future, left in the database by a clock that ran ahead, and how they are mended."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, update

from accounting.errors import ClockError
from accounting.model.time import Month
from accounting.model.volumes import DAY_SECONDS
from accounting.store.engine.database import Database
from accounting.store.tables import (
    delivered,
    figures,
    gaps,
    holds,
    messages,
    pods,
    progress,
    reconciliations,
    records,
    stops,
    volumes,
    windows,
)

TOLERANCE_SECONDS = 600.0
"""Clocks of two machines may differ by so much."""
NOTEBOOKS_LATE_SECONDS = 3600 + TOLERANCE_SECONDS
"""Polls believe a node's clock that is an hour ahead: when a notebook completed."""
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
    late, notebooks_late = now + TOLERANCE_SECONDS, now + NOTEBOOKS_LATE_SECONDS
    wanted = {
        "watermarks": (progress, _is_any(late, progress.c.watermark, progress.c.spoken_at)),
        "windows": (windows, windows.c.end > late),
        "gaps": (gaps, _is_any(late, gaps.c.start_at, gaps.c.end_at)),
        "messages": (messages, _tried(late) | _is_any(late, *_TOLD)),
        "stops": (stops, _stopped(late)),
        "deliveries": (delivered, delivered.c.delivered_at > late),
        "notes of held records": (holds, _is_any(late, *_NOTED)),
        "reconciliations": (reconciliations, reconciliations.c.made_at > late),
        "notebooks": (pods, pods.c.uid.in_(notebooks_ahead(notebooks_late))),
        "records": (records, is_dated_ahead(notebooks_late)),
        "days of volumes": (volumes, _volumes(late)),
    }
    with database.begin(reading=True) as connection:
        found = {
            name: connection.execute(
                select(func.count()).select_from(table).where(which)
            ).scalar_one()
            for name, (table, which) in wanted.items()
        }
    return {name: count for name, count in found.items() if count}


def notebooks_ahead(late: float) -> Select[tuple[str]]:
    """The uids of notebooks of which something is said to be later than ``late``."""
    of_both = (
        func.coalesce(figures.c[name], pods.c[name])
        for name in ("last_running_at", "last_listed_at")
    )
    names = ("first_running_at", "created_at", "started_at", "completed_at", "lost_at")
    times = (*of_both, *(pods.c[name] for name in names))
    joined = select(pods.c.uid).outerjoin_from(pods, figures, pods.c.uid == figures.c.uid)
    return joined.where(_is_any(late, *times))


def is_dated_ahead(late: float) -> ColumnElement[bool]:
    """The condition of a record that says a time later than ``late``.

    It is of that month or a later one, in whose order the rows are kept: few are looked at.
    """
    c, (year, month) = records.c, Month.of(late - NOTEBOOKS_LATE_SECONDS)
    of_now = (c.year > year) | (c.year == year) & (c.month >= month)
    return of_now & _is_any(late, c.created_at, c.start_at, c.end_at)


def records_ahead(database: Database, now: float) -> int:
    """How many records are dated in the future."""
    late = is_dated_ahead(now + NOTEBOOKS_LATE_SECONDS)
    with database.begin(reading=True) as connection:
        query = select(func.count()).select_from(records).where(late)
        return connection.execute(query).scalar_one()


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

    Those of notebooks and their records stay: ``mending.py`` brings them back. Polls go back to the
    last window that is past: what is read again changes nothing. Deliveries that waited for such a
    time are tried with the next push.
    """
    found = ahead(database, now)
    late = now + TOLERANCE_SECONDS
    with database.begin() as connection:
        _mend_ledger(connection, now, late)
        _mend_reconciliations(connection, now, late)
        connection.execute(volumes.delete().where(_volumes(late)))
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


def _volumes(late: float) -> ColumnElement[bool]:
    """Days of volumes that have not come yet; what was read on them is read again then."""
    return volumes.c.day > late // DAY_SECONDS


def _stopped(late: float) -> ColumnElement[bool]:
    return or_(stops.c.stopped_at > late, stops.c.probe_at > late + _FARTHEST_SECONDS)


def _tried(late: float) -> ColumnElement[bool]:
    waiting = messages.c.state.in_(("pending", "sending"))
    return waiting & or_(
        messages.c.tried_at > late, messages.c.next_try_at > late + _FARTHEST_SECONDS
    )
