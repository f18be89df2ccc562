"""All records that a question selects, for files: read a page at a time, as fast as they come."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import String, case, cast

from accounting.lookup import cursor
from accounting.lookup.records import Question, chosen
from accounting.model.records import Record
from accounting.records.formats import tabular
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.rows import record_of
from accounting.store.tables import records

_AT_ONCE = 1000
_TWO_DIGITS = 10
_LISTS = ("flags", "accelerators")
_c = records.c


def stream(database: Database, viewer: Viewer, question: Question) -> Iterator[Record]:
    """All records that a question selects, by month and pod, read a page at a time.

    Between two pages nothing is held: neither a connection, however slowly they are taken, nor a
    snapshot. A record that changes meanwhile appears once, as it is when its page is read. The
    order is that of the table, so that no index is followed and no sort holds all of them.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    # Only the records' own columns: how far each has come costs more than to read it.
    pages = _pages(
        database, viewer, question, records.columns, lambda row: (row.year, row.month, row.uid)
    )
    return (record_of(row) for page in pages for row in page)


def stream_rows(
    database: Database, viewer: Viewer, question: Question
) -> Iterator[Sequence[tabular.Row]]:
    """The same as rows of ``tabular``, a page at a time, without making records of them.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    month = cast(_c.year, String) + case((_c.month < _TWO_DIGITS, "-0"), else_="-")
    kept = {
        "month": month + cast(_c.month, String),
        **{
            name: case((_c[name] != "[]", _c[name]), else_="") for name in ("flags", "accelerators")
        },
    }
    columns = [kept.get(name, _c.get(name)) for name in tabular.COLUMNS]
    return _pages(database, viewer, question, columns, _key_of_kept)


def _key_of_kept(row: tabular.Row) -> tuple[Any, ...]:
    uid, month = row[:2]
    return (*map(int, month.split("-")), uid)


def _pages(
    database: Database,
    viewer: Viewer,
    question: Question,
    columns: Iterable[Any],
    key_of: Callable[[Any], tuple[Any, ...]],
) -> Iterator[Sequence[Any]]:
    """Pages of these columns in the order of the table; ``key_of`` tells where one ends."""
    limit = question.selection.limit
    everything = replace(question, selection=replace(question.selection, limit=None))
    key = (_c.year, _c.month, _c.uid)
    query = chosen(viewer, everything).with_only_columns(*columns).order_by(*key)

    def found() -> Iterator[Sequence[Any]]:
        following, left = query, limit
        while left is None or left > 0:
            count = _AT_ONCE if left is None else min(left, _AT_ONCE)
            with database.begin(reading=True) as connection:
                rows = connection.execute(following.limit(count)).all()
            yield rows
            if len(rows) < count:
                return
            following = query.where(cursor.after(key, key_of(rows[-1]), descending=False))
            left = None if left is None else left - count

    return found()
