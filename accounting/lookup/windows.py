"""Which windows were read, and when the source was silent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from accounting.lookup import cursor
from accounting.model.time import Gap
from accounting.store.engine.database import Database
from accounting.store.tables import gaps, windows

_SORT = "-start"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Covered:
    """A window that was read; times are Unix seconds.

    Attributes:
        spoke: the source said something in it.
        pods: notebooks that it was about.
        rejected: values that could not be true.
        polled_at: when it was read.
    """

    start: int
    end: int
    spoke: bool
    pods: int
    rejected: int
    polled_at: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some windows, the latest first; ``next`` is the cursor of those before them."""

    windows: list[Covered]
    next: str


def page(
    database: Database,
    *,
    since: int | None = None,
    until: int | None = None,
    limit: int = 100,
    after: str = "",
) -> Page:
    """The windows that touch [since, until), Unix seconds.

    Raises:
        BadCursor: the cursor is not of this question.
    """
    query = _touching(select(windows), since, until)
    query = query.order_by(windows.c.start.desc()).limit(limit + 1)
    if after:
        (start,) = cursor.decode(after, _SORT, (int,))
        query = query.where(windows.c.start < start)
    with database.asking() as connection:
        found = [Covered(*row) for row in connection.execute(query)]
    more = cursor.encode(_SORT, [found[limit - 1].start]) if len(found) > limit else ""
    return Page(found[:limit], more)


def every(
    database: Database, *, since: int | None = None, until: int | None = None
) -> Iterator[Covered]:
    """All of them, the latest first; nothing is held between the pages that are read."""
    after = ""
    while True:
        found = page(database, since=since, until=until, limit=_AT_ONCE, after=after)
        yield from found.windows
        if not (after := found.next):
            return


def count(database: Database, *, since: int | None = None, until: int | None = None) -> int:
    """How many windows touch [since, until), Unix seconds."""
    query = _touching(select(func.count()).select_from(windows), since, until)
    with database.asking() as connection:
        return int(connection.execute(query).scalar_one())


def _touching(query: Select[Any], since: int | None, until: int | None) -> Select[Any]:
    if since is not None:
        query = query.where(windows.c.end > since)
    return query if until is None else query.where(windows.c.start < until)


def silences(
    database: Database, now: float, *, since: float | None = None, until: float | None = None
) -> Sequence[Gap]:
    """The source's silences that touch [since, until), the earliest first.

    Args:
        database: the ledger's.
        now: Unix seconds; a silence that goes on has lasted up to then, and is in no later time.
        since: Unix seconds; None: from the first on.
        until: Unix seconds; None: up to the last.
    """
    query: Any = select(gaps).order_by(gaps.c.start_at)
    if since is not None:
        query = query.where(func.coalesce(gaps.c.end_at, now) >= since)
    if until is not None:
        query = query.where(gaps.c.start_at < until)
    with database.asking() as connection:
        return [Gap(*row) for row in connection.execute(query)]


def first_start(database: Database) -> int | None:
    """From when on windows were read, Unix seconds; None if none was."""
    with database.asking() as connection:
        at: int | None = connection.execute(select(func.min(windows.c.start))).scalar_one()
    return at
