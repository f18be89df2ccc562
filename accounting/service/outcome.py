"""What polls and pushes came to, as data: for JSON, for the API, and for tables."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accounting.errors import AccountingError

if TYPE_CHECKING:
    from accounting.delivery import pusher
    from accounting.measure import poller

DONE, FAILED, INCOMPLETE = 0, 1, 3
"""Exit codes; 2 is wrong use."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        exit_code: 0 done, 1 failed, 2 wrong use, 3 incomplete.
        result: what it did; None if it failed before it did anything.
        error: why it failed.
    """

    exit_code: int
    result: Mapping[str, Any] | None = None
    error: AccountingError | None = None


def of_poll(report: "poller.Report", forgotten: int) -> Outcome:
    """How a poll ended.

    Args:
        report: what it read.
        forgotten: in how many pods user names were replaced afterwards.
    """
    held = Counter(reason.value for reason in report.held.values())
    result = {
        "start": report.start,
        "end": report.end,
        "windows": report.windows,
        "pods": len(report.pods),
        "gaps": [list(gap) for gap in report.gaps],
        "silent_since": report.silent_since,
        "held": dict(held),
        "rejected": {f"{r.metric}: {r.reason}": count for r, count in report.rejected.items()},
        "forgotten": forgotten,
        "complete": report.is_complete,
    }
    return Outcome(DONE if report.is_complete else INCOMPLETE, result)


def of_push(report: "pusher.Report", destination: str, held: Mapping[str, int]) -> Outcome:
    """How a push ended.

    Args:
        report: what it delivered.
        destination: where.
        held: records that are held back, by reason.
    """
    error = report.error
    result = {
        "destination": destination,
        **push_counts(report),
        "next_try_at": report.next_try_at,
        "warnings": list(report.warnings),
        "held": dict(held),
        "error": error and {"error": error.message, "cure": error.cure},
    }
    if error is not None:
        return Outcome(error.exit_code, result, error)
    return Outcome(DONE if report.is_complete and not held else INCOMPLETE, result)


_COUNTED = ("built", "records", "left_out", "sent", "split", "pending", "parked", "elsewhere")


def push_counts(report: "pusher.Report | Mapping[str, Any]") -> dict[str, int]:
    """The figures of a push."""
    if isinstance(report, Mapping):
        return {name: report[name] for name in _COUNTED}
    return {name: getattr(report, name) for name in _COUNTED}
