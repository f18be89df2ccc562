"""SQL that adds usage up: totals that are kept, and the few records that no total has."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    select,
    true,
    union,
    union_all,
)

from accounting.lookup.sums.conditions import asked, from_to, of_month, of_names
from accounting.lookup.sums.question import By, Question
from accounting.model.time import Month
from accounting.store import parts, totals, vo_totals
from accounting.store.engine.access import Viewer
from accounting.store.tables import day_totals, day_vo_totals, month_vo_totals, records

_FIGURES = ("wall", "cpu", *parts.INTEGRALS)
_KEPT = (*_FIGURES, *parts.TAKEN)
_NAMES = parts.DESCRIBED[1:]
_ORDER = ("pods", "users", *_FIGURES, "unknown", *parts.SUMMED)
"""The figures of a sum, as ``Usage`` has them."""
_ASKED = (*_ORDER, "resized")
"""The same, and how many parts are of pods that may have been resized: see ``summing``."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Some totals: of which table, on what condition, their month, and the pods they count."""

    table: Table
    within: ColumnElement[bool]
    month: ColumnElement[int]
    pods: ColumnElement[Any]

    @property
    def is_by_vo(self) -> bool:
        """Whether they are what others come to by VO."""
        return self.table in vo_totals.OF.values()


# The same questions are asked after each poll: to write one of them takes 6 ms.
@lru_cache(maxsize=256)
def statement(
    viewer: Viewer, question: Question, more: tuple[ColumnElement[bool], ...], *, is_sqlite: bool
) -> tuple[Select[Any], list[ColumnElement[bool]]]:
    """What adds it up, and the conditions on ``records`` of what is looked at.

    Args:
        viewer: who looks.
        question: about what.
        more: further conditions on ``records``: with them, all records are looked at.
        is_sqlite: the database is SQLite, rather than PostgreSQL.

    Returns:
        A query of the question's keys, how many parts each sum has, and ``_ASKED``; conditions.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    conditions = [*asked(viewer, question), *more]
    # A notebook has a row per month: in a row for several months, it still counts once.
    is_single = len(question.months) == 1 and (question.days is None or By.DAY in question.by)
    once = is_single or not question.counts
    by_vo = _is_by_vo(question, is_single=is_single)
    if more or not _has_totals(viewer, question):
        every = _looked_at(question, conditions, once=once)
        return _added(question, every.subquery("parts"), once=once), conditions
    others = [_looked_at(question, conditions, once=once, apart=True)]
    others += [_looked_at(question, own, once=once) for own in _own(viewer, conditions)]
    alone = by_vo or _has_own_order(question, is_sqlite=is_sqlite)
    if question.counts and alone:
        kept = next(_kept(question, by_vo=by_vo, users=True))
        both = union_all(*others).subquery("others")
        return _added_apart(viewer, question, kept, both), conditions
    if question.counts and question.is_by_months and By.USER not in question.names:
        return _added_without_users(viewer, question, union_all(*others), once=once), conditions
    kept_ones = _kept(question, by_vo=by_vo, users=question.counts)
    added_up = (_totals(viewer, question, one, _summed(question)) for one in kept_ones)
    return _added(question, union_all(*others, *added_up).subquery("parts"), once=once), conditions


def counted(viewer: Viewer, question: Question) -> Select[Any]:
    """How many records of whole months it is about: each is a notebook's part of one of them.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    conditions = asked(viewer, question)
    count = select(func.count().label("pods")).select_from(records)
    if not _has_totals(viewer, question):
        return count.where(*conditions)
    found = [parts.of_apart(count.where(*conditions))]
    found += [count.where(*own) for own in _own(viewer, conditions)]
    for kept in _kept(question, by_vo=False, users=False):
        sums = select(func.sum(kept.table.c.pods))
        found.append(sums.where(*_of_totals(viewer, question, kept)))
    return select(func.sum(union_all(*found).subquery("counted").c.pods))


def _own(
    viewer: Viewer, conditions: list[ColumnElement[bool]]
) -> Iterator[list[ColumnElement[bool]]]:
    """The conditions of a manager's own records in VOs that they do not manage, if need be."""
    if not viewer.is_admin:
        yield [*conditions, ~records.c.vo.in_(viewer.vos), literal_column("NOT records.apart")]


def _added_without_users(
    viewer: Viewer, question: Question, others: CompoundSelect[Any], *, once: bool
) -> Select[Any]:
    """The same where nobody asks for users: those are counted by themselves, from names alone.

    So the figures come from totals without users. Of a year by image with 112,000 totals that tell
    users apart, SQLite takes 0.26 s instead of 0.51 s.
    """
    its = others.cte("others")  # both look at them: each is looked up once
    summed = _summed(question)
    kept = _kept(question, by_vo=False, users=False)
    added_up = (_totals(viewer, question, one, summed) for one in kept)
    every = union_all(select(*its.c), *added_up).subquery("parts")
    added = _added(question, every, once=once, users=False).subquery("added")
    users = _users(viewer, question, its).subquery("of_users")
    same = and_(true(), *(added.c[by.value] == users.c[by.value] for by in question.by))
    asked = (users.c.users if one.name == "users" else one for one in added.c)
    return select(*asked).select_from(added.outerjoin(users, same))


def _users(viewer: Viewer, question: Question, others: Any) -> Select[Any]:
    """How many users there are by a question's keys, in totals and in other records.

    UNION leaves doubles out before any are counted, and compares users first: more of them differ.
    With it, a year by image takes SQLite 0.2 s instead of 0.33 s, and PostgreSQL 0.11 s instead of
    0.19 s.
    """
    names = [by.value for by in question.by]
    found = [select(others.c.user, *(others.c[name] for name in names))]
    for kept in _kept(question, by_vo=False, users=True):
        c = kept.table.c
        keys = (kept.month if by is By.MONTH else c[by.value] for by in question.by)
        named = select(c.user, *keys).where(*_of_totals(viewer, question, kept))
        found.append(named.distinct())  # else PostgreSQL sorts all of them for the union
    each = union(*found).subquery("each_once").c
    shown = [each[name] for name in names]
    return select(*shown, func.count(each.user).label("users")).group_by(*shown)


def _added(question: Question, found: Subquery, *, once: bool, users: bool = True) -> Select[Any]:
    c, keys = found.c, _keys(question, found)
    sums: dict[str, ColumnElement[Any]] = {
        name: func.coalesce(func.sum(c[name]), 0) for name in _summed(question)
    }
    nothing: ColumnElement[Any] = literal_column("0")
    one: ColumnElement[Any] = literal_column("1")
    if question.counts:
        # Where it is known without, nothing is told apart: with 2,000 rows, it takes 5 of 17 ms.
        if not once:
            sums["pods"] += func.count(c.uid.distinct())
        if users:
            sums["users"] = one if By.USER in question.by else func.count(c.user.distinct())
    labelled = (sums.get(name, nothing).label(name) for name in _ASKED)
    named = _labelled(question, keys)
    return select(*named, func.count().label("parts"), *labelled).group_by(*keys)


def _keys(question: Question, found: Subquery) -> list[ColumnElement[Any]]:
    # As expressions: SQLite would otherwise read all records in the order of an index on users.
    return [func.coalesce(found.c[by.value], literal_column("NULL")) for by in question.by]


def _labelled(
    question: Question, keys: Iterable[ColumnElement[Any]]
) -> Iterator[ColumnElement[Any]]:
    return (key.label(by.value) for by, key in zip(question.by, keys, strict=True))


def _is_by_vo(question: Question, *, is_single: bool) -> bool:
    """Whether what totals come to by VO is enough: nobody asks by other names, or for them.

    A user counts once in each of their rows: so a row of the answer is one of them, and no more.
    """
    if not question.names <= {By.DAY, By.VO, By.MONTH}:
        return False
    return not question.counts or (is_single and By.VO in question.by)


def _has_own_order(question: Question, *, is_sqlite: bool) -> bool:
    """Whether users of totals can be counted in the order of their keys, and found by those."""
    least = {By.DAY} if is_sqlite else {By.DAY, By.VO}
    return least <= set(question.by) <= {By.DAY, By.VO, By.MONTH}


def _added_apart(viewer: Viewer, question: Question, kept: _Kept, others: Any) -> Select[Any]:
    """The same by VO, by day, or both: totals and other records are first added up by themselves.

    In the order of their keys, SQLite counts the users of totals as it reads them. Taken together
    with records, they have no order, and all are sorted. Of a month of 74,000 totals and 8,000
    other records, that takes 115 ms of processor time, and this takes 53 ms; by day alone, 99 and
    72 ms.
    """
    totals = _totals(viewer, question, kept, _summed(question)).subquery("totals").c
    its = _of_users(question, others).subquery("of_users").c
    keys, its_keys = ([of[by.value] for by in question.by] for of in (totals, its))
    users = func.sum(totals.users) if kept.is_by_vo else func.count(totals.user.distinct())
    is_new = case((~_is_among(viewer, question, its), its.user))  # else a total counts it
    both = union_all(
        _with_users(question, keys, totals, users).group_by(*keys),
        _with_users(question, its_keys, its, func.count(is_new.distinct())).group_by(*its_keys),
    )
    c = both.subquery("parts").c
    found = [c[key.name] for key in keys]
    sums = (func.coalesce(func.sum(c[name]), 0) for name in _ASKED)
    return select(*found, func.count(), *sums).group_by(*found)


def _of_users(question: Question, others: Any) -> Select[Any]:
    """Other records also by VO and user: so each user is looked for once among the totals.

    Of 4,000 records, that saves 3 ms of 48 on PostgreSQL; SQLite takes as long.
    """
    names = dict.fromkeys((*(by.value for by in question.by), "vo", "user"))
    # As expressions: SQLite would otherwise read all records in the order of an index on users.
    keys = [func.coalesce(others.c[name], literal_column("NULL")) for name in names]
    named = (key.label(name) for name, key in zip(names, keys, strict=True))
    sums = (func.sum(others.c[name]).label(name) for name in _summed(question))
    return select(*named, *sums).group_by(*keys)


def _is_among(viewer: Viewer, question: Question, others: Any) -> ColumnElement[bool]:
    """Whether a total counts the user of another record in the same row."""
    kept = next(_kept(question, by_vo=False, users=True))
    c = kept.table.c
    within = [*_of_totals(viewer, question, kept), c.user == others.user]
    if By.DAY in question.by:
        within.append(c.day == others.day)
    here = select(literal(1)).where(*within, c.vo == others.vo).exists()
    if By.VO in question.by:
        return here
    # Nearly all are found in their VO. For the others all VOs are tried: keys need one.
    of = month_vo_totals.c
    vos = select(of.vo).where(from_to(of, question.first, question.last)).distinct()
    return here | select(literal(1)).where(*within, c.vo.in_(vos)).exists()


def _with_users(question: Question, keys: Sequence[Any], c: Any, users: Any) -> Select[Any]:
    sums = (func.sum(c[name]).label(name) for name in _summed(question))
    return select(*_labelled(question, keys), *sums, users.label("users"))


def _summed(question: Question) -> tuple[str, ...]:
    """The figures that a question needs."""
    figures = (*_FIGURES, "joules", "resized")
    return (*figures, *parts.SUMMED[1:], "pods", "unknown") if question.counts else figures


def _has_totals(viewer: Viewer, question: Question) -> bool:
    """Whether totals that are kept can answer; else all records are looked at."""
    if not (viewer.is_admin or viewer.vos):
        return False
    return not question.user or question.user != viewer.user


def _looked_at(
    question: Question, asked: list[ColumnElement[bool]], *, once: bool, apart: bool = False
) -> Select[Any]:
    """What records say, one by one."""
    c = _parts(question, asked, apart=apart).subquery("looked_at").c
    figures: dict[str, ColumnElement[Any]] = {
        **{name: c[name] for name in _FIGURES},
        "pods": literal(1 if once else 0).label("pods"),
        "unknown": case((c.cpu.is_(None), 1), else_=0).label("unknown"),
        "resized": case((c.core_seconds.is_(None), 1), else_=0).label("resized"),
        **{column.name: column for column in parts.energy(c)},
    }
    uid = cast(null(), String).label("uid") if once else c.uid
    names = (c[name] for name in _columns(question))
    return select(uid, *names, *(figures[name] for name in _summed(question)))


def _columns(question: Question) -> tuple[str, ...]:
    return (*_NAMES, "month", *(["day"] if By.DAY in question.by else []))


def _kept(question: Question, *, by_vo: bool, users: bool) -> Iterator[_Kept]:
    """The totals of what a question is about.

    Over several months a pod counts in the first one, or else where it began.

    Args:
        question: what is asked.
        by_vo: take what they come to by VO.
        users: else, take those that tell users apart.
    """
    told = question.names - {By.DAY, By.MONTH} | ({By.USER} if users else set())
    of_days, of_months = day_totals, totals.of_months(told)
    if by_vo:
        of_days, of_months = day_vo_totals, month_vo_totals
    c = of_days.c
    if By.DAY in question.by:  # of a single month
        days = c.day.between(*_ends(question))
        yield _Kept(of_days, days, _place(question.first), c.pods)
        return
    in_part = question.months_by_day()
    whole = [month for month in question.months if month not in in_part]
    begins_at = _ends(question)[0]
    first = Month.of(begins_at * parts.DAY_SECONDS)
    if whole:
        of = of_months.c
        within = from_to(of, whole[0], whole[-1])
        pods: ColumnElement[Any] = of.pods
        if len(question.months) > 1 and not by_vo:  # by VO, none is counted
            pods = case(
                (and_(of.year == first.year, of.month == first.month), pods), else_=of.begun
            )
        yield _Kept(of_months, within, parts.ordinal(of.year, of.month), pods)
    for month in in_part:
        low, high = _ends(replace(question, first=month, last=month))
        pods = c.pods if by_vo else case((c.day == begins_at, c.pods), else_=c.begun)
        yield _Kept(of_days, c.day.between(low, high), _place(month), pods)


def _place(month: Month) -> ColumnElement[int]:
    return literal(month.year * 12 + month.month - 1)


def _totals(viewer: Viewer, question: Question, kept: _Kept, needed: Sequence[str]) -> Select[Any]:
    c, told = kept.table.c, _told_apart(question, kept)
    conditions = _of_totals(viewer, question, kept)
    here: dict[str, ColumnElement[Any]] = {"month": kept.month.label("month")}
    here |= {name: literal("").label(name) for name in _NAMES if name not in told}
    names = [here[name] if name in here else c[name] for name in _columns(question)]
    figures = {"pods": kept.pods, "unknown": c.pods_without_cpu, "resized": literal(0)}
    found = {name: figures[name] if name in figures else c[name] for name in needed}
    uid = cast(null(), String).label("uid")
    if kept.is_by_vo and question.counts:
        found["users"] = c.users
    if all(name in told for name in _NAMES if name in c):
        every = (figure.label(name) for name, figure in found.items())
        return select(uid, *names, *every).where(*conditions)
    sums = (func.sum(figure).label(name) for name, figure in found.items())
    time = (column for column in kept.table.primary_key if column.name not in _NAMES)
    grouped = select(uid, *names, *sums).where(*conditions)
    return grouped.group_by(*time, *(c[name] for name in told))


def _of_totals(viewer: Viewer, question: Question, kept: _Kept) -> list[ColumnElement[bool]]:
    """The conditions on totals of what a question is about, as far as the viewer may know."""
    c = kept.table.c
    conditions: list[ColumnElement[bool]] = [kept.within, *of_names(question, c)]
    if question.user:
        conditions.append(c.user == question.user)
    if not viewer.is_admin:
        conditions.append(c.vo.in_(sorted(viewer.vos)))
    return conditions


def _told_apart(question: Question, kept: _Kept) -> tuple[str, ...]:
    """The names that totals are told apart by, as far as a question needs it.

    They are the first of the table's keys, in whose order SQLite adds up without sorting. Without
    this, the sum of a year by flavour takes a quarter longer. Of a day there is hardly more than
    one total of a user: to add those up takes longer than to take them as they are.
    """
    if kept.is_by_vo:
        return _NAMES[:1]
    needed = {by.value for by in question.by} | ({By.USER.value} if question.counts else set())
    told = _NAMES[: max((_NAMES.index(name) + 1 for name in needed if name in _NAMES), default=0)]
    if kept.table is day_totals and By.USER.value in told:
        return _NAMES
    return tuple(name for name in told if name in kept.table.c)


def _ends(question: Question) -> tuple[int, int]:
    """The first and the last day, within its months."""
    first = question.first.start // parts.DAY_SECONDS
    last = question.last.end // parts.DAY_SECONDS - 1
    if question.days is None:
        return first, last
    return max(first, question.days[0]), min(last, question.days[1])


def _parts(question: Question, asked: list[ColumnElement[bool]], *, apart: bool) -> Select[Any]:
    """Per pod: what was used, by month or by day as the question needs it."""
    if By.DAY in question.by:
        return _within_days(parts.by_day(question.first, asked, apart=apart), question)
    if question.days is None:
        return parts.by_month(asked, apart=apart)
    found, in_part = [], question.months_by_day()
    for month in question.months:
        within = [*asked, of_month(month)]
        if month not in in_part:
            found.append(parts.by_month(within, apart=apart))
            continue
        by_day = _within_days(parts.by_day(month, within, apart=apart), question).subquery()
        found.append(select(*(by_day.c[name] for name in (*parts.DESCRIBED, "month", *_KEPT))))
    return found[0] if len(found) == 1 else select(union_all(*found).subquery("of_days"))


def _within_days(by_day: Select[Any], question: Question) -> Select[Any]:
    if question.days is None:
        return by_day
    found = by_day.subquery("all_days")
    # As an expression: SQLite would otherwise read all records once for each of the days.
    day = func.coalesce(found.c.day, literal_column("NULL"))
    return select(found).where(day.between(*question.days))


def named(viewer: Viewer, by: By, first: Month, last: Month) -> list[Select[Any]]:
    """What records of some months have as their VO, user, flavour or image, as ``name``.

    Several queries, each with doubles, as far as the viewer may know.
    """
    r, c = records.c, totals.of_months([by]).c
    conditions = [viewer.restriction(), from_to(r, first, last)]
    if not viewer.is_admin:
        return [select(r[by.value].label("name")).where(*conditions)]
    return [
        parts.of_apart(select(r[by.value].label("name")).where(*conditions)),
        select(c[by.value].label("name")).where(from_to(c, first, last)),
    ]
