"""Names that records have, looked for among the totals, which are fewer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal, select, union_all

from accounting.model.time import Month
from accounting.store import parts
from accounting.store.engine.access import Viewer, own
from accounting.store.records import Selection, of_names
from accounting.store.tables import MOST_NAME, records
from accounting.store.totals import of_months

_FEW = 1000
"""So many records are rather found by their users than met in the order of a list."""
_MOST_USERS = 100


def located(connection: Connection, viewer: Viewer, selection: Selection) -> Selection | None:
    """A selection by names, with where such records are: the months, and the users if few.

    A list would else be searched to its end for a name that is rare, or that none has.

    Returns:
        One that selects the same; None if it selects nothing.
    """
    if not (selection.contains or selection.flavor or selection.image):
        return selection
    if not (viewer.is_admin or viewer.vos) or (selection.user and selection.user == viewer.user):
        return selection  # their own records are found at once
    places = _places(viewer, selection)
    some = union_all(*places).subquery()
    found = connection.execute(select(some).limit(_FEW + 1)).all()
    if not found:
        return None
    if len(found) > _FEW:  # at once where all have such a name, however many they are
        return replace(selection, within=_ends(connection, places))
    months = [Month(row.year, row.month) for row in found]
    there = replace(selection, within=(min(months), max(months)))
    users = {row.user for row in found}
    is_rare = sum(row.pods for row in found) <= _FEW and len(users) <= _MOST_USERS
    if not is_rare or max(map(len, users)) > MOST_NAME:
        return there
    return replace(there, users=tuple(sorted(users)))


def _ends(connection: Connection, places: Sequence[Select[Any]]) -> tuple[Month, Month]:
    """The first and the last month of some places, each read from its own end of the table."""
    found = []
    for place in places:
        year, month = list(place.selected_columns)[:2]
        for order in ((year, month), (year.desc(), month.desc())):
            row = connection.execute(place.order_by(*order).limit(1)).first()
            found += [Month(row.year, row.month)] if row else []
    return min(found), max(found)


def _places(viewer: Viewer, selection: Selection) -> Sequence[Select[Any]]:
    """In which months and of which users such records are, as several queries."""
    c, of = records.c, of_months([*selection.names, "user"]).c
    kept = select(of.year, of.month, of.user, of.pods).where(*_of(selection, of))
    apart = _one_by_one(selection).where(viewer.restriction())
    if viewer.is_admin:
        return kept, parts.of_apart(apart)
    mine = _one_by_one(selection).where(own(viewer.user))
    vos = sorted(viewer.vos)
    return kept.where(of.vo.in_(vos)), parts.of_apart(apart.where(c.vo.in_(vos))), mine


def _one_by_one(selection: Selection) -> Select[Any]:
    c = records.c
    found = select(c.year, c.month, c.user, literal(1).label("pods"))
    return found.where(*_of(selection, c))


def _of(selection: Selection, c: Any) -> list[ColumnElement[bool]]:
    conditions = of_names(selection, c)
    if selection.month is not None:
        conditions += [c.year == selection.month.year, c.month == selection.month.month]
    return conditions
