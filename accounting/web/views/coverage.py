"""The last weeks day by day: was everything measured?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from accounting.model.time import Gap
from accounting.web.views.figures import day_name, duration

DAYS = 35
_DAY = 86400


class Coverage(StrEnum):
    """How much of a day is known."""

    WHOLE = "whole"
    PARTLY = "partly"
    SILENT = "silent"
    BEFORE = "before"
    AHEAD = "ahead"


_SAID = {
    Coverage.WHOLE: "measured",
    Coverage.SILENT: "the metrics were silent all day",
    Coverage.BEFORE: "before the first measurement",
    Coverage.AHEAD: "not measured yet",
}


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC day; ``silent_seconds`` of what was to be measured of it were silent."""

    date: date
    coverage: Coverage
    silent_seconds: float

    @property
    def said(self) -> str:
        """The day in words."""
        what = _SAID.get(
            self.coverage, f"the metrics were silent for {duration(self.silent_seconds)}"
        )
        return f"{day_name(self.date)}: {what}"


def days(
    now: float, first: float | None, read_until: float | None, gaps: Sequence[Gap]
) -> list[Day]:
    """The last ``DAYS`` days, today included.

    Args:
        now: Unix seconds.
        first: from when on there are measurements, Unix seconds; None: there are none.
        read_until: up to when there are.
        gaps: when the source was silent.
    """
    return list(_days(now, first, read_until, gaps))


def _days(
    now: float, first: float | None, read_until: float | None, gaps: Sequence[Gap]
) -> Iterator[Day]:
    today = int(now) // _DAY
    for number in range(today - DAYS + 1, today + 1):
        start, end = number * _DAY, (number + 1) * _DAY
        day = datetime.fromtimestamp(start, UTC).date()
        if first is None or read_until is None or end <= first:
            yield Day(day, Coverage.BEFORE, 0.0)
            continue
        if read_until <= start:
            yield Day(day, Coverage.AHEAD, 0.0)
            continue
        low, high = max(start, first), min(end, read_until)
        silent = sum(
            max(0.0, min(high, now if gap.end_at is None else gap.end_at) - max(low, gap.start_at))
            for gap in gaps
        )
        whole = high - low
        coverage = (
            Coverage.SILENT
            if silent >= whole > 0
            else Coverage.PARTLY
            if silent
            else Coverage.WHOLE
        )
        yield Day(day, coverage, silent)
