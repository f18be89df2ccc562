"""The ledger in the database: pods, counters, records, windows and the watermark.

``commit`` moves them all in one transaction, so that a crash leaves either the window before or
the window after, and nothing between.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from accounting.errors import Busy
from accounting.model.pods import (
    Account,
)
from accounting.model.records import Record
from accounting.model.time import Gap, Month, Window
from accounting.model.volumes import Volume
from accounting.store import totals
from accounting.store.engine.database import Database
from accounting.store.rows import (
    FIGURE_COLUMNS,
    POD_COLUMNS,
    RECORD_COLUMNS,
    RECORD_FIGURES,
    account_figures,
    account_of,
    account_row,
    record_figures,
    record_row,
)
from accounting.store.tables import figures, gaps, pods, progress, records, revisions, windows
from accounting.store.volumes import completed_months, write_volumes

# Old SQLite libraries take 999 variables in a statement.
_IN_LIST = 900

# A page is its pod's row, overlaid with the newer figures if there are any.
_PAGES = select(
    *(
        func.coalesce(figures.c[column.name], column)
        if column.name in FIGURE_COLUMNS[1:]
        else column
        for column in pods.columns
    )
).outerjoin_from(pods, figures, pods.c.uid == figures.c.uid)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the ledger has come.

    Attributes:
        watermark: end of the last covered window.
        spoken_at: the source's last sample up to there; None if it never spoke.
        interval_seconds: the source's scrape interval as last seen.
        revision: counts the changes to pods that no poll made, such as erasing a user.
    """

    watermark: int
    spoken_at: float | None
    interval_seconds: float
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one window changes, to be committed as a whole.

    Attributes:
        accounts, records: written whole.
        moved: pages of running pods with their latest records, of which only the figures are
            written.
        volumes: days of home volumes, written whole.
    """

    window: Window
    before: Progress | None
    after: Progress
    accounts: Sequence[Account]
    records: Sequence[Record]
    gaps: Sequence[Gap]
    spoke: bool
    rejected: int
    moved: Sequence[tuple[Account, Record]] = ()
    volumes: Sequence[Volume] = ()

    @property
    def pods(self) -> int:
        """How many pods it is about."""
        return len(self.accounts) + len(self.moved)


class Ledger:
    """Reads and writes the ledger's tables."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def progress(self) -> Progress | None:
        """How far it has come; None before the first window."""
        with self.database.begin(reading=True) as connection:
            row = connection.execute(select(progress)).one_or_none()
        return None if row is None else Progress(*row[1:])

    def running(self) -> dict[str, Account]:
        """The pages of all pods that have not ended."""
        return self._load([text("NOT pods.ended")])

    def accounts(self, uids: Iterable[str]) -> dict[str, Account]:
        """The pages of these pods, as far as they are known."""
        wanted = sorted(uids)
        chunks = [wanted[i : i + _IN_LIST] for i in range(0, len(wanted), _IN_LIST)]
        return self._load([pods.c.uid.in_(chunk) for chunk in chunks])

    @staticmethod
    def pages(connection: Connection, uids: Sequence[str]) -> dict[str, Account]:
        """The pages of these pods, read within a transaction of the caller's."""
        found: dict[str, Account] = {}
        for start in range(0, len(uids), _IN_LIST):
            chosen = pods.c.uid.in_(uids[start : start + _IN_LIST])
            for row in connection.execute(_PAGES.where(chosen)):
                found[row[0]] = account_of(row)
        return found

    def _load(self, conditions: Sequence[Any]) -> dict[str, Account]:
        if not conditions:
            return {}
        with self.database.begin(reading=True) as connection:
            return {
                row[0]: account_of(row)
                for condition in conditions
                for row in connection.execute(_PAGES.where(condition))
            }

    def owned_spans(self, since: float) -> list[tuple[float, float]]:
        """(first, last) Running sample of the pods with annotations that ran after ``since``."""
        last = func.coalesce(figures.c.last_running_at, pods.c.last_running_at)
        query = (
            select(pods.c.first_running_at, last)
            .outerjoin_from(pods, figures, pods.c.uid == figures.c.uid)
            .where(last >= since, (pods.c.user != "") | (pods.c.primary_group != ""))
        )
        with self.database.begin(reading=True) as connection:
            return [(first, last) for first, last in connection.execute(query)]

    def gaps(self, since: float = 0.0) -> list[Gap]:
        """The source's silences that reach past ``since``, the earliest first."""
        query = select(gaps).where((gaps.c.end_at >= since) | gaps.c.end_at.is_(None))
        with self.database.begin(reading=True) as connection:
            return [Gap(*row) for row in connection.execute(query.order_by(gaps.c.start_at))]

    def last_window(self) -> Window | None:
        """The latest of the covered windows; None if there is none."""
        found = self.windows(limit=1)
        return Window(found[0]["start"], found[0]["end"]) if found else None

    def windows(self, limit: int = 100) -> list[dict[str, Any]]:
        """The covered windows, the latest first."""
        query = select(windows).order_by(windows.c.start.desc()).limit(limit)
        with self.database.begin(reading=True) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def edges(self, since: int, until: int) -> list[int]:
        """Where covered windows end that touch [since, until), and no other goes on, in order."""
        c = windows.c
        query = select(c.start, c.end).where(c.end > since, c.start < until).order_by(c.start)
        with self.database.begin(reading=True) as connection:
            found = connection.execute(query).all()
        edges: list[int] = []
        for start, end in found:
            if edges and start < edges[-1]:  # read again, across an end
                edges[-1] = max(edges[-1], end)
            else:
                edges.append(end)
        return edges

    def commit(self, step: Step) -> None:
        """Write all that a window changed, and the watermark, in one transaction.

        Raises:
            Busy: another process has moved the watermark meanwhile; nothing was written.
        """
        with self.database.begin() as connection:
            self._move(connection, step)
            write = self.database.write
            write(connection, pods, POD_COLUMNS, [account_row(a) for a in step.accounts])
            self.database.delete(connection, figures, [(a.pod.uid,) for a in step.accounts])
            with totals.following(connection, [(r.month, r.uid) for r in step.records]):
                write(connection, records, RECORD_COLUMNS, [record_row(r) for r in step.records])
            self._move_figures(connection, step.moved)
            changed = {r.month for r in step.records} | {r.month for _, r in step.moved}
            write_volumes(connection, self.database, step.volumes)
            covered = step.before.watermark if step.before else 0, step.after.watermark
            note_change(connection, changed | completed_months(connection, step.volumes, *covered))
            _disprove(connection, step)
            write(connection, gaps, ("start_at", "end_at"), [tuple(gap) for gap in step.gaps])
            columns = tuple(column.name for column in windows.columns)
            window = step.window
            row = (window.start, window.end, step.spoke, step.pods, step.rejected)
            write(connection, windows, columns, [(*row, time.time())])

    def _move_figures(
        self, connection: Connection, moved: Sequence[tuple[Account, Record]]
    ) -> None:
        pages = [account_figures(account) for account, _ in moved]
        self.database.write(connection, figures, FIGURE_COLUMNS, pages)
        rows = [record_figures(record) for _, record in moved]
        self.database.update(connection, records, RECORD_FIGURES, rows)

    def open_gap(self, start_at: float) -> None:
        """Note that the source is silent since ``start_at``."""
        with self.database.begin() as connection:
            self.database.write(connection, gaps, ("start_at", "end_at"), [(start_at, None)])

    def _move(self, connection: Connection, step: Step) -> None:
        """Move the watermark, if it is still where this poll found it."""
        after, before = step.after, step.before
        if before is None:
            row = (1, after.watermark, after.spoken_at, after.interval_seconds, after.revision)
            if connection.execute(select(progress)).first() is None:
                names = tuple(column.name for column in progress.columns)
                self.database.write(connection, progress, names, [row])
                return
        else:
            moved = connection.execute(
                update(progress)
                .where(
                    progress.c.watermark == before.watermark,
                    progress.c.revision == before.revision,
                )
                .values(
                    watermark=after.watermark,
                    spoken_at=after.spoken_at,
                    interval_seconds=after.interval_seconds,
                )
            )
            if moved.rowcount == 1:
                return
        raise Busy(
            "the ledger has changed during this poll: by another poller, or a user was erased",
            "nothing was lost or written twice; the next poll goes on from here",
        )


def _disprove(connection: Connection, step: Step) -> None:
    """Forget gaps in a window that was read again, if the source tells now what it did not then."""
    if not step.spoke:
        return
    connection.execute(
        gaps.delete().where(
            gaps.c.start_at > step.window.start,
            gaps.c.end_at <= step.window.end,
            gaps.c.start_at.not_in([gap.start_at for gap in step.gaps]),
        )
    )


def note_change(connection: Connection, months: Iterable[Month]) -> None:
    """Invalidate sums over these months: records of them are written."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(revisions)
    for year, month in sorted(months):  # sorted, so that two writers cannot deadlock
        connection.execute(
            insert.values(year=year, month=month, revision=1).on_conflict_do_update(
                index_elements=["year", "month"], set_={"revision": revisions.c.revision + 1}
            )
        )
