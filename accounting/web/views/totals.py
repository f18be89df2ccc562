"""Rows of a table added up."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from accounting.lookup.sums.outgoing import NOTHING, Part
from accounting.lookup.sums.row import FIGURES, Usage

_NOT_SUMMED = frozenset({"users", "energy_quality"})
_SUMMED = tuple(name for name in FIGURES if name not in _NOT_SUMMED)
_ZERO = Usage({}, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0)


def total(rows: Sequence[Usage]) -> Usage:
    """The sum of rows; users are counted by none, as one may be in several rows."""
    sums = {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}
    told = [row.delivered for row in rows if row.delivered is not None]
    return replace(
        _ZERO,
        **sums,
        goes_out=added(row.goes_out for row in rows),
        delivered=added(told) if len(told) == len(rows) else None,
    )


def added(parts: Iterable[Part]) -> Part:
    """Parts of several rows together."""
    whole = NOTHING
    for part in parts:
        whole = whole.more(part)
    return whole
