"""How jobs ended, as data: for JSON, for the API, and for tables."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from accounting.errors import AccountingError, Busy, DeliveryError, PortalError, SourceError
from accounting.model.jobs import Ending
from accounting.model.records import Held

if TYPE_CHECKING:
    from accounting.delivery import pusher
    from accounting.delivery.differences import Comparison, Difference
    from accounting.delivery.news import News
    from accounting.delivery.takeover import Taken
    from accounting.measure.report import Report
    from accounting.model.reconciliation import Reconciliation
    from accounting.model.time import Month

DONE, FAILED, INCOMPLETE = 0, 1, 3
"""Exit codes; 2 is wrong use."""

_EXIT_CODES = {Ending.DONE: DONE, Ending.INCOMPLETE: INCOMPLETE, Ending.STOPPED: INCOMPLETE}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        ending: how.
        result: what it did; None if it failed before it did anything.
        error: why it failed.
    """

    ending: Ending
    result: Mapping[str, Any] | None = None
    error: AccountingError | None = None

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 2 wrong use, 3 incomplete or stopped."""
        if self.error is not None:
            return self.error.exit_code
        return _EXIT_CODES.get(self.ending, FAILED)


def of_error(error: AccountingError) -> Outcome:
    """A job that did nothing."""
    if isinstance(error, Busy):
        return Outcome(Ending.BUSY, error=error)
    foreign = isinstance(error, SourceError | DeliveryError | PortalError)
    return Outcome(Ending.UNAVAILABLE if foreign else Ending.FAILED, error=error)


def of_poll(
    report: "Report",
    forgotten: int,
    new: Mapping[Held, int],
    *,
    dated_ahead: int = 0,
    stopped: bool = False,
) -> Outcome:
    """How a poll ended.

    Args:
        report: what it read.
        forgotten: in how many pods user names were replaced afterwards.
        new: how many records that were written are held, and neither acknowledged nor told by a
            push before, by reason. Only those make the poll incomplete.
        dated_ahead: how many records say a time in the future. They make it incomplete, too.
        stopped: it ended early, as it was told to.
    """
    held = Counter(reason.value for reason in report.held.values())
    is_complete = report.is_complete and not (new or stopped or dated_ahead)
    result = {
        "start": report.start,
        "end": report.end,
        "windows": report.windows,
        "pods": len(report.pods),
        "gaps": [list(gap) for gap in report.gaps],
        "silent_since": report.silent_since,
        "held": dict(held),
        "held_new": _by_reason(new),
        "rejected": {f"{r.metric}: {r.reason}": count for r, count in report.rejected.items()},
        "forgotten": forgotten,
        "dated_ahead": dated_ahead,
        "complete": is_complete,
    }
    if stopped:
        return Outcome(Ending.STOPPED, result)
    return Outcome(Ending.DONE if is_complete else Ending.INCOMPLETE, result)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Records that do not go out.

    Attributes:
        open: those that nobody acknowledged, by reason.
        new: those that no earlier push has reported, by reason.
        acknowledged: how many an operator accepted.
    """

    open: Mapping[Held, int]
    new: Mapping[Held, int]
    acknowledged: int


def of_pushes(
    reports: "Mapping[str, pusher.Report | AccountingError]",
    held: HeldBack,
    news: "News",
    *,
    dated_ahead: int = 0,
    stopped: bool = False,
) -> Outcome:
    """How a push ended: its figures added up, and those of each destination.

    Args:
        reports: what was delivered, or why nothing could be, by destination.
        held: records that are held back. Only new ones make the push incomplete: a job that runs
            every night must not fail each time because of a record that was reported before.
        news: the same of messages that are stuck, and of records that a destination cannot carry.
        dated_ahead: how many records say a time in the future. They make it incomplete until a
            command has mended them.
        stopped: it ended early, as it was told to.
    """
    parts = [_of_destination(name, report) for name, report in reports.items()]
    tries = [part["next_try_at"] for part in parts if part["next_try_at"] is not None]
    errors = [found for report in reports.values() if (found := _error_of(report)) is not None]
    result = {
        "destination": ", ".join(reports),
        **{name: sum(part[name] for part in parts) for name in _COUNTED},
        # One for all: messages for destinations that the settings do not have.
        "elsewhere": max(part["elsewhere"] for part in parts),
        "next_try_at": min(tries, default=None),
        "warnings": list(dict.fromkeys(said for part in parts for said in part["warnings"])),
        "held": _by_reason(held.open),
        "held_new": _by_reason(held.new),
        "acknowledged": held.acknowledged,
        "dated_ahead": dated_ahead,
        **{f"{name}_new": count for name, count in asdict(news).items()},
        "error": _told(errors[0]) if errors else None,
        "destinations": parts,
    }
    if errors:
        return Outcome(Ending.UNAVAILABLE, result, errors[0])
    if stopped:
        return Outcome(Ending.STOPPED, result)
    is_complete = not (result["pending"] or held.new or news or dated_ahead)
    return Outcome(Ending.DONE if is_complete else Ending.INCOMPLETE, result)


def _of_destination(name: str, report: "pusher.Report | AccountingError") -> dict[str, Any]:
    if isinstance(report, AccountingError):
        nothing: dict[str, Any] = dict.fromkeys(_COUNTED, 0)
        return {
            "destination": name,
            **nothing,
            "next_try_at": None,
            "warnings": [],
            "error": _told(report),
        }
    return {
        "destination": name,
        **push_counts(report),
        "next_try_at": report.next_try_at,
        "warnings": list(report.warnings),
        "error": None if report.error is None else _told(report.error),
    }


def _error_of(report: "pusher.Report | AccountingError") -> AccountingError | None:
    return report if isinstance(report, AccountingError) else report.error


def _told(error: AccountingError) -> dict[str, str]:
    return {"error": error.message, "cure": error.cure}


def _by_reason(counts: Mapping[Held, int]) -> dict[str, int]:
    return {reason.value: count for reason, count in counts.items()}


_COUNTED = ("built", "records", "left_out", "sent", "split", "pending", "parked", "elsewhere")


def push_counts(report: "pusher.Report | Mapping[str, Any]") -> dict[str, int]:
    """The figures of a push."""
    if isinstance(report, Mapping):
        return {name: report[name] for name in _COUNTED}
    return {name: getattr(report, name) for name in _COUNTED}


def of_import(taken: "Taken", destination: str, *, dry_run: bool, stopped: bool = False) -> Outcome:
    """How an import ended; it is incomplete if rows could not be taken."""
    result = {"destination": destination, "dry_run": dry_run, **asdict(taken)}
    if stopped:
        return Outcome(Ending.STOPPED, result)
    return Outcome(Ending.INCOMPLETE if taken.unusable else Ending.DONE, result)


def of_reconciliation(made: "Reconciliation") -> Outcome:
    """How a comparison with the portal ended; it is incomplete if something differs."""
    return Outcome(Ending.INCOMPLETE if made.differing else Ending.DONE, reconciled(made))


def reconciled(made: "Reconciliation") -> dict[str, Any]:
    """A comparison with the portal as data."""
    return {
        "month": str(made.month),
        "destination": made.destination,
        "made_at": made.made_at,
        "source": made.source,
        "unit": made.unit.value,
        "partial": made.is_partial,
        "differing": len(made.differing),
        "lines": [asdict(line) for line in made.lines],
    }


def of_republish(
    month: "Month",
    compared: "Comparison",
    queued: int | None,
    held: int,
    told: "Callable[[Difference], Mapping[str, Any]]",
) -> Outcome:
    """How a republication ended.

    Args:
        month: of the records.
        compared: how they differ from what was delivered.
        queued: how many were queued again; None in a dry run.
        held: how many that were delivered are held back now.
        told: a difference as data.
    """
    result = {
        "month": str(month),
        "counts": compared.counts,
        "wall_seconds": compared.wall_seconds,
        "cpu_seconds": compared.cpu_seconds,
        "forgotten": compared.forgotten,
        "held": held,
        "queued": queued or 0,
        "dry_run": queued is None,
        "differences": [told(one) for one in compared.different],
    }
    return Outcome(Ending.DONE, result)
