"""Which records and totals a question is about."""

from typing import Any

from sqlalchemy import ColumnElement, and_, tuple_

from accounting.lookup.records import allowed
from accounting.lookup.sums.question import Question
from accounting.model.time import Month
from accounting.store.engine.access import Viewer
from accounting.store.records import Selection
from accounting.store.tables import records


def asked(viewer: Viewer, question: Question) -> list[ColumnElement[bool]]:
    """The conditions on ``records`` of what a question is about.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    c = records.c
    selection = Selection(user=question.user, vo=question.vo)
    within = from_to(c, question.first, question.last)
    conditions = [*allowed(viewer, selection), within, *of_names(question, c)]
    if question.user and question.user != viewer.user:
        conditions.append(c.user == question.user)
    return conditions


def of_names(question: Question, c: Any) -> list[ColumnElement[bool]]:
    """The conditions on VO, flavour and image, of records or totals with the columns ``c``."""
    exact = {"vo": question.vo, "flavor": question.flavor, "image": question.image}
    conditions = [c[name] == value for name, value in exact.items() if value]
    conditions += [c[by.value].in_(names) for by, names in question.among]
    return conditions + [
        c[by.value].icontains(text, autoescape=True) for by, text in question.contains
    ]


def of_month(month: Month) -> ColumnElement[bool]:
    """Whether a record is of the month."""
    return and_(records.c.year == month.year, records.c.month == month.month)


def from_to(c: Any, first: Month, last: Month) -> ColumnElement[bool]:
    """Whether a record or total with the columns ``c`` is of these months, both included."""
    if first == last:
        return and_(c.year == first.year, c.month == first.month)
    its = tuple_(c.year, c.month)
    return and_(its >= tuple_(*first), its <= tuple_(*last))
