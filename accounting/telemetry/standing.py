"""How measuring and delivery stand, as the metrics show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from accounting.model.reconciliation import Cause
from accounting.model.records import Held

ELSEWHERE = "elsewhere"
"""Stands for all destinations that are in the settings no more."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """State of delivery to one destination; None: not known.

    Attributes:
        address: how messages name it.
        due: records that must go there and are in no message yet.
        differing: records of closed months that differ from what was sent.
        messages: messages in the outbox, by state.
        oldest_seconds: age of the oldest message that waits; 0 if none does.
        last_push_at: when a message was last delivered, Unix seconds.
        certificate_days: until the host certificate expires.
        is_stopped: it takes nothing until something is put right.
    """

    address: str = ""
    due: int | None = None
    differing: int | None = None
    messages: Mapping[str, int] = field(default_factory=dict)
    oldest_seconds: float | None = None
    last_push_at: float | None = None
    certificate_days: float | None = None
    is_stopped: bool | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """State of measuring and delivery, as the database and files say; None: not known.

    Attributes:
        lag_seconds: from the watermark to now; not known, too, if a clock ran ahead.
        held: records that are held back and that nobody acknowledged, by reason.
        acknowledged: held records that an operator accepted.
        destinations: how delivery stands, by the destinations' names in the settings, and
            ``ELSEWHERE``.
        differences: where the accounting portal differs from what was delivered, by cause.
        reconciled_at: when that was last looked at, Unix seconds.
        unmapped_hours: of flavours that EOSC's accounting is not told, by flavour.
        dated_ahead: records that say a time in the future.
    """

    lag_seconds: float | None = None
    held: Mapping[Held, int] | None = None
    acknowledged: int | None = None
    destinations: Mapping[str, Outgoing] = field(default_factory=dict)
    differences: Mapping[Cause, int] | None = None
    reconciled_at: float | None = None
    unmapped_hours: Mapping[str, float] | None = None
    dated_ahead: int | None = None
