"""All records that a question selects, for files: read a page at a time, as fast as they come."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CursorResult,
    Float,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    func,
    true,
    tuple_,
)

from accounting.lookup import cursor
from accounting.lookup.records import Question, chosen
from accounting.model.records import Record
from accounting.records.formats import tabular
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.rows import record_of
from accounting.store.tables import records

_AT_ONCE = 5000
_TWO_DIGITS = 10
_LISTS = ("flags", "accelerators")
_WORDS = ("status", "digest", "held", "vo_rule", "energy_quality")
"""Texts that are this program's own words."""
_MARK = '"'
_SMALLEST, _LARGEST = 1e-4, 1e15
"""Between these, all write numbers without an exponent."""
_c = records.c
_KEY = (_c.uid, _c.year, _c.month)
"""As rows of all columns begin, too."""


def stream(database: Database, viewer: Viewer, question: Question) -> Iterator[Record]:
    """All records that a question selects, by month and pod, read a page at a time.

    Between two pages nothing is held: neither a connection, however slowly they are taken, nor a
    snapshot. A record that changes meanwhile appears once, as it is when its page is read. The
    order is that of the table, so that no index is followed and no sort holds all of them.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    # Only the records' own columns: how far each has come costs more than to read it.
    pages = _pages(database, viewer, question, records.columns, CursorResult.all)
    return (record_of(row) for page in pages for row in page)


def stream_lines(
    database: Database, viewer: Viewer, question: Question
) -> Iterator[tabular.Portion]:
    """The same for ``tabular``, a page at a time: lines of CSV that the database writes.

    Of a record whose line is not plain, and of one that it cannot write as Python would, the row
    is read.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    kept = _kept()
    line = _line(is_sqlite=database.is_sqlite)
    columns: list[Any] = [kept.get(name, _c.get(name)) for name in tabular.COLUMNS]
    query = chosen(viewer, _everything(question)).with_only_columns(*columns)
    pages = _pages(database, viewer, question, [*_KEY, line], _as_driven)
    return (_portion(page, partial(_rows, database, query)) for page in pages)


def _kept() -> dict[str, Any]:
    """The columns that ``tabular`` wants otherwise than the table has them."""
    month = cast(_c.year, String) + case((_c.month < _TWO_DIGITS, "-0"), else_="-")
    lists = {name: case((_c[name] != "[]", _c[name]), else_="") for name in _LISTS}
    return {"month": month + cast(_c.month, String), **lists}


def _line(*, is_sqlite: bool) -> ColumnElement[str]:
    """A line of CSV; with a quotation mark where a value must be written by Python."""
    wanted: dict[str, Any] = {
        **{name: case((_c[name] != "[]", _MARK), else_="") for name in _LISTS},
        **{name: _float(_c[name], is_sqlite=is_sqlite) for name in tabular.FLOATS & set(_c.keys())},
        **{name: _c[name] for name in _WORDS},
    }
    cells = [wanted.get(name, _text(_c.get(name), is_sqlite=is_sqlite)) for name in tabular.COLUMNS]
    formats = ["%s"] * len(cells)
    month = tabular.COLUMNS.index("month")
    formats[month] = "%s-%s%s"
    cells[month : month + 1] = [_c.year, case((_c.month < _TWO_DIGITS, "0"), else_=""), _c.month]
    written = (func.printf if is_sqlite else func.format)(",".join(formats), *cells)
    return written.label("line")


def _text(column: ColumnElement[Any] | None, *, is_sqlite: bool) -> ColumnElement[Any] | None:
    """A text; SQLite's printf would end it at a NUL, which PostgreSQL does not take at all."""
    if column is None or not is_sqlite or not isinstance(column.type, String):
        return column
    return case((func.instr(column, func.char(0)) > 0, _MARK), else_=column)


def _float(column: ColumnElement[Any], *, is_sqlite: bool) -> ColumnElement[str]:
    """A number as Python writes it: the shortest text that is the same number."""
    whole, text = cast(column, BigInteger), cast(column, Text)
    # SQLite writes 15 digits, which are the shortest text if they say the same number.
    is_same = cast(text, Float) == column if is_sqlite else true()
    short = case((and_(func.abs(column) >= _SMALLEST, is_same), text), else_=_MARK)
    full = case((column == whole, cast(whole, Text) + ".0"), else_=short)
    return case((column.is_(None), ""), (func.abs(column) < _LARGEST, full), else_=_MARK)


def _portion(page: Sequence[Any], rows_of: Callable[[Sequence[Any]], Any]) -> tabular.Portion:
    lines = [row[-1] for row in page]
    if (text := tabular.plain_text(lines)) is not None:
        return tabular.Portion(text)
    plain = [None if tabular.plain_text([line]) is None else line for line in lines]
    odd = [row for row, line in zip(page, plain, strict=True) if line is None]
    found = rows_of(odd)
    # A record that was erased meanwhile is left out.
    kept = [
        (line, row)
        for line, row in zip(plain, page, strict=True)
        if line is not None or row[:-1] in found
    ]
    rows = [found[row[:-1]] for line, row in kept if line is None]
    return tabular.Portion("", [line for line, _ in kept], rows)


def _rows(
    database: Database, query: Select[Any], page: Sequence[Any]
) -> dict[tuple[Any, ...], tabular.Row]:
    """Some records of a page as rows, by their keys."""
    first, last = (tuple_(year, month, uid) for uid, year, month, _ in (page[0], page[-1]))
    key = tuple_(_c.year, _c.month, _c.uid)
    found: dict[tuple[Any, ...], tabular.Row] = {}
    within = query.where(key >= first, key <= last, _c.uid.in_([row[0] for row in page]))
    with database.begin(reading=True) as connection:
        for row in connection.execute(within):
            found[_key_of_row(row)] = row
    return found


def _as_driven(result: CursorResult[Any]) -> Sequence[Any]:
    """The driver's own tuples: SQLAlchemy's rows keep Python's garbage collector busy."""
    assert result.cursor is not None  # noqa: S101 - a query's
    return result.cursor.fetchall()


def _key_of_row(row: tabular.Row) -> tuple[Any, ...]:
    uid, month = row[:2]
    return (uid, *map(int, month.split("-")))


def _everything(question: Question) -> Question:
    return replace(question, selection=replace(question.selection, limit=None))


def _pages(
    database: Database,
    viewer: Viewer,
    question: Question,
    columns: Iterable[Any],
    rows_of: Callable[[CursorResult[Any]], Sequence[Any]],
) -> Iterator[Sequence[Any]]:
    """Pages of these columns, which begin with ``_KEY``, in the order of the table."""
    limit = question.selection.limit
    key = (_c.year, _c.month, _c.uid)
    query = chosen(viewer, _everything(question)).with_only_columns(*columns).order_by(*key)

    def found() -> Iterator[Sequence[Any]]:
        following, left = query, limit
        while left is None or left > 0:
            count = _AT_ONCE if left is None else min(left, _AT_ONCE)
            with database.begin(reading=True) as connection:
                rows = rows_of(connection.execute(following.limit(count)))
            yield rows
            if len(rows) < count:
                return
            uid, year, month, *_ = rows[-1]
            following = query.where(cursor.after(key, (year, month, uid), descending=False))
            left = None if left is None else left - count

    return found()
