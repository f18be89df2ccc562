"""How long notebooks ran on each UTC day, by flavour, user and VO. Pure.

Wall time lies between a pod's start and its last sample without a break, so each day's part of it
is exact: days are cut at UTC midnights, not at the moments of polls or records.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import NamedTuple

from accounting.model.time import Month

DAY_SECONDS = 86400


class Spell(NamedTuple):
    """An unbroken part of a pod's wall time, [begun_at, until) in Unix seconds."""

    flavor: str
    user: str
    vo: str
    begun_at: int
    until: int


class Share(NamedTuple):
    """Whose time it is, and of which day; days count from 1970-01-01."""

    flavor: str
    user: str
    vo: str
    day: int


class Metric(NamedTuple):
    """What a flavour's hours count as at EOSC: ids that the receiver has given."""

    installation: str
    definition: str


class Figure(NamedTuple):
    """The key of one daily figure at EOSC."""

    metric: Metric
    user: str
    vo: str
    day: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Which metric each flavour counts as: exact names before patterns (``*``, ``?``, ``[…]``).

    Attributes:
        of_flavors: by flavour or pattern; None: its hours are left out on purpose.
    """

    of_flavors: Mapping[str, Metric | None] = field(default_factory=dict)

    def knows(self, flavor: str) -> bool:
        """Whether a rule says what becomes of the flavour's hours."""
        return self._rule(flavor) is not None

    def of(self, flavor: str) -> Metric | None:
        """What the flavour's hours count as; None: they are not sent."""
        rule = self._rule(flavor)
        return None if rule is None else self.of_flavors[rule]

    def _rule(self, flavor: str) -> str | None:
        if flavor in self.of_flavors:
            return flavor
        return next((rule for rule in self.of_flavors if fnmatchcase(flavor, rule)), None)


def seconds_by_day(spells: Iterable[Spell], month: Month) -> dict[Share, int]:
    """Seconds of each flavour, user, VO and day of the month; what lies outside it is left out."""
    found: dict[Share, int] = defaultdict(int)
    for flavor, user, vo, begun_at, until in spells:
        start, end = max(begun_at, month.start), min(until, month.end)
        while start < end:
            day = start // DAY_SECONDS
            cut = min(end, (day + 1) * DAY_SECONDS)
            found[Share(flavor, user, vo, day)] += cut - start
            start = cut
    return dict(found)


def by_figure(shares: Iterable[tuple[Share, int]], metrics: Metrics) -> dict[Figure, int]:
    """Seconds by what the receiver tells apart: flavours that count as one metric are added up."""
    found: dict[Figure, int] = defaultdict(int)
    for share, seconds in shares:
        if metric := metrics.of(share.flavor):
            found[Figure(metric, share.user, share.vo, share.day)] += seconds
    return dict(found)


def unmapped(shares: Iterable[tuple[Share, int]], metrics: Metrics) -> Iterator[Share]:
    """The shares whose flavours no rule knows."""
    return (share for share, _ in shares if not metrics.knows(share.flavor))
