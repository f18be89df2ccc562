"""Holds what the portal shows against what was delivered, and finds the likely cause. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from accounting.model.reconciliation import Answer, Cause, Line, Shown, Told, Unit, Used

# A portal lacks a refused message more often than it has another sender's beside ours.
_MORE_IS_RARER = 2.0

Key = tuple[str, str]
"""A site and a VO; upper and lower case are the same to the repository."""


def key_of(site: str, vo: str) -> Key:
    """The key of a line."""
    return site.casefold(), vo.casefold()


@dataclass(frozen=True, slots=True)
class Terms:
    """How to compare.

    Attributes:
        tolerance: differences up to this part of a figure are none.
        fresh_from: what was delivered later, Unix seconds, may not be shown yet.
        unit: the portal's; None: the one in which most is alike.
        forgotten: how many delivered figures are forgotten, with their users: no sum has them.
    """

    tolerance: float
    fresh_from: float
    unit: Unit | None = None
    forgotten: int = 0


@dataclass(slots=True)
class _Sum:
    """The rows of one line, in the portal's unit."""

    site: str
    vo: str
    rows: list[Shown] = field(default_factory=list)

    def used(self, unit: Unit, services: set[str] | None = None) -> Used:
        """In seconds; only of these services if they are given."""
        rows = [row for row in self.rows if services is None or row.service in services]
        return Used(
            sum(row.jobs for row in rows),
            sum(row.wall for row in rows) * unit.seconds,
            sum(row.cpu for row in rows) * unit.seconds,
        )

    def rounding(self, unit: Unit) -> float:
        """How many seconds its figures may be off, as they are written."""
        whole = all(float(row.wall).is_integer() for row in self.rows)
        return len(self.rows) * unit.seconds * (0.5 if whole else 0.01)


def compared(answer: Answer, told: Mapping[Key, Told], terms: Terms) -> tuple[Unit, list[Line]]:
    """Every site and VO that either side knows.

    Args:
        answer: the portal's, of one month and of the sites that are asked about.
        told: what was delivered, by ``key_of``.
        terms: how to compare.

    Returns:
        (what the portal's times were taken for, the lines by site and VO).
    """
    sums: dict[Key, _Sum] = {}
    for row in answer.rows:
        sums.setdefault(key_of(row.site, row.vo), _Sum(row.site, row.vo)).rows.append(row)
    unit = terms.unit or _likely_unit(sums, told, terms)
    lines = [
        _line(
            sums.get(key) or _Sum(told[key].site, told[key].vo),
            told.get(key) or Told(sums[key].site, sums[key].vo),
            unit,
            terms,
            is_partial=answer.is_partial,
        )
        for key in sorted({*sums, *told})
    ]
    return unit, lines


def _likely_unit(sums: Mapping[Key, _Sum], told: Mapping[Key, Told], terms: Terms) -> Unit:
    """The unit in which most lines agree, else the nearest; the portal's pages count hours."""
    both = [key for key in sums if key in told]
    shown = sum(sums[key].used(Unit.SECONDS).wall_seconds for key in both)
    delivered = sum(told[key].total.wall_seconds for key in both)
    if shown <= 0 or delivered <= 0:
        return Unit.HOURS

    def fits(unit: Unit) -> tuple[int, float]:
        more = math.log(shown * unit.seconds / delivered)
        agreeing = sum(_agrees(sums[key], told[key], unit, terms) for key in both)
        return agreeing, -max(_MORE_IS_RARER * more, -more)

    return max(Unit, key=fits)


@dataclass(frozen=True, slots=True)
class _Scale:
    """When two figures are the same: by their size, and as the portal rounds."""

    tolerance: float
    rounding: float

    def near(self, one: float, other: float) -> bool:
        """Whether two numbers of seconds are."""
        slack = max(self.tolerance * max(abs(one), abs(other)), self.rounding)
        return abs(one - other) <= slack

    def alike(self, one: Used, other: Used) -> bool:
        """Whether wall and CPU time are; how notebooks are counted differs between releases."""
        return self.near(one.wall_seconds, other.wall_seconds) and self.near(
            one.cpu_seconds, other.cpu_seconds
        )

    def is_less(self, one: Used, other: Used) -> bool:
        """Whether one is less, by wall time unless that is the same."""
        if self.near(one.wall_seconds, other.wall_seconds):
            return one.cpu_seconds < other.cpu_seconds
        return one.wall_seconds < other.wall_seconds


_Reason = tuple[Cause, str, tuple[int, ...]]


def _line(shown: _Sum, told: Told, unit: Unit, terms: Terms, *, is_partial: bool) -> Line:
    seen, sent = shown.used(unit), told.total
    scale = _Scale(terms.tolerance, shown.rounding(unit))
    found: _Reason = (Cause.NONE, "", ())
    if not scale.alike(seen, sent):
        found = _reason(shown, told, unit, terms, scale, is_partial=is_partial)
    return Line(told.site, told.vo, seen, sent, *found)


def _reason(
    shown: _Sum, told: Told, unit: Unit, terms: Terms, scale: _Scale, *, is_partial: bool
) -> _Reason:
    seen, sent = shown.used(unit), told.total
    if other := _other_unit(shown, told, unit, terms):
        return Cause.UNITS, f"both are the same if the portal counts {other}, not {unit}", ()
    if not scale.is_less(seen, sent):
        return _of_more(shown, told, unit, terms, scale)
    if is_partial:
        return Cause.PARTIAL, "the portal says that its answer is not whole", ()
    return _of_less(seen, told, terms, scale)


def _other_unit(shown: _Sum, told: Told, unit: Unit, terms: Terms) -> Unit | None:
    """Another unit in which the line agrees."""
    others = (other for other in Unit if other is not unit)
    return next((other for other in others if _agrees(shown, told, other, terms)), None)


def _agrees(shown: _Sum, told: Told, unit: Unit, terms: Terms) -> bool:
    """Whether a line is alike in a unit, and is so by more than how that rounds."""
    scale = _Scale(terms.tolerance, shown.rounding(unit))
    is_much = told.total.wall_seconds > 2 * scale.rounding
    return is_much and scale.alike(shown.used(unit), told.total)


def _of_less(seen: Used, told: Told, terms: Terms, scale: _Scale) -> _Reason:
    """The portal shows less: it is not there yet, or a message was refused after delivery."""
    fresh = told.since(terms.fresh_from)
    due = told.total - fresh
    late = tuple(sorted(n for n, at in told.at.items() if at > terms.fresh_from))
    if late and not (scale.is_less(seen, due) and not scale.alike(seen, due)):
        return Cause.LATE, "delivered after the portal's figures were made", late
    missing = due - seen
    for number, one in sorted(told.by_message.items()):
        if number not in late and scale.alike(one, missing):
            return Cause.REFUSED, "what is missing is what this message said", (number,)
    if not seen.wall_seconds and not seen.cpu_seconds:
        older = tuple(sorted(told.by_message.keys() - set(late)))
        return Cause.REFUSED, "nothing of it is shown", older
    return Cause.REFUSED, "what is missing is of no single message", ()


def _of_more(shown: _Sum, told: Told, unit: Unit, terms: Terms, scale: _Scale) -> _Reason:
    """The portal shows more: somebody else reports, or a correction is not there yet."""
    if terms.forgotten:
        said = f"{terms.forgotten} delivered figures are forgotten here, with their users"
        return Cause.FORGOTTEN, said, ()
    if not told.by_message:
        return Cause.ANOTHER_SENDER, "nothing of this VO was delivered from here", ()
    services = {row.service for row in shown.rows} - told.services - {""}
    own = shown.used(unit, {*told.services, ""})
    if told.services and services and scale.alike(own, told.total):
        return Cause.ANOTHER_SENDER, f"the rest is of {', '.join(sorted(services))}", ()
    late = tuple(sorted(n for n, at in told.at.items() if at > terms.fresh_from))
    if late:
        return Cause.LATE, "what was delivered last may not have replaced the rest yet", late
    return Cause.ANOTHER_SENDER, "more is shown than was delivered from here", ()
