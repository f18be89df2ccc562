"""UTC months, the windows that a poll covers, and gaps in the source's data.

Times are Unix seconds (UTC): the metrics, the database and APEL all speak them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

EARLIEST_AT = 1_388_534_400
"""2014-01-01: no pod is older than Kubernetes; what says so is wrong."""

LATEST_AT = 253_402_300_799
"""The last second of the year 9999, which is the last that can be written as a date."""


class Month(NamedTuple):
    """A UTC calendar month; APEL's key for a record next to the VMUUID."""

    year: int
    month: int

    @classmethod
    def of(cls, at: float) -> "Month":
        """The month that contains the Unix time ``at``."""
        return _month_of_day(int(at) // 86400)

    @classmethod
    def first_open(cls, now: float, close_after_seconds: float) -> "Month":
        """The first month that is not closed: corrections of earlier ones wait for ``republish``.

        Args:
            now: Unix seconds.
            close_after_seconds: a month is closed that long after its end.
        """
        return cls.of(now - close_after_seconds)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """``2026-11`` → ``Month(2026, 11)``; ValueError otherwise."""
        at = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return cls(at.year, at.month)

    @property
    def start(self) -> int:
        """Unix time of the first second."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp())

    @property
    def end(self) -> int:
        """Unix time of the first second after the month."""
        return self.next.start

    @property
    def last_second(self) -> int:
        """23:59:59 of the last day: what closes the month at the repository (apel.md, rule 4)."""
        return self.end - 1

    @property
    def next(self) -> "Month":
        """The month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def until(self, last: "Month") -> Iterator["Month"]:
        """This month and all that follow, up to and with ``last``."""
        current = self
        while current <= last:
            yield current
            current = current.next

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


@lru_cache(maxsize=4096)
def _month_of_day(day: int) -> Month:
    at = datetime.fromtimestamp(day * 86400, UTC)
    return Month(at.year, at.month)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span (start, end] in whole Unix seconds; never crosses a month's end."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end - self.start

    @property
    def hours(self) -> "Window | None":
        """The whole hours that end within it, the first one from its beginning; None: none does.

        However a span is cut into windows, each hour is of one of them.
        """
        start, end = self.start // 3600 * 3600, self.end // 3600 * 3600
        return Window(start, end) if start < end else None

    @property
    def month(self) -> Month:
        """The month it lies in; a window that ends at midnight closes the month before."""
        return Month.of(self.end - 1)

    def holds(self, gap: "Gap") -> bool:
        """Whether a silence began and ended in it."""
        return gap.end_at is not None and self.start < gap.start_at and gap.end_at <= self.end


class Gap(NamedTuple):
    """The source said nothing between two samples; ``end_at`` is None while it is still silent."""

    start_at: float
    end_at: float | None
