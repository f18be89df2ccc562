"""Adds usage up, and what was held by pods that were resized.

Days: wall time lies between a pod's start and its last sample without a break, so each day's part
of it is exact. CPU time is known at month ends and at the last sample only: each day gets its part
in proportion to its wall time, in whole seconds that add up to the month's exactly. What was held
is exact, too: of pods that were resized in the month, a record has each size and for how long.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, select

from accounting.lookup.sums.conditions import of_month
from accounting.lookup.sums.question import By, Question, shown
from accounting.lookup.sums.row import Usage
from accounting.lookup.sums.statements import statement
from accounting.records import holdings
from accounting.store import parts
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.rows import spans_of
from accounting.store.tables import records


def sums(
    database: Database, viewer: Viewer, question: Question, *more: ColumnElement[bool]
) -> list[Usage]:
    """What was measured, added up.

    Args:
        database: the ledger's.
        viewer: who looks.
        question: about what.
        more: further conditions on ``records``: with them, all records are looked at.

    Raises:
        Forbidden: the viewer may not ask for that user or VO.
    """
    query, conditions = statement(viewer, question, more, is_sqlite=database.is_sqlite)
    with database.asking() as connection:
        rows = connection.execute(query).all()
        # To look for them takes 10 ms where 8,000 records are apart; as a rule there are none.
        may_be = any(row[-1] for row in rows)
        resized = _resized(connection, question, conditions) if may_be else {}
    usages = list(_usages(question, rows))
    if not resized:
        return usages
    return [_with(usage, resized.get(tuple(usage.key.values()))) for usage in usages]


def _resized(
    connection: Connection, question: Question, asked: Sequence[ColumnElement[bool]]
) -> dict[tuple[str, ...], list[float]]:
    """By the rows' keys: what those pods held by day that were resized within a month."""
    c = records.c
    first, last = question.days or (
        question.first.start // parts.DAY_SECONDS,
        question.last.end // parts.DAY_SECONDS,
    )
    held: dict[tuple[str, ...], list[float]] = defaultdict(lambda: [0.0] * len(parts.INTEGRALS))
    for month in question.months_by_day():
        query = select(
            *(c[name] for name in parts.DESCRIBED), c.created_at, c.used_wall_seconds, c.spans
        ).where(*asked, of_month(month), c.spans != parts.NO_SPANS)
        for row in connection.execute(parts.of_apart(query)):
            named = dict(zip(parts.DESCRIBED, row, strict=False)) | {By.MONTH.value: str(month)}
            begun = row.created_at - row.used_wall_seconds
            for day, sums in holdings.by_day(spans_of(row.spans), begun, month).items():
                if not first <= day <= last:
                    continue
                named[By.DAY.value] = shown(By.DAY, day)
                key = tuple(str(named[by.value]) for by in question.by)
                for place, amount in enumerate(sums):
                    held[key][place] += amount
    return held


def _with(usage: Usage, more: Sequence[float] | None) -> Usage:
    if more is None:
        return usage
    sums = {
        name: round(getattr(usage, name) + amount, 3)
        for name, amount in zip(parts.INTEGRALS, more, strict=True)
    }
    return replace(usage, **sums)


def _usages(question: Question, rows: Sequence[Sequence[Any]]) -> Iterator[Usage]:
    """Hot loop: a summary by user and month has tens of thousands of rows."""
    names, count = [by.value for by in question.by], len(question.by)
    is_text = {By.MONTH, By.DAY}.isdisjoint(question.by)
    for row in rows:
        of, pods, users, wall, cpu, cores, memory, gpus, unknown, joules, guessed, lacking, _ = row[
            count:
        ]
        if not of:
            continue
        key = row[:count] if is_text else map(shown, question.by, row)
        yield Usage(
            dict(zip(names, key, strict=False)),
            int(pods),
            users,
            int(wall),
            int(cpu),
            round(float(cores), 3),
            round(float(memory), 3),
            round(float(gpus), 3),
            int(unknown),
            round(float(joules), 3),
            round(float(guessed), 3),
            int(lacking),
        )
