"""Which notebooks a silence of the source affected, and how."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import case, func, select, tuple_

from accounting.model.time import Gap, Month
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.tables import records

_ESTIMATED = "ended in a gap"
_LATE_SECONDS = 600
"""So long before a silence a notebook may have been seen last that ended in it."""


class Effect(StrEnum):
    """What a silence means for a notebook."""

    THROUGH = "ran through"
    ENDED = "ended in it"
    BEGAN = "began in it"
    WITHIN = "began and ended in it"


@dataclass(frozen=True, slots=True)
class Affected:
    """A notebook that ran in or up to a silence; times are Unix seconds.

    Attributes:
        is_estimate: its end is not known: it counts up to its last sample.
    """

    uid: str
    user: str
    vo: str
    start_at: int
    end_at: int | None
    effect: Effect
    is_estimate: bool


@dataclass(frozen=True, slots=True)
class Effects:
    """All notebooks that a silence affected; ``shown`` are some of them, ended ones first."""

    gap: Gap
    counts: Mapping[Effect, int]
    estimates: int
    shown: Sequence[Affected]


def effects(
    database: Database, viewer: Viewer, gap: Gap, now: float, limit: int | None = None
) -> Effects:
    """What a silence did to the notebooks that the viewer may see.

    Args:
        database: the ledger's.
        viewer: who looks.
        gap: the silence.
        now: Unix seconds, its end so far if it goes on.
        limit: show at most that many; None: all.
    """
    c, end = records.c, now if gap.end_at is None else gap.end_at
    of_month = tuple_(c.year, c.month)
    # The latest record of a notebook says how it ended; those of earlier months begin it.
    query = (
        select(
            c.uid,
            func.max(c.user),
            func.max(c.vo),
            func.min(c.start_at),
            func.max(c.end_at),
            func.max(case((c.flags.contains(_ESTIMATED), 1), else_=0)),
        )
        .where(
            viewer.restriction(),
            of_month >= tuple_(*Month.of(gap.start_at - _LATE_SECONDS)),
            of_month <= tuple_(*Month.of(end)),
            c.start_at < end,
            func.coalesce(c.end_at, c.created_at) >= gap.start_at - _LATE_SECONDS,
        )
        .group_by(c.uid)
    )
    with database.asking() as connection:
        found = [one for row in connection.execute(query) if (one := _of(gap, end, row))]
    order = list(Effect)
    found.sort(key=lambda one: (not one.is_estimate, -order.index(one.effect), one.start_at))
    return Effects(
        gap,
        Counter(one.effect for one in found),
        sum(one.is_estimate for one in found),
        found[:limit],
    )


def _of(gap: Gap, end: float, row: Sequence[object]) -> Affected | None:
    uid, user, vo, start_at, end_at, flagged = row
    assert isinstance(start_at, int)  # noqa: S101 - as the column is
    assert end_at is None or isinstance(end_at, int)  # noqa: S101 - as the column is
    began = start_at > gap.start_at
    ended = end_at is not None and end_at < end
    is_estimate = bool(flagged) and ended
    if ended and end_at is not None and end_at < gap.start_at and not is_estimate:
        return None  # it was seen to end before
    effect = (
        Effect.WITHIN
        if began and ended
        else Effect.BEGAN
        if began
        else Effect.ENDED
        if ended
        else Effect.THROUGH
    )
    return Affected(str(uid), str(user), str(vo), start_at, end_at, effect, is_estimate)
