"""All records that a question selects, for files: read a page at a time, as fast as they come."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from accounting.lookup import cursor
from accounting.lookup.records import Question, chosen
from accounting.model.records import Record
from accounting.records.formats import tabular
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.rows import record_of
from accounting.store.tables import records

_AT_ONCE = 5000
_LINES_AT_ONCE = 10_000
"""Lines are shorter than rows. With half as many, Parquet takes a seventh longer."""
_READERS = 2
"""Connections that read pages of one file."""
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
_ORDER = (_c.year, _c.month, _c.uid)
_NO_LINES = tabular.Portion()
_Key = tuple[str, int, int]
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it was read.

    Attributes:
        size: how many records it has.
        last: the last one's key; None: there is none.
        rows: of all columns that were asked for, which begin with ``_KEY``.
        portion: the same for ``tabular``.
    """

    size: int
    last: _Key | None
    rows: Sequence[Any] = ()
    portion: tabular.Portion = _NO_LINES


def stream(database: Database, viewer: Viewer, question: Question) -> Iterator[Record]:
    """All records that a question selects, by month and pod, read a page at a time.

    Between two pages nothing is held: neither a connection, however slowly they are taken, nor a
    snapshot. A record that changes meanwhile appears once, as it is when its page is read. The
    order is that of the table, so that no index is followed and no sort holds all of them.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    # Only the records' own columns: how far each has come costs more than to read it.
    pages = _pages(database, viewer, question, partial(_rows, records.columns))
    return (record_of(row) for page in pages for row in page.rows)


def stream_lines(
    database: Database, viewer: Viewer, question: Question
) -> Iterator[tabular.Portion]:
    """The same for ``tabular``, a page at a time: lines of CSV that the database writes.

    Of a record whose line is not plain, and of one that it cannot write as Python would, the row
    is read. While one page is used, the next are read: the database takes most of the time,
    and SQLite computes without Python's lock.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    read = partial(_lines, _line(is_sqlite=database.is_sqlite), _columns())
    pages = together(_ranges(database, viewer, question, read), _READERS)
    return (page.portion for page in pages)


def _columns() -> list[Any]:
    """The columns of ``tabular``; some it wants otherwise than the table has them."""
    lists = {name: case((_c[name] != "[]", _c[name]), else_="") for name in _LISTS}
    kept = {"month": _month(), **lists}
    return [kept.get(name, _c.get(name)) for name in tabular.COLUMNS]


@lru_cache(maxsize=2)
def _line(*, is_sqlite: bool) -> ColumnElement[str]:
    """A line of CSV; with a quotation mark where a value must be written by Python.

    As text, with its constants in it: as parameters, they take a seventh more time.
    """
    dialect = (sqlite if is_sqlite else postgresql).dialect(paramstyle="named")
    written = _written(is_sqlite=is_sqlite)
    text = written.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return literal_column(str(text), String).label("line")


def _written(*, is_sqlite: bool) -> ColumnElement[str]:
    wanted: dict[str, Any] = {
        "month": _month(),
        **{name: case((_c[name] != "[]", _MARK), else_="") for name in _LISTS},
        **{name: _float(_c[name], is_sqlite=is_sqlite) for name in tabular.FLOATS & set(_c.keys())},
        **{name: _c[name] for name in _WORDS},
    }
    if is_sqlite:
        return _printed(wanted)
    cells = [wanted.get(name, _text(_c[name])) for name in tabular.COLUMNS]
    # It takes a tenth less of the server's time than `format`.
    return func.concat_ws(",", *cells)


def _printed(wanted: Mapping[str, Any]) -> ColumnElement[str]:
    """A line by SQLite's printf, which writes NULL as nothing.

    It would end a text at a NUL, but none is kept: see ``model/texts``. To look for them in every
    text takes a fifth of an export. To make texts of numbers first takes a tenth of the line's
    instructions, so those that are never NULL are written as numbers.
    """
    cells: list[tuple[str, Sequence[Any]]] = [
        ("%d-%02d", (_c.year, _c.month))
        if name == "month"
        else ("%d" if _is_whole(_c[name]) else "%s", (wanted.get(name, _c[name]),))
        for name in tabular.COLUMNS
    ]
    values = chain.from_iterable(values for _, values in cells)
    return func.printf(",".join(form for form, _ in cells), *values)


def _is_whole(column: Column[Any]) -> bool:
    return isinstance(column.type, Integer) and not column.nullable


def _month() -> ColumnElement[str]:
    hyphen = case((_c.month < _TWO_DIGITS, "-0"), else_="-")
    return cast(_c.year, String) + hyphen + cast(_c.month, String)


def _text(column: Column[Any]) -> ColumnElement[Any]:
    """A value for PostgreSQL's concat_ws, which skips NULL."""
    return func.coalesce(cast(column, Text), "") if column.nullable else column


def _float(column: ColumnElement[Any], *, is_sqlite: bool) -> ColumnElement[str]:
    """A number as Python writes it: the shortest text that is the same number."""
    whole, text = cast(column, BigInteger), cast(column, Text)
    # SQLite writes 15 digits, which are the shortest text if they say the same number.
    is_same = cast(text, Float) == column if is_sqlite else true()
    short = case((and_(func.abs(column) >= _SMALLEST, is_same), text), else_=_MARK)
    full = case((column == whole, whole.concat(".0")), else_=short)
    nothing = null() if is_sqlite else ""
    return case((column.is_(None), nothing), (func.abs(column) < _LARGEST, full), else_=_MARK)


def _lines(
    line: ColumnElement[str], columns: Sequence[Any], connection: Connection, query: Select[Any]
) -> _Page:
    """A page as lines, which the database joins, too, in the order in which it finds them.

    On SQLite, one text instead of 5,000 rows takes a third less time, and other threads run
    meanwhile; on PostgreSQL, its server takes a fifth more, and this process a fifth less.
    """
    page = query.with_only_columns(line).select_from(records).subquery("page").c
    joined = select(func.count(), func.aggregate_strings(page.line, "\n"))
    size, text = connection.execute(joined).one()
    text = f"{text}\n" if size else ""
    if tabular.is_plain(text, size):
        last = text[text.rfind("\n", 0, -1) + 1 :]
        return _Page(size, _key(last) if last else None, portion=tabular.Portion(text))
    lines = text.split("\n")[:-1]
    wide = partial(_rows, [*_KEY, *columns], connection)
    if len(lines) != size or _has_odd_uids(connection, query):
        found = wide(query)  # there are values of several lines, or odd uids
        rows = [row[len(_KEY) :] for row in found.rows]
        return replace(found, portion=tabular.Portion.of(rows))
    return _mixed(lines, query, wide)


def _has_odd_uids(connection: Connection, query: Select[Any]) -> bool:
    """Whether the key cannot be read from each line of a page: see ``_key``."""
    uid = query.with_only_columns(_c.uid).subquery().c.uid
    return bool(connection.execute(select(func.count()).where(uid.contains(","))).scalar())


def _mixed(lines: Sequence[str], query: Select[Any], wide: Callable[[Any], _Page]) -> _Page:
    """A page as lines, and those that are not plain as rows."""
    keyed = [(one if tabular.is_plain(f"{one}\n", 1) else None, _key(one)) for one in lines]
    uid, *month = last = keyed[-1][1]
    odd = [key[0] for line, key in keyed if line is None]
    found = wide(query.where(tuple_(*_ORDER) <= tuple_(*month, uid), _c.uid.in_(odd)))
    rows = {row[: len(_KEY)]: row[len(_KEY) :] for row in found.rows}
    # A record that was erased meanwhile is left out.
    kept = [(line, key) for line, key in keyed if line is not None or key in rows]
    chosen_rows = [rows[key] for line, key in kept if line is None]
    portion = tabular.Portion("", [line for line, _ in kept], chosen_rows)
    return _Page(len(lines), last, portion=portion)


def _key(line: str) -> _Key:
    """The key of a line's record."""
    uid, month, _ = line.split(",", 2)
    year, number = month.split("-")
    return uid, int(year), int(number)


def _rows(columns: Iterable[Any], connection: Connection, query: Select[Any]) -> _Page:
    """A page as rows of these columns, which begin with ``_KEY``."""
    rows = connection.execute(query.with_only_columns(*columns)).all()
    return _Page(len(rows), rows[-1][: len(_KEY)] if rows else None, rows)


def _pages(
    database: Database,
    viewer: Viewer,
    question: Question,
    read: Callable[[Connection, Select[Any]], _Page],
) -> Iterator[_Page]:
    """Pages in the order of the table, each read by its own query."""
    query = _ordered(viewer, question)

    def found() -> Iterator[_Page]:
        following = query
        while True:
            with database.asking() as connection:
                page = read(connection, following.limit(_AT_ONCE))
            yield page
            if page.size < _AT_ONCE or page.last is None:
                return
            uid, year, month = page.last
            following = query.where(cursor.after(_ORDER, (year, month, uid), descending=False))

    return found()


def _ordered(viewer: Viewer, question: Question) -> Select[Any]:
    """Of all pages, whatever a list's page holds."""
    everything = replace(question, selection=replace(question.selection, limit=None))
    return chosen(viewer, everything).order_by(*_ORDER)


def _ranges(
    database: Database,
    viewer: Viewer,
    question: Question,
    read: Callable[[Connection, Select[Any]], _Page],
) -> Iterator[Callable[[], _Page]]:
    """The same pages, to be read in any order: first it is only looked where each ends."""
    query = _ordered(viewer, question)

    def page(following: Select[Any], last: tuple[int, int, str] | None) -> _Page:
        with database.asking() as connection:
            if last is None:
                return read(connection, following)
            found = read(connection, following.limit(_LINES_AT_ONCE))
            year, month, uid = last
            if found.last == (uid, year, month):
                return found
            # Records came or went meanwhile. Not always so: with this condition, PostgreSQL reads
            # the index on to the end of the year.
            return read(connection, following.where(tuple_(*_ORDER) <= tuple_(*last)))

    def found() -> Iterator[Callable[[], _Page]]:
        following = query
        while True:
            ends = following.with_only_columns(*_ORDER).offset(_LINES_AT_ONCE - 1).limit(1)
            with database.asking() as connection:
                row = connection.execute(ends).first()
            last = None if row is None else (row.year, row.month, row.uid)
            yield partial(page, following, last)
            if last is None:
                return
            following = query.where(cursor.after(_ORDER, last, descending=False))

    return found()


def together(jobs: Iterator[Callable[[], _Found]], at_once: int) -> Iterator[_Found]:
    """What jobs return, in their order; so many are done in threads while one's is used.

    One more waits for the thread that is free first: a quarter of their time, they would have
    nothing to do. The threads end when this iterator is dropped, and nobody waits for them.
    """
    readers = ThreadPoolExecutor(at_once)
    coming = deque(readers.submit(job) for job in islice(jobs, at_once + 1))
    while coming:
        one = coming.popleft().result()
        coming.extend(readers.submit(job) for job in islice(jobs, 1))
        yield one
