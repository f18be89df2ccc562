"""Calendar months in UTC, as epoch seconds."""

from collections.abc import Iterator
from datetime import UTC, datetime

Month = tuple[int, int]
"""(year, month), as in (2026, 11)."""


def month_of(seconds: float) -> Month:
    """The UTC month that contains the instant (epoch seconds)."""
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return moment.year, moment.month


def month_end(month: Month) -> float:
    """Epoch seconds of the first instant after the month."""
    year, number = month
    following = (year + 1, 1) if number == 12 else (year, number + 1)  # noqa: PLR2004 - December
    return datetime(*following, 1, tzinfo=UTC).timestamp()


def split_by_month(since: float, until: float) -> Iterator[tuple[Month, float, float]]:
    """Cut [since, until) at every month's end: (month, from, to) in order; epoch seconds."""
    while since < until:
        month = month_of(since)
        cut = min(month_end(month), until)
        yield month, since, cut
        since = cut


def month_ends_between(since: float, until: float) -> list[float]:
    """Every month's end in (since, until), as epoch seconds."""
    return [cut for _, _, cut in split_by_month(since, until) if cut < until]
