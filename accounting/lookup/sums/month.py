"""What the open month comes to, by VO and flavour, for the metrics: it names nobody."""

from collections import defaultdict
from collections.abc import Sequence

from accounting.lookup import volumes
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.sums.summaries import Summaries
from accounting.lookup.volumes import StorageBy, stored
from accounting.model.time import Month
from accounting.store.engine.access import Right, Viewer
from accounting.telemetry.usage import MonthUsage, Stored, Used

MOST_SERIES = 200
"""Of more VOs and flavours than that, the smallest are taken together."""
OTHERS = "others"
_EVERYTHING = Viewer("metrics", frozenset({Right.READ}), is_admin=True)


def month_usage(summaries: Summaries, now: float) -> MonthUsage:
    """The month of ``now`` (Unix seconds) up to the last poll.

    Raises:
        DatabaseError: the database cannot be read.
    """
    month = Month.of(now)

    def by(*names: By) -> list[Usage]:
        return summaries.summary(_EVERYTHING, Question(names, month, month))

    rows = sorted(by(By.VO, By.FLAVOR), key=lambda row: row.wall_seconds, reverse=True)
    vos = sorted(by(By.VO), key=lambda row: row.wall_seconds, reverse=True)
    return MonthUsage(
        used=_used(rows),
        users={row.key[By.VO]: row.users for row in vos[:MOST_SERIES]},
        all_users=sum(row.users for row in by()),
        stored=_stored(stored(summaries.database, _EVERYTHING, [StorageBy.VO], month)),
    )


def _stored(rows: Sequence[volumes.Stored]) -> dict[str, Stored]:
    largest = sorted(rows, key=lambda row: row.used_bytes, reverse=True)[:MOST_SERIES]
    return {
        row.key[StorageBy.VO]: Stored(row.volumes, row.used_bytes, row.allocated_bytes)
        for row in largest
    }


def _used(rows: Sequence[Usage]) -> dict[tuple[str, str], Used]:
    groups: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    for number, row in enumerate(rows):
        is_shown = number < MOST_SERIES
        key = (row.key[By.VO], row.key[By.FLAVOR]) if is_shown else (OTHERS, OTHERS)
        groups[key].append(row)
    return {
        key: Used(
            notebooks=sum(row.pods for row in group),
            wall_seconds=sum(row.wall_seconds for row in group),
            cpu_seconds=sum(row.cpu_seconds for row in group),
            core_seconds=sum(row.core_seconds for row in group),
            memory_mb_seconds=sum(row.memory_mb_seconds for row in group),
            gpu_seconds=sum(row.gpu_seconds for row in group),
            joules=sum(row.joules for row in group),
            joules_estimated=sum(row.joules_estimated for row in group),
        )
        for key, group in groups.items()
    }
