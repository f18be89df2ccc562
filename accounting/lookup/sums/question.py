"""What can be asked of usage: which, and how it is added up."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from accounting.model.time import Month
from accounting.store import parts


class By(StrEnum):
    """What usage can be added up by."""

    MONTH = "month"
    DAY = "day"
    VO = "vo"
    USER = "user"
    FLAVOR = "flavor"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Question:
    """Which usage, and how it is added up.

    Attributes:
        by: what rows stand for; one row for all if empty.
        first, last: the months from and to which, both included.
        user, vo, flavor, image: only these; empty text: all.
        contains: (one of those, a part of its text), whatever its case.
        among: (one of those, some names): only these names.
        days: only these days, as days since 1970, both included; None: all of the months.
        counts: whether notebooks and users are counted, and whose CPU time or energy is not known.
            Without that, all of it is 0, and sums take half as long.
    """

    by: tuple[By, ...]
    first: Month
    last: Month
    user: str = ""
    vo: str = ""
    flavor: str = ""
    image: str = ""
    contains: tuple[tuple[By, str], ...] = ()
    among: tuple[tuple[By, tuple[str, ...]], ...] = ()
    days: tuple[int, int] | None = None
    counts: bool = True

    @property
    def months(self) -> list[Month]:
        """All months it is about."""
        return list(self.first.until(self.last))

    @property
    def names(self) -> frozenset[By]:
        """What it needs to be told apart: as rows, or to choose some."""
        exact = {By.USER: self.user, By.VO: self.vo, By.FLAVOR: self.flavor, By.IMAGE: self.image}
        chosen = (*self.contains, *self.among, *exact.items())
        return frozenset({*self.by, *(by for by, text in chosen if text)})

    @property
    def is_by_months(self) -> bool:
        """Whether it is about whole months, as the repository is given them."""
        return self.days is None and By.DAY not in self.by

    def months_by_day(self) -> list[Month]:
        """The months of which days are told apart, or only some are asked for."""
        if By.DAY in self.by:
            return self.months
        if self.days is None:
            return []
        first, last = self.days
        return [
            month
            for month in self.months
            if month.start < first * parts.DAY_SECONDS or (last + 1) * parts.DAY_SECONDS < month.end
        ]

    def parts(self) -> Iterator["Question"]:
        """Questions that together answer this one: where rows are of one month, one for each."""
        if {By.MONTH, By.DAY}.isdisjoint(self.by) or not (self.counts or By.DAY in self.by):
            yield self
            return
        for month in self.months:
            yield replace(self, first=month, last=month)


@lru_cache(maxsize=4096)
def shown(by: By, value: Any) -> str:
    """What a row stands for, as text; months and days as ISO 8601."""
    if by is By.MONTH:
        return str(Month(value // 12, value % 12 + 1))
    if by is By.DAY:
        return datetime.fromtimestamp(value * parts.DAY_SECONDS, UTC).date().isoformat()
    return str(value)
