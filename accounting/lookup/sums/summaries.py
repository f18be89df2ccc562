"""What was used within months, added up by any of month, day, VO, user, flavour and image.

The sums are of what records say was used within their month: of what was measured. Beside them
stands what of it goes out to the repository, and what was delivered (``outgoing``).
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar, cast

from sqlalchemy import literal_column, select, union

from accounting.lookup.sums import conditions, outgoing, statements, summing
from accounting.lookup.sums.outgoing import Lacking, Part
from accounting.lookup.sums.question import By, Question, shown
from accounting.lookup.sums.row import Usage
from accounting.model.time import Month
from accounting.store import parts
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.tables import records, revisions

MOST_MONTHS_BY_DAY = 14
_held = records.c.held != literal_column("''")
_some = records.c.uid.in_(select(records.c.uid).where(_held))
"""The condition of held records, and of their notebooks."""
_Revision = tuple[int, int, int]
_Key = tuple[Any, ...]
_MOST_KEPT = 1000
LATELY_SECONDS = 3600.0
"""What was asked since then is added up again when records have changed."""
_MOST_AGAIN = 50
"""At most so many questions are: the last ones."""
_Found = TypeVar("_Found")
_Lacking = tuple[Mapping[tuple[str, ...], Lacking], Lacking]


def known_months(database: Database) -> tuple[Month, Month] | None:
    """The first and the last month of which there are records; None if there are none."""
    with database.asking() as connection:
        found = connection.execute(select(revisions.c.year, revisions.c.month)).all()
    months = [Month(year, month) for year, month in found]
    return (min(months), max(months)) if months else None


class Summaries:
    """Adds up, and keeps what it has added up until a record of those months is written.

    Closed months are added up once. Several who ask the same at once wait for one answer.

    Args:
        database: the ledger's.
        clock: monotonic seconds.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self.database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, tuple[_Key, Future[Any]]] = OrderedDict()
        self._asked: OrderedDict[tuple[Callable[..., Any], _Key], float] = OrderedDict()
        self._seen: list[_Revision] = []

    def version(self, months: Sequence[Month]) -> list[_Revision]:
        """The revisions of those months that have records; equal: nothing was written."""
        wanted = set(months)
        return [row for row in self._revisions() if Month(*row[:2]) in wanted]

    def _revisions(self) -> list[_Revision]:
        query = select(revisions).order_by(revisions.c.year, revisions.c.month)
        with self.database.asking() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def deliveries(self) -> outgoing.Version:
        """Equal: nothing was delivered meanwhile."""
        return outgoing.version(self.database)

    def summary(self, viewer: Viewer, question: Question) -> list[Usage]:
        """The sums of a question, sorted by what they stand for.

        Raises:
            Forbidden: the viewer may not ask for that user or VO.
        """
        return self._noted(self._summary, viewer, question)

    def _summary(self, viewer: Viewer, question: Question) -> list[Usage]:
        found: list[Usage] = []
        deliveries = self.deliveries()
        for part, revision, sums in self._measured(viewer, question):
            version, months = (revision, deliveries), part.months
            look = partial(outgoing.differing, self.database, months)
            # Of all questions about these months, only the first one looks for them.
            differs = partial(self._once, ("differing", *months), version, look)
            find = partial(_lacking, self.database, viewer, part, differs)
            lacking = self._once(("lacking", viewer, part), version, find)
            found += _told(question, sums, lacking)
        return _sorted(question, found)

    def measured(self, viewer: Viewer, question: Question) -> list[Usage]:
        """The same without what goes out and what was delivered, which takes longer to find.

        Raises:
            Forbidden: the viewer may not ask for that user or VO.
        """
        return self._noted(self._measured_alone, viewer, question)

    def _measured_alone(self, viewer: Viewer, question: Question) -> list[Usage]:
        found = [usage for *_, sums in self._measured(viewer, question) for usage in sums]
        return _sorted(question, found)

    def _measured(
        self, viewer: Viewer, question: Question
    ) -> Iterator[tuple[Question, _Key, list[Usage]]]:
        """For each part of a question: the part, the revisions of its months, and its sums."""
        revision = {Month(year, month): one for year, month, one in self.version(question.months)}
        for part in question.parts():
            of_part = tuple(revision.get(month) for month in part.months)
            find = partial(summing.sums, self.database, viewer, part)
            yield part, of_part, self._once(("measured", viewer, part), of_part, find)

    def count(self, viewer: Viewer, question: Question) -> int:
        """How many records of whole months a question is about.

        Raises:
            Forbidden: the viewer may not ask for that user or VO.
        """

        def find() -> int:
            with self.database.asking() as connection:
                found = connection.execute(statements.counted(viewer, question))
                return int(found.scalar() or 0)

        version = tuple(self.version(question.months))
        return self._once(("count", viewer, question), version, find)

    def refresh(self) -> None:
        """If records have changed, by whatever process, add up again what was asked lately.

        So the first who asks after a poll does not wait for it.

        Raises:
            DatabaseError: the database cannot be read.
        """
        now = self._revisions()
        if now == self._seen:
            return
        self._seen = now  # what fails is not tried again until records change
        since = self._clock() - LATELY_SECONDS
        with self._lock:
            lately = [key for key, asked_at in self._asked.items() if asked_at >= since]
        for find, asked in reversed(lately):
            find(*asked)

    def _noted(self, find: Callable[..., _Found], *asked: Any) -> _Found:
        """What ``find`` returns; it may be asked again by ``refresh``."""
        found = find(*asked)
        with self._lock:
            self._asked[find, asked] = self._clock()
            self._asked.move_to_end((find, asked))
            while len(self._asked) > _MOST_AGAIN:
                self._asked.popitem(last=False)
        return found

    def names(self, viewer: Viewer, month: Month, most: int) -> Mapping[By, list[str]]:
        """Names that a month's records have, as far as the viewer may know; in order, some of them.

        Args:
            viewer: who looks.
            month: which month.
            most: at most so many of each.
        """
        return self._noted(self._offered, viewer, month, most)

    def _offered(self, viewer: Viewer, month: Month, most: int) -> Mapping[By, list[str]]:
        find = partial(_names, self.database, viewer, month, most)
        return self._once(("names", viewer, month, most), tuple(self.version([month])), find)

    def _once(self, key: _Key, version: _Key, find: Callable[[], _Found]) -> _Found:
        """What ``find`` returns; it is kept until it is asked for in another version."""
        with self._lock:
            known = self._kept.get(key)
            kept = known if known and known[0] == version else (version, Future())
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        answer = kept[1]
        if kept is not known:
            try:
                answer.set_result(find())
            except BaseException as exc:  # noqa: BLE001 - every waiting thread gets it
                with self._lock:
                    if self._kept.get(key) is kept:
                        del self._kept[key]
                answer.set_exception(exc)
        return cast("_Found", answer.result())


def _names(database: Database, viewer: Viewer, month: Month, most: int) -> Mapping[By, list[str]]:
    found = {}
    with database.asking() as connection:
        for by in (By.VO, By.USER, By.FLAVOR, By.IMAGE):
            names = union(*statements.named(viewer, by, month, month)).subquery("names").c.name
            query = select(names).distinct().where(names != "").order_by(names).limit(most)
            found[by] = list(connection.scalars(query))
    return found


def _sorted(question: Question, found: list[Usage]) -> list[Usage]:
    if not question.by:
        return found
    key_of = itemgetter(*(by.value for by in question.by))
    return sorted(found, key=lambda usage: key_of(usage.key))


def _told(question: Question, found: Sequence[Usage], lacking: _Lacking) -> Iterator[Usage]:
    """Rows with what of each goes out and was delivered."""
    lacks_of, usual = lacking
    for usage in found:
        lacks = lacks_of.get(tuple(usage.key.values()), usual) if lacks_of else usual
        measured = usage.measured
        told = None if lacks.delivered is None else measured.more(lacks.delivered)
        if told is None and question.is_by_months:  # nothing was delivered yet
            told = Part()
        yield usage.told(measured.more(lacks.goes_out), told)


def _lacking(
    database: Database,
    viewer: Viewer,
    question: Question,
    differs: Callable[[], outgoing.Differing],
) -> _Lacking:
    """By the question's keys: what of the measured usage does not go out, or was not delivered.

    Returns:
        That, and what holds of all other keys.
    """
    c = records.c
    if not question.is_by_months:
        usual = Lacking(delivered=None)
        if not _is_any_held(database, question):  # as a rule; else it takes as long as the sums
            return {}, usual
        return {
            tuple(one.key.values()): Lacking(
                Part(-one.pods, -one.wall_seconds, -one.cpu_seconds), delivered=None
            )
            for one in summing.sums(database, viewer, question, _some, _held)
        }, usual
    keys = [parts.ordinal(c.year, c.month) if by is By.MONTH else c[by.value] for by in question.by]
    asked = conditions.asked(viewer, question)
    rows, usual = outgoing.lacking(database, asked, keys, differs())
    return {
        tuple(shown(by, value) for by, value in zip(question.by, key, strict=True)): lacks
        for key, lacks in rows.items()
    }, usual


def _is_any_held(database: Database, question: Question) -> bool:
    """Whether a record of these months is held back, whoever it is of."""
    within = conditions.from_to(records.c, question.first, question.last)
    query = select(records.c.uid).where(_held, within).limit(1)
    # SQLite would rather read all of their months.
    query = query.with_hint(records, "INDEXED BY ix_records_held", dialect_name="sqlite")
    with database.asking() as connection:
        return connection.execute(query).first() is not None
