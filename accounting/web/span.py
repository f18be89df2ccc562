"""Which days a page is about: months, days, or days that end today."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from accounting.model.time import Month
from accounting.web.fields import Fields

RANGES: Mapping[str, str] = {
    "": "custom",
    "7d": "last 7 days",
    "30d": "last 30 days",
    "90d": "last 90 days",
    "month": "this month",
    "last-month": "last month",
}
_DAY = 86400
MOST_DAYS = 400


@dataclass(frozen=True, slots=True)
class Span:
    """Days, both included, as days since 1970."""

    start: int
    end: int

    @classmethod
    def of_months(cls, first: Month, last: Month) -> "Span":
        """Whole months."""
        return cls(first.start // _DAY, last.end // _DAY - 1)

    @property
    def first(self) -> Month:
        """The month of the first day."""
        return Month.of(self.start * _DAY)

    @property
    def last(self) -> Month:
        """The month of the last day."""
        return Month.of(self.end * _DAY)

    @property
    def days(self) -> tuple[int, int] | None:
        """The first and the last day; None for whole months."""
        return None if self == Span.of_months(self.first, self.last) else (self.start, self.end)

    @property
    def is_month(self) -> bool:
        """Whether it is one whole month."""
        return self == Span.of_months(self.first, self.first)

    @property
    def bounds(self) -> tuple[int, int]:
        """Unix seconds: its first, and the first after it."""
        return self.start * _DAY, (self.end + 1) * _DAY

    @property
    def said(self) -> str:
        """In words."""
        if self.days is None:
            return _months(self.first, self.last)
        first, last = _date(self.start), _date(self.end)
        if first == last:
            return f"{first.day} {first:%B %Y}"
        return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"

    @property
    def asked(self) -> dict[str, str]:
        """As a page's address has it."""
        if self.days is None:
            return {"first": str(self.first), "last": str(self.last)}
        return {"since": str(_date(self.start)), "until": str(_date(self.end))}

    @property
    def query(self) -> str:
        """The same, to be put into an address."""
        return urlencode(self.asked)

    def before(self) -> "Span":
        """The span of the same length before it: as many months, or as many days."""
        if self.days is not None:
            length = self.end - self.start + 1
            return Span(self.start - length, self.start - 1)
        first = last = Month.of(self.first.start - 1)
        for _ in range(len(list(self.first.until(self.last))) - 1):
            first = Month.of(first.start - 1)
        return Span.of_months(first, last)

    def until(self, at: float) -> "Span":
        """As far as it had come at a time, Unix seconds: for a month that goes on."""
        return Span(self.start, max(self.start, min(self.end, int(at) // _DAY)))


def span_of(fields: Fields, now: float, current: Month) -> Span:
    """What a form asks for; what is wrong is noted there.

    Args:
        fields: ``range``, or ``since`` and ``until`` (days), or ``first`` and ``last`` (months).
        now: Unix seconds.
        current: the month to begin with.
    """
    today, this = int(now) // _DAY, Month.of(now)
    said = fields.choice("range", [name for name in RANGES if name])
    since, until = fields.day("since"), fields.day("until")
    if said.endswith("d"):
        return Span(today - int(said[:-1]) + 1, today)
    if said:
        month = this if said == "month" else Month.of(this.start - 1)
        return Span.of_months(month, month)
    if since is not None or until is not None or {"since", "until"} & set(fields.wrong):
        return _days(fields, since, until, today)
    first = fields.month("first") or current
    last = fields.month("last") or first
    if last < first:
        fields.wrong["last"] = "This is before the month in From."
    return Span.of_months(first, max(first, last))


def _days(fields: Fields, since: int | None, until: int | None, today: int) -> Span:
    first = since if since is not None else until if until is not None else today
    last = until if until is not None else max(first, today)
    if last < first:
        fields.wrong["until"] = "This is before the first day."
    elif last - first >= MOST_DAYS:
        fields.wrong["until"] = f"At most {MOST_DAYS} days; ask for months instead."
    return Span(first, min(max(first, last), first + MOST_DAYS))


def _months(first: Month, last: Month) -> str:
    names = [f"{datetime(month.year, month.month, 1, tzinfo=UTC):%B %Y}" for month in (first, last)]
    return names[0] if first == last else f"{names[0]} to {names[1]}"


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
