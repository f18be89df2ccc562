"""Records as a viewer sees them: pages of a list, counts and sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    select,
    tuple_,
)

from accounting.errors import AccountingError
from accounting.lookup import cursor
from accounting.lookup.entries import Delivery, Entry
from accounting.lookup.names import located
from accounting.model.messages import WAITING, MessageState
from accounting.model.time import Month
from accounting.store.due import NOTHING_CLOSED, is_differing, is_due, unsettled
from accounting.store.engine.access import Right, Viewer, own
from accounting.store.engine.database import Database
from accounting.store.holds import is_acknowledged
from accounting.store.records import Selection, narrowed
from accounting.store.tables import messages, queued, records

_AT_ONCE = 1000


_RARE = (Delivery.ACKNOWLEDGED, Delivery.HELD, Delivery.DUE, Delivery.DIFFERING)
"""States that only a few records are in; before the first push, most are."""
_PASSING = (Delivery.PENDING, Delivery.PARKED)
"""The same of those that a message's state tells; while all are pushed, most are."""


class Sort(StrEnum):
    """What a list is sorted by; a minus in front of it, as the API writes it, is downwards.

    By month (and by start within it) and by pod there are indexes, so that a page is quick however
    many records there are.
    """

    MONTH = "month"
    START = "start"
    END = "end"
    MEASURED = "measured"
    WALL = "wall"
    CPU = "cpu"
    USER = "user"
    VO = "vo"
    POD = "pod"


_c = records.c
# An end or CPU time that is not known sorts below all that are.
_SORTED: Mapping[Sort, tuple[ColumnElement[Any], type]] = {
    Sort.START: (_c.start_at, int),
    Sort.END: (func.coalesce(_c.end_at, -1), int),
    Sort.MEASURED: (_c.created_at, int),
    Sort.WALL: (_c.wall_seconds, int),
    Sort.CPU: (func.coalesce(_c.cpu_seconds, -1), int),
    Sort.USER: (_c.user, str),
    Sort.VO: (_c.vo, str),
}
_KEY: tuple[ColumnElement[Any], ...] = (_c.uid, _c.year, _c.month)
_KEY_KINDS: tuple[type, ...] = (str, int, int)
_STATES: Mapping[Delivery, tuple[MessageState, ...]] = {
    Delivery.PENDING: WAITING,
    Delivery.PARKED: (MessageState.PARKED,),
    Delivery.SENT: (MessageState.SENT,),
}
_DELIVERY_OF = {state.value: delivery for delivery, states in _STATES.items() for state in states}

FEW = 1000
"""So many records are rather found by what they wait for than met in the order of a list."""


class Forbidden(AccountingError):
    """The viewer may not ask this; says the same whether the thing exists or not."""

    def __init__(self) -> None:
        super().__init__(
            "this is not yours to see", "ask for your own usage, or for a VO that you manage"
        )


_ALL = Selection()


@dataclass(frozen=True, slots=True)
class Question:
    """Which records, in which order.

    Attributes:
        selection: which; its limit is the page's.
        delivery: only those that have come this far.
        open_from: the first month that is not closed, which decides what is due and what differing.
        sort: by what.
        descending: the largest first.
        cursor: where the page before ended; empty for the first.
    """

    selection: Selection = _ALL
    delivery: Delivery | None = None
    open_from: Month = NOTHING_CLOSED
    sort: Sort = Sort.MONTH
    descending: bool = True
    cursor: str = ""

    @property
    def sort_name(self) -> str:
        """The sort as the API writes it."""
        return f"-{self.sort}" if self.descending else self.sort.value


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ``next`` is the cursor of the page after it, empty on the last."""

    entries: list[Entry]
    next: str


def page(database: Database, viewer: Viewer, question: Question) -> Page:
    """A page of records.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
        BadCursor: the cursor is not of this question.
    """
    with database.asking() as connection:
        there = _located(connection, viewer, question)
        if there is None:
            return Page([], "")
        query, columns, limit = _page_of(viewer, there)
        found = _among_few(connection, query, question)
        if found is query and viewer.is_admin:
            found = _in_order(query, question)
        rows = connection.execute(found).all()
        shown: Sequence[Any] = rows[:limit]
        if question.sort in _SORTED:
            shown = _whole(connection, viewer, question, shown)
        entries = entries_of(connection, shown, question.open_from)
    following = ""
    if len(rows) > limit:
        last = rows[limit - 1]
        ends = [getattr(last, f"sorted_{place}") for place in range(columns)]
        following = cursor.encode(question.sort_name, ends)
    return Page(entries, following)


def count(database: Database, viewer: Viewer, question: Question) -> int:
    """How many records a question selects, on all its pages.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    with database.asking() as connection:
        there = _located(connection, viewer, question)
        if there is None:
            return 0
        selected = _all_of(viewer, there).with_only_columns(_c.uid)
        found = _among_few(connection, selected, question).subquery()
        return connection.execute(select(func.count()).select_from(found)).scalar_one()


def used(database: Database, viewer: Viewer, question: Question) -> tuple[int, int, int]:
    """Notebooks, wall and CPU seconds used within their months, of all that a question selects.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    with database.asking() as connection:
        there = _located(connection, viewer, question)
        if there is None:
            return 0, 0, 0
        selected = _all_of(viewer, there)
        figures = selected.with_only_columns(_c.uid, _c.used_wall_seconds, _c.used_cpu_seconds)
        c = _among_few(connection, figures, question).subquery().c
        sums = (
            func.coalesce(func.sum(one), 0) for one in (c.used_wall_seconds, c.used_cpu_seconds)
        )
        pods, wall, cpu = connection.execute(select(func.count(c.uid.distinct()), *sums)).one()
    return pods, int(wall), int(cpu)


def is_many(database: Database, question: Question) -> bool:
    """Whether so many records wait for something that to add them up would take long.

    Before the first push, and while a destination is away, nearly all may do so.
    """
    which = _waiting_ones(question)
    if which is None:
        return False
    with database.asking() as connection:
        return len(connection.scalars(which.limit(FEW + 1)).all()) > FEW


def _located(connection: Connection, viewer: Viewer, question: Question) -> Question | None:
    """The same question, with where such records are; None if there are none.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    allowed(viewer, question.selection)
    selection = located(connection, viewer, question.selection)
    return None if selection is None else replace(question, selection=selection)


def _all_of(viewer: Viewer, question: Question) -> Select[Any]:
    """All that a question selects, without the limit of its pages."""
    everything = replace(question.selection, limit=None)
    return chosen(viewer, replace(question, selection=everything))


def _among_few(connection: Connection, query: Select[Any], question: Question) -> Select[Any]:
    """The same query; if only a few records can have come so far, it looks at no others."""
    which = _waiting_ones(question)
    if which is None:
        return query
    few = connection.scalars(which.limit(FEW + 1)).all()
    return query.where(_c.uid.in_(few)) if len(few) <= FEW else query


def _in_order(query: Select[Any], question: Question) -> Select[Any]:
    """The same query; if very many records are due, they are met in the order of the list.

    SQLite would sort them all: of 300,000, that takes 0.6 s of processor time instead of 2 ms.
    """
    everything = replace(question.selection, limit=None) == _ALL
    is_due = question.delivery in {Delivery.DUE, Delivery.DIFFERING}
    if not (everything and is_due and question.sort is Sort.MONTH):
        return query
    hint = "INDEXED BY ix_records_year_month_start_at_uid"
    return query.with_hint(records, hint, dialect_name="sqlite")


def _waiting_ones(question: Question) -> Select[Any] | None:
    """The uids of all records that can have come so far; None where nearly all have."""
    if question.delivery in _RARE:
        return select(_c.uid).where(_is(question.delivery, question.open_from))
    if question.delivery in _PASSING:
        states = [state.value for state in _STATES[question.delivery]]
        these = select(messages.c.id).where(messages.c.state.in_(states))
        return select(queued.c.uid).where(queued.c.message_id.in_(these))
    return None


# Compiling such a query takes as long as running it: without the two caches, p99 of a page of the
# list is 64 ms instead of 31 ms (`make bench`, API, 200,000 records).
@lru_cache(maxsize=64)
def _page_of(viewer: Viewer, question: Question) -> tuple[Select[Any], int, int]:
    """A page's query, with how many columns tell where it ends, and how long it is."""
    limit = question.selection.limit or _AT_ONCE
    everything = replace(question, selection=replace(question.selection, limit=None))
    key, kinds = _order(question.sort)
    query = chosen(viewer, everything).order_by(
        *(part.desc() if question.descending else part for part in key)
    )
    if question.sort in _SORTED:  # no index has the order: all that fit are sorted
        query = query.with_only_columns(*_KEY)
    if question.cursor:
        values = cursor.decode(question.cursor, question.sort_name, kinds)
        query = query.where(cursor.after(key, values, descending=question.descending))
    sorted_by = [part.label(f"sorted_{place}") for place, part in enumerate(key)]
    return query.add_columns(*sorted_by).limit(limit + 1), len(key), limit


def _whole(
    connection: Connection, viewer: Viewer, question: Question, keys: Sequence[Any]
) -> list[Any]:
    """The records of a page that was sorted by keys alone, in its order.

    To sort 300,000 whole records by CPU time takes PostgreSQL 0.5 s, and their keys 0.2 s.
    """
    these = _c.uid.in_([key.uid for key in keys])
    found = connection.execute(_EVERYTHING.where(*allowed(viewer, question.selection), these))
    by_key = {(row.uid, row.year, row.month): row for row in found}
    places = ((key.uid, key.year, key.month) for key in keys)
    return [by_key[place] for place in places if place in by_key]


def chosen(viewer: Viewer, question: Question) -> Select[Any]:
    """The records that a question selects, each with how far it has come, in no order.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    selection = question.selection
    query = _EVERYTHING.where(*allowed(viewer, selection))
    if question.delivery is not None:
        query = query.where(_is(question.delivery, question.open_from))
    if selection.user and selection.user == viewer.user:
        selection = replace(selection, user="")
    return narrowed(query, selection)


def _message_id() -> Any:
    """The message that took a record last, to whatever destination."""
    last = select(func.max(queued.c.message_id)).where(
        *(queued.c[name] == _c[name] for name in ("year", "month", "uid"))
    )
    return last.correlate(records).scalar_subquery()


def _state() -> Any:
    state = select(messages.c.state).where(messages.c.id == _message_id())
    return state.correlate(records).scalar_subquery()


_may_wait = (_c.held != literal_column("''")) | tuple_(_c.year, _c.month).in_(unsettled())
_EVERYTHING = select(
    records,
    _state().label("state"),
    _message_id().label("message_id"),
    _may_wait.label("may_wait"),
)


def _is(delivery: Delivery, open_from: Month) -> ColumnElement[bool]:
    """The condition of a record whose content has come this far."""
    held = _c.held != literal_column("''")
    due: ColumnElement[bool] = is_due(open_from)
    differing: ColumnElement[bool] = is_differing(open_from)
    rare = {
        Delivery.ACKNOWLEDGED: is_acknowledged,
        Delivery.HELD: held & ~is_acknowledged,
        Delivery.DUE: due,
        Delivery.DIFFERING: differing,
    }
    if delivery in rare:
        return rare[delivery]
    states = [state.value for state in _STATES[delivery]]
    return and_(~held, ~due, ~differing, _state().in_(states))


def allowed(viewer: Viewer, selection: Selection) -> list[ColumnElement[bool]]:
    """The conditions that a viewer's question about records carries.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    if not viewer.may(Right.READ):
        raise Forbidden
    if not viewer.may_ask_for(user=selection.user, vo=selection.vo):
        raise Forbidden
    if selection.user and selection.user == viewer.user:
        return [viewer.restriction(), own(viewer.user)]
    return [viewer.restriction()]


def _order(sort: Sort) -> tuple[tuple[ColumnElement[Any], ...], tuple[type, ...]]:
    """The columns of a sort, with the key as their end, and what kind of value each holds."""
    if sort is Sort.POD:
        return _KEY, _KEY_KINDS
    if sort is Sort.MONTH:
        return (_c.year, _c.month, _c.start_at, _c.uid), (int, int, int, str)
    column, kind = _SORTED[sort]
    return (column, *_KEY), (kind, *_KEY_KINDS)


def entries_of(connection: Connection, rows: Sequence[Any], open_from: Month) -> list[Entry]:
    """Records with how far each has come.

    What its last message says of a record is read with it. Only of those that are held, or of a
    month that has something to tell, it must be asked what they wait for: that question takes a
    database as long to plan as the page takes to read.
    """
    asked = [row.uid for row in rows if row.may_wait]
    waiting = {}
    if asked:
        found = connection.execute(_waiting(open_from), {"uids": asked})
        waiting = {(row.year, row.month, row.uid): row.waits for row in found}
    return [_entry(row, waiting.get((row.year, row.month, row.uid))) for row in rows]


@lru_cache(maxsize=4)
def _waiting(open_from: Month) -> Select[Any]:
    waits = case(*((_is(way, open_from), way.value) for way in _RARE)).label("waits")
    among = _c.uid.in_(bindparam("uids", expanding=True))
    return select(_c.year, _c.month, _c.uid, waits).where(among)


def _entry(row: Any, waits: str | None) -> Entry:
    if waits:
        return Entry(row, Delivery(waits), row.message_id)
    # Without a message, and yet told: it was put into one between the two questions.
    delivery = _DELIVERY_OF.get(row.state, Delivery.PENDING)
    return Entry(row, delivery, row.message_id)
