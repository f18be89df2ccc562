"""The ledger in the database: pods, counters, records, windows and the watermark.

``commit`` moves them all in one transaction, so that a crash leaves either the window before or
the window after, and nothing between.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from accounting.errors import Busy
from accounting.model.pods import (
    Account,
    Counter,
    CounterKind,
    Owner,
    Pod,
    Reading,
    Resets,
    Resources,
    SeriesKey,
)
from accounting.model.records import Record
from accounting.model.time import Gap, Month, Window
from accounting.store.database import Database
from accounting.store.tables import figures, gaps, pods, progress, records, revisions, windows

# Old SQLite libraries take 999 variables in a statement.
_IN_LIST = 900

_POD_COLUMNS = tuple(column.name for column in pods.columns)
_OWNER = slice(_POD_COLUMNS.index("user"), _POD_COLUMNS.index("flavor") + 1)
_RESOURCES = slice(_POD_COLUMNS.index("cpu_request"), _POD_COLUMNS.index("gpu_resource") + 1)
_OUTBOX_COLUMNS = {"queued_digest", "message_id", "queued_final"}
_RECORD_COLUMNS = tuple(c.name for c in records.columns if c.name not in _OUTBOX_COLUMNS)
_FIGURES = tuple(column.name for column in figures.columns)
# A page: its pod's row, but the figures where they have moved since that was written.
_PAGES = select(
    *(
        func.coalesce(figures.c[column.name], column) if column.name in _FIGURES[1:] else column
        for column in pods.columns
    )
).outerjoin_from(pods, figures, pods.c.uid == figures.c.uid)
# What moves of a record while its pod runs on.
_RECORD_FIGURES = (
    "created_at",
    "wall_seconds",
    "cpu_seconds",
    "received_gb",
    "sent_gb",
    "digest",
    "used_wall_seconds",
    "used_cpu_seconds",
)


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
        accounts, records: to be written whole.
        moved: pages and their latest records that are written already, but for the figures of a
            pod that runs on.
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

    def _load(self, conditions: Sequence[Any]) -> dict[str, Account]:
        if not conditions:
            return {}
        with self.database.begin(reading=True) as connection:
            return {
                row[0]: _account(row)
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

    def commit(self, step: Step) -> None:
        """Write all that a window changed, and the watermark, in one transaction.

        Raises:
            Busy: another process has moved the watermark meanwhile; nothing was written.
        """
        with self.database.begin() as connection:
            self._move(connection, step)
            write = self.database.write
            write(connection, pods, _POD_COLUMNS, [_account_row(a) for a in step.accounts])
            self.database.delete(connection, figures, [(a.pod.uid,) for a in step.accounts])
            write(connection, records, _RECORD_COLUMNS, [_record_row(r) for r in step.records])
            self._move_figures(connection, step.moved)
            changed = {r.month for r in step.records} | {r.month for _, r in step.moved}
            note_change(connection, changed)
            write(connection, gaps, ("start_at", "end_at"), [tuple(gap) for gap in step.gaps])
            columns = tuple(column.name for column in windows.columns)
            window = step.window
            row = (window.start, window.end, step.spoke, step.pods, step.rejected)
            write(connection, windows, columns, [(*row, time.time())])

    def _move_figures(
        self, connection: Connection, moved: Sequence[tuple[Account, Record]]
    ) -> None:
        pages = [_account_figures(account) for account, _ in moved]
        self.database.write(connection, figures, _FIGURES, pages)
        rows = [_record_figures(record) for _, record in moved]
        self.database.update(connection, records, _RECORD_FIGURES, rows)

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


def note_change(connection: Connection, months: Iterable[Month]) -> None:
    """Note that records of these months are written: what was added up of them is out of date."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(revisions)
    for year, month in sorted(months):  # in order: two writers never wait for each other in a ring
        connection.execute(
            insert.values(year=year, month=month, revision=1).on_conflict_do_update(
                index_elements=["year", "month"], set_={"revision": revisions.c.revision + 1}
            )
        )


def _account(row: Sequence[Any]) -> Account:
    """A page from its row; tens of thousands are read at once, so by position."""
    *described, counters, readings = row
    return Account(_pod(described), _counters(counters), _readings(readings))


# Counters and readings are a pod's own and never searched: they are JSON lists of
# (kind, series, at, value, [(time, peak), …]) and (year, month, at, cpu, received, sent).
_Counters = list[tuple[CounterKind, str, int, float, Resets]]
_Readings = list[tuple[int, int, int, float | None, float | None, float | None]]
_decode_counters = msgspec.json.Decoder(_Counters).decode
_decode_readings = msgspec.json.Decoder(_Readings).decode
_encode = msgspec.json.Encoder().encode


def _counters(stored: str) -> dict[SeriesKey, Counter]:
    return {
        SeriesKey(kind, series): Counter(at, value, resets)
        for kind, series, at, value, resets in _decode_counters(stored)
    }


def _readings(stored: str) -> dict[Month, Reading]:
    return {
        Month(year, month): Reading(at, cpu, received, sent)
        for year, month, at, cpu, received, sent in _decode_readings(stored)
    }


def _account_row(account: Account) -> tuple[Any, ...]:
    return (*_pod_row(account.pod), *_kept(account))


def _account_figures(account: Account) -> tuple[Any, ...]:
    pod = account.pod
    return (pod.uid, pod.last_running_at, pod.last_listed_at, *_kept(account))


def _kept(account: Account) -> tuple[str, str]:
    """Counters and readings as they are kept."""
    counters = [
        (*key, counter.at, counter.value, counter.resets)
        for key, counter in account.counters.items()
    ]
    readings = [(*month, *reading) for month, reading in account.readings.items()]
    return _encode(counters).decode(), _encode(readings).decode()


def _pod(row: Sequence[Any]) -> Pod:
    resources = Resources(*row[_RESOURCES])
    fields = [
        *row[: _OWNER.start],
        Owner(*row[_OWNER]),
        None if resources == _NO_RESOURCES else resources,
        *row[_RESOURCES.stop :],
    ]
    return Pod(*fields)


_NO_RESOURCES = Resources()


def _pod_row(pod: Pod) -> tuple[Any, ...]:
    resources = pod.resources or _NO_RESOURCES
    return (
        pod.uid,
        pod.namespace,
        pod.name,
        pod.first_running_at,
        pod.last_running_at,
        pod.last_listed_at,
        pod.created_at,
        pod.started_at,
        pod.completed_at,
        pod.owner.user,
        pod.owner.primary_group,
        pod.owner.flavor,
        resources.cpu_request,
        resources.cpu_limit,
        resources.memory_request_bytes,
        resources.memory_limit_bytes,
        resources.gpu_count,
        resources.gpu_resource,
        pod.image,
        pod.disk_bytes,
        pod.peak_memory_bytes,
        pod.ended,
        pod.ended_in_gap,
        pod.owner_known,
    )


def _record_row(record: Record) -> tuple[Any, ...]:
    return (
        record.uid,
        record.month.year,
        record.month.month,
        record.site,
        record.compute_service,
        record.cloud_type,
        record.machine,
        record.user,
        record.group,
        record.vo.name,
        record.vo.fqan,
        record.vo.rule,
        record.vo.source,
        record.status.value,
        record.created_at,
        record.start_at,
        record.end_at,
        record.wall_seconds,
        record.cpu_seconds,
        record.cpu_count,
        record.received_gb,
        record.sent_gb,
        record.memory_mb,
        record.disk_gb,
        record.image,
        record.flavor,
        record.gpu_count,
        record.gpu_resource,
        record.benchmark_type,
        record.benchmark,
        json.dumps(record.flags),
        record.held.value,
        record.problem,
        record.digest,
        record.used_wall_seconds,
        record.used_cpu_seconds,
    )


def _record_figures(record: Record) -> tuple[Any, ...]:
    return (
        record.created_at,
        record.wall_seconds,
        record.cpu_seconds,
        record.received_gb,
        record.sent_gb,
        record.digest,
        record.used_wall_seconds,
        record.used_cpu_seconds,
        *record.month,
        record.uid,
    )
