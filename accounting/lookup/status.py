"""Is everything measured and delivered? How things stand, as far as the viewer may know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from accounting.config import Settings
from accounting.lookup import windows
from accounting.lookup.standing import standing_of
from accounting.model.messages import MessageState
from accounting.model.time import Gap
from accounting.store.engine.access import Viewer
from accounting.store.engine.clock import age
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.telemetry.standing import Outgoing

GAPS_DAYS = 35
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Delivery:
    """What waits and what went; for administrators.

    Attributes:
        due: records that must go out and are in no message yet.
        held: records that are held back and that nobody acknowledged, by reason.
        messages: messages, by state.
        oldest_seconds: age of the oldest message that waits; 0 if none does, None if a clock ran
            ahead.
        last_push_at: when a message was last delivered, Unix seconds.
        certificate_days: until the host certificate expires; None: none is needed or readable.
        acknowledged: how many held records an operator accepted.
        destinations: how each stands, by its name in the settings; the figures above are of all.
        unmapped_flavors: hours that EOSC's accounting is not told, by flavour.
        dated_ahead: records that say a time in the future: a clock ran ahead.
    """

    due: int
    held: Mapping[str, int]
    messages: Mapping[str, int]
    oldest_seconds: float | None
    last_push_at: float | None
    certificate_days: float | None
    acknowledged: int = 0
    destinations: Mapping[str, Outgoing] = field(default_factory=dict)
    unmapped_flavors: Mapping[str, float] = field(default_factory=dict)
    dated_ahead: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand.

    Attributes:
        now: Unix seconds, when it was asked.
        read_until: end of the last covered window, Unix seconds; None: nothing was read yet.
        lag_seconds: from there to now; None, too, if a clock ran ahead.
        gaps: the source's silences of the last weeks.
        delivery: what waits and what went; None for who may not know.
    """

    now: float
    read_until: int | None
    lag_seconds: float | None
    gaps: Sequence[Gap]
    delivery: Delivery | None


def status(settings: Settings, database: Database, viewer: Viewer, now: float) -> Status:
    """How things stand at ``now`` (Unix seconds).

    Raises:
        DatabaseError: the database cannot be read.
    """
    progress = Ledger(database).progress()
    return Status(
        now=now,
        read_until=None if progress is None else progress.watermark,
        lag_seconds=None if progress is None else age(progress.watermark, now),
        gaps=windows.silences(database, now, since=now - GAPS_DAYS * _DAY),
        delivery=_delivery(settings, database, now) if viewer.is_admin else None,
    )


def _delivery(settings: Settings, database: Database, now: float) -> Delivery:
    standing = standing_of(settings, database, now)
    outgoing = list(standing.destinations.values())
    return Delivery(
        due=sum(one.due or 0 for one in outgoing),
        held={reason.value: count for reason, count in (standing.held or {}).items()},
        acknowledged=standing.acknowledged or 0,
        messages={
            state.value: sum(one.messages.get(state.value, 0) for one in outgoing)
            for state in MessageState
        },
        oldest_seconds=None
        if any(one.oldest_seconds is None for one in outgoing)
        else max(_known(one.oldest_seconds for one in outgoing), default=0.0),
        last_push_at=max(_known(one.last_push_at for one in outgoing), default=None),
        certificate_days=min(_known(one.certificate_days for one in outgoing), default=None),
        destinations=standing.destinations,
        unmapped_flavors=standing.unmapped_hours or {},
        dated_ahead=standing.dated_ahead or 0,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
