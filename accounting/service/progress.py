"""How far a job has come, told while it runs: figures by name."""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from accounting.service import outcome

if TYPE_CHECKING:
    from accounting.delivery import pusher
    from accounting.measure.report import Report

Notice = Callable[[Mapping[str, Any]], None]
"""Told of a job's progress: figures by name."""


def ignored(_progress: Mapping[str, Any]) -> None:
    """For those who do not follow a job's progress."""


def poll_progress(report: "Report", until: int) -> dict[str, Any]:
    """How far a poll has come on its way to ``until``, Unix seconds."""
    return {
        "start": report.start,
        "read_until": report.end,
        "until": until,
        "pods": len(report.pods),
    }


class PushProgress:
    """Tells of several pushes at once, added up.

    Args:
        notice: told the sums after each message of any of them.

    Attributes:
        is_cut: a push ended early, as it was told to.
    """

    def __init__(self, notice: Notice) -> None:
        self.is_cut = False
        self._notice = notice
        self._seen: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def tell(self, destination: str, report: "pusher.Report") -> None:
        """Take in how far the push to one destination has come."""
        counts = outcome.push_counts(report)
        with self._lock:
            self._seen[destination] = {
                **counts,
                "delivered": report.delivered,
                "remaining": report.remaining,
            }
            names = next(iter(self._seen.values()))
            seen = self._seen.values()
            self._notice({name: sum(one[name] for one in seen) for name in names})
