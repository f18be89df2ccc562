"""Totals of months and days, kept in the same transaction as the records that they add up.

A record is in them while it is *settled*: its notebook has ended in this month, and was not
resized in it. Nearly all are. The others are *apart*, which is what their column says, and are
looked at one by one whenever sums are asked for: they still move, or their notebook ran on into the
next month.

A notebook counts once in sums over several months. Where it began earlier, its record of the month
before is there and says the same of it: sums that begin later take the one, all others the other
(``begun``). Else it stays apart.

Totals of months are kept three times: by all names, without flavours and images, and without users.
Most questions need the latter two, which have a sixth of the rows, and a hundredth (``of_months``).
What they come to by VO follows at the end: see
``vo_totals``.

Whoever writes records does so inside ``following``. A row that was written without it stays apart:
sums are right nevertheless, and only slower.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from accounting.model.messages import OutletKind
from accounting.model.records import Status
from accounting.model.time import Month
from accounting.store import parts, vo_totals
from accounting.store.engine.database import Database
from accounting.store.tables import (
    day_totals,
    joined,
    month_image_totals,
    month_totals,
    month_user_totals,
    outlets,
    progress,
    records,
    revisions,
    settled,
)

_c = records.c
_is_in: ColumnElement[Any] = literal_column("NOT records.apart")

_AT_ONCE = 500
_MOST_NAMES = 600
"""The characters of all names of a total together: PostgreSQL's keys may not be much longer."""
_NEAR = 1e-9

_OF_MONTHS = (month_image_totals, month_user_totals, month_totals)
"""The fewest first."""
_KEPT = (*_OF_MONTHS, day_totals)
_TABLES = (*_KEPT, *vo_totals.OF.values())

Key = tuple[Month, str]
"""A record's month, and its pod's uid."""


@contextmanager
def following(connection: Connection, keys: Iterable[Key]) -> Iterator[None]:
    """Write some records inside, and the totals follow.

    Args:
        connection: the transaction in which they are written.
        keys: of the records; those that are not there yet may be among them.
    """
    chunks = list(_chunks(_with_next(connection, keys)))
    # Few of them are in the totals, and to take five hundred out costs twenty times the question.
    inside = [(m, uid) for m, uids in chunks for uid in _inside(connection, m, uids)]
    moved: defaultdict[Month, set[vo_totals.Place]] = defaultdict(set)
    for month, uids in _chunks(inside):
        moved[month] |= _take_out(connection, month, uids)
    yield
    # With many of a month, all that are settled in it are looked for: one question, not many.
    many = {month for month, uids in chunks if len(uids) == _AT_ONCE}
    for month in sorted(many):
        _take_in(connection, month)
        vo_totals.add_up(connection, month)
    for month, uids in chunks:
        if month not in many:
            moved[month] |= _take_in(connection, month, uids)
    for month, places in moved.items():
        if places and month not in many:
            vo_totals.add_up(connection, month, places)


def _chunks(keys: Iterable[Key]) -> Iterator[tuple[Month, list[str]]]:
    for month, found in groupby(sorted(set(keys)), key=lambda key: key[0]):
        uids = [uid for _, uid in found]
        for start in range(0, len(uids), _AT_ONCE):
            yield month, uids[start : start + _AT_ONCE]


def _with_next(connection: Connection, keys: Iterable[Key]) -> set[Key]:
    """These, and those of the months after, as far as there are any: see ``_was_there``."""
    found, known = set(keys), set(_months(connection))
    return found | {(month.next, uid) for month, uid in found if month.next in known}


def _inside(connection: Connection, month: Month, uids: list[str]) -> Iterable[str]:
    """Of some pods' records of a month, those that are in the totals."""
    chosen = _chosen(month, sign=-1, by_uid=True)
    return connection.execute(select(_c.uid).where(*chosen), {"uids": uids}).scalars()


def _take_out(connection: Connection, month: Month, uids: list[str]) -> set[vo_totals.Place]:
    """Take out those of these pods, which are all in; which totals of days have moved."""
    chosen, values = _chosen(month, sign=-1, by_uid=True), {"uids": uids}
    moved = _add(connection, month, -1, values)
    connection.execute(update(records).where(*chosen).values(apart=True), values)
    for table in _KEPT:
        connection.execute(delete(table).where(*vo_totals.within(table, month), table.c.pods == 0))
    return moved


def _take_in(
    connection: Connection, month: Month, uids: list[str] | None = None
) -> set[vo_totals.Place]:
    """Take in those that are settled: of these pods, or of the whole month.

    Returns:
        Which totals of days have moved; nothing for a whole month.
    """
    values = {} if uids is None else {"uids": uids}
    chosen = _chosen(month, sign=1, by_uid=uids is not None)
    moved = _add(connection, month, 1, values)
    _note_joined(connection, month, chosen, values)
    connection.execute(update(records).where(*chosen).values(apart=False), values)
    return moved


def _add(
    connection: Connection, month: Month, sign: int, values: Mapping[str, list[str]]
) -> set[vo_totals.Place]:
    *of_months, of_days = _adding(connection.dialect.name, month, sign=sign, by_uid=bool(values))
    for of_month in of_months:
        connection.execute(of_month, values)
    moved = connection.execute(of_days, values)
    return {(row.day, row.vo) for row in moved} if moved.returns_rows else set()


def _chosen(month: Month, *, sign: int, by_uid: bool) -> list[ColumnElement[bool]]:
    """The records of a month to take in (1) or out (-1): all of them, or those of ``:uids``."""
    which = [_c.uid.in_(bindparam("uids", expanding=True))] if by_uid else []
    state = [parts.is_apart, *_is_settled(month)] if sign == 1 else [_is_in]
    return [*_of(month), *which, *state]


def _note_joined(
    connection: Connection,
    month: Month,
    chosen: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
) -> None:
    """Note which records joined, if some destination was told all of their month.

    Else the whole month is searched anyway.
    """
    was_told = select(settled.c.revision).where(*_of(month, settled)).exists()
    revision = select(revisions.c.revision).where(*_of(month, revisions)).scalar_subquery()
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(joined)
    found = select(_c.year, _c.month, _c.uid, func.coalesce(revision, 0)).where(*chosen, was_told)
    names = [column.name for column in joined.columns]
    connection.execute(
        insert.from_select(names, found).on_conflict_do_update(
            index_elements=list(joined.primary_key), set_={"revision": insert.excluded.revision}
        ),
        values,
    )


def _of(month: Month, table: Table = records) -> list[ColumnElement[bool]]:
    return [table.c.year == month.year, table.c.month == month.month]


def _is_settled(month: Month) -> list[ColumnElement[bool]]:
    names = sum((func.length(_c[name]) for name in parts.DESCRIBED[2:]), func.length(_c.vo))
    return [
        _c.status == Status.COMPLETED.value,
        # As an expression: by an index on it, SQLite would read the whole month for thirty uids.
        or_(_c.start_at + 0 >= month.start, _was_there(month)),
        _c.spans == parts.NO_SPANS,
        names <= _MOST_NAMES,
    ]


def _was_there(month: Month) -> ColumnElement[bool]:
    """Whether a record's notebook has one of the month before, up to its end, of the same names."""
    c, before = records.alias("before").c, Month.of(month.start - 1)
    return exists().where(
        c.year == before.year,
        c.month == before.month,
        c.uid == _c.uid,
        c.created_at >= before.last_second,
        *(c[name] == _c[name] for name in parts.DESCRIBED[1:]),
    )


@lru_cache(maxsize=32)  # putting them together takes 5.3 ms of a commit of 6.2 ms
def _adding(dialect: str, month: Month, *, sign: int, by_uid: bool) -> tuple[Executable, ...]:
    """What adds records to the totals, or takes them off: a statement for each of ``_KEPT``.

    The last one, that of days, tells which have moved, where some records are chosen.
    """
    insert = (sqlite if dialect == "sqlite" else postgresql).insert
    chosen = _chosen(month, sign=sign, by_uid=by_uid)
    made = []
    for table in _KEPT:
        keys = [column.name for column in table.primary_key]
        figures = [column.name for column in table.columns if column.name not in keys]
        found = _sums(table, month, chosen).subquery("found")
        signed = (found.c[name] * sign for name in figures)
        statement = insert(table).from_select(
            [*keys, *figures], select(*(found.c[name] for name in keys), *signed).where(true())
        )
        made.append(
            statement.on_conflict_do_update(
                index_elements=keys,
                set_={name: table.c[name] + statement.excluded[name] for name in figures},
            )
        )
    *of_months, of_days = made
    if by_uid:
        of_days = of_days.returning(day_totals.c.day, day_totals.c.vo)
    return *of_months, of_days


def _sums(table: Table, month: Month, chosen: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """What some records of a month come to, as rows of one of ``_KEPT``."""
    if table is day_totals:
        return _day_sums(month, chosen)
    begins = parts.begins_in(month, _c).label("begins")
    found = parts.by_month(list(chosen)).add_columns(begins).subquery("by_month").c
    names = [found[name] for name in parts.DESCRIBED[1:] if name in table.c]
    return select(
        literal_column(str(month.year)).label("year"),
        literal_column(str(month.month)).label("month"),
        *names,
        *_figures(found),
        _begun(found),
    ).group_by(*names)


def _day_sums(month: Month, chosen: Sequence[ColumnElement[bool]]) -> Select[Any]:
    """The same by day, as rows of ``day_totals``."""
    found = parts.by_day(month, list(chosen)).subquery("by_days").c
    keys = [found.day, *(found[name] for name in parts.DESCRIBED[1:])]
    return select(*keys, *_figures(found), _begun(found)).group_by(*keys)


def _figures(found: Any) -> Iterator[ColumnElement[Any]]:
    yield func.count().label("pods")
    for name in ("wall", "cpu", *parts.INTEGRALS):
        yield func.coalesce(func.sum(found[name]), 0).label(name)
    yield (func.count() - func.count(found.cpu)).label("pods_without_cpu")
    for column in parts.energy(found):
        yield func.coalesce(func.sum(column), 0).label(column.name)


def _begun(found: Any) -> ColumnElement[Any]:
    return func.coalesce(func.sum(found.begins), 0).label("begun")


def of_months(names: Iterable[str]) -> Table:
    """The totals of months that tell these names apart, such as "user"; the fewest that do."""
    needed = set(names)
    return next(table for table in _OF_MONTHS if needed <= set(table.c.keys()))


def months_that_differ(database: Database) -> list[Month]:
    """The months of which totals are not what their settled records come to; there are none."""
    with database.begin(reading=True) as connection:
        database.lift_bounds(connection)
        return [month for month in _months(connection) if not _agrees(connection, month)]


def rebuild(database: Database, watch: Callable[[int, int], None] = lambda *_: None) -> None:
    """Add all records up anew, a month at a time.

    Args:
        database: the ledger's.
        watch: told after each month how many are done, and how many there are.
    """
    with database.begin(reading=True) as connection:
        months = _months(connection)
    for number, month in enumerate(months, 1):
        with database.begin() as connection:
            database.lift_bounds(connection)
            # As all who write records do: so none writes one meanwhile.
            connection.execute(update(progress).values(revision=progress.c.revision))
            for table in _TABLES:
                connection.execute(delete(table).where(*vo_totals.within(table, month)))
            connection.execute(update(records).where(*_of(month), _is_in).values(apart=True))
            _unsettle(connection, month)
            _take_in(connection, month)
            vo_totals.add_up(connection, month)
        watch(number, len(months))


def _unsettle(connection: Connection, month: Month) -> None:
    """Let all of a month be searched, rather than note that all of it joined."""
    takes = select(outlets.c.destination).where(outlets.c.kind == OutletKind.RECORDS.value)
    told = settled.c.destination.in_(takes)
    connection.execute(delete(settled).where(*_of(month, settled), told))


def _months(connection: Connection) -> list[Month]:
    found = connection.execute(select(revisions.c.year, revisions.c.month)).all()
    return sorted(Month(year, month) for year, month in found)


def _agrees(connection: Connection, month: Month) -> bool:
    chosen = [*_of(month), _is_in]
    expected = {table: _sums(table, month, chosen) for table in _KEPT}
    expected |= {by_vo: vo_totals.sums(table, month) for table, by_vo in vo_totals.OF.items()}
    for table, sums in expected.items():
        keys = len(table.primary_key)
        names = [column.name for column in table.columns]
        added = sums.subquery("added")
        truth = {
            tuple(row[:keys]): row[keys:]
            for row in connection.execute(select(*(added.c[name] for name in names)))
        }
        kept = {
            tuple(row[:keys]): row[keys:]
            for row in connection.execute(select(table).where(*vo_totals.within(table, month)))
        }
        if truth.keys() != kept.keys():
            return False
        if not all(_alike(truth[key], figures) for key, figures in kept.items()):
            return False
    return True


def _alike(one: Sequence[Any], other: Sequence[Any]) -> bool:
    return all(
        math.isclose(first, second, rel_tol=_NEAR, abs_tol=_NEAR)
        for first, second in zip(one, other, strict=True)
    )
