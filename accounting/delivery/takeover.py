"""Takes over what egi-notebooks-accounting has sent: its SQLite file becomes part of the ledger.

Notebooks become pages and records; a record that went out counts as delivered, in a message that
was sent elsewhere. What the ledger has measured itself stays, and is a correction of what was sent.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, update

from accounting.delivery import batches
from accounting.delivery.outlets import queue
from accounting.errors import AccountingError
from accounting.model.messages import Entry, MessageState, OutletKind, RecordKey
from accounting.model.records import Record
from accounting.model.texts import fit
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.formats import apel
from accounting.records.formats.predecessor import COLUMNS, TABLE, Past, Unusable, past
from accounting.records.identity import VoRules
from accounting.store import totals
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.rows import POD_COLUMNS, RECORD_COLUMNS, account_row, record_row
from accounting.store.tables import delivered, pods, progress, queued, records

BROKER_ID = "sent by egi-notebooks-accounting"
"""Stands where the broker's id of a message would."""
_AT_ONCE = 500


_SECOND = "a second row of a notebook"
_LAST_OF_EACH = f"""SELECT rowid FROM (
    SELECT rowid, row_number() OVER (
        PARTITION BY lower(replace(coalesce(local_id, rowid), '-', ''))
        ORDER BY status = 'completed' DESC, wall DESC, rowid DESC
    ) AS place FROM {TABLE}
) WHERE place = 1 ORDER BY rowid"""  # noqa: S608 - our own words


@dataclass(slots=True)
class Taken:
    """What was taken over, or would be.

    Attributes:
        rows: in the file.
        notebooks: that the ledger did not know.
        running: of these, that had not ended.
        sent: records that count as delivered now.
        not_sent: notebooks without CPU count, of which that tool sent nothing.
        known: rows of which the destination's state was known before; nothing was taken.
        unusable: rows that cannot be taken, by reason.
        months: records that count as delivered now, by month.
        wall_seconds: of these, as they were sent.
    """

    rows: int = 0
    notebooks: int = 0
    running: int = 0
    sent: int = 0
    not_sent: int = 0
    known: int = 0
    unusable: dict[str, int] = field(default_factory=dict)
    months: dict[str, int] = field(default_factory=dict)
    wall_seconds: int = 0


class History:
    """That tool's file, opened for reading only.

    Args:
        path: the file.
        zone: of the times in it.

    Raises:
        AccountingError: it is not there, or is something else.
    """

    def __init__(self, path: Path, zone: tzinfo) -> None:
        self.path = path
        self.zone = zone
        found = self._asked(f"PRAGMA table_info({TABLE})")
        missing = {*COLUMNS} - {row[1] for row in found}
        if missing:
            what = f"no column {', '.join(sorted(missing))}" if found else f"no table '{TABLE}'"
            raise AccountingError(
                f"{path} is not of egi-notebooks-accounting: it has {what}",
                "give the file that notebooks_db (or NOTEBOOKS_DB) names in that tool's settings",
            )

    def count(self) -> int:
        """How many rows there are."""
        ((rows,),) = self._asked(f"SELECT count(*) FROM {TABLE}")  # noqa: S608 - our own words
        return int(rows)

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """The rows of different notebooks, in the order of the file, some at a time.

        Of two rows of a notebook, of which the ids are spelled differently, it is the one that was
        written last: the completed one, else the longer one.
        """
        query = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} WHERE rowid IN ({{}}) ORDER BY rowid"  # noqa: S608 - our own words
        chosen = [number for (number,) in self._asked(_LAST_OF_EACH)]
        for start in range(0, len(chosen), _AT_ONCE):
            part = chosen[start : start + _AT_ONCE]
            found = self._asked(query.format(", ".join("?" * len(part))), *part)
            yield [dict(zip(COLUMNS, map(_kept, row), strict=True)) for row in found]

    def _asked(self, query: str, *values: int) -> list[Any]:
        if not self.path.is_file():
            raise AccountingError(f"there is no file {self.path}", "give the tool's SQLite file")
        where = f"{self.path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(where, uri=True)) as file:
                return file.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            raise AccountingError(
                f"{self.path} cannot be read as an SQLite database: {exc}",
                "give the tool's file, whole, and readable for this program",
            ) from exc


def _kept(value: Any) -> Any:
    return fit(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Takeover:
    """Takes a history over.

    Attributes:
        database: the ledger's.
        site, rules: what records say of the site, and how groups become VOs.
        destination: what was sent went there, as messages name it; ``position``: its place in the
            settings.
    """

    database: Database
    site: Site
    rules: VoRules
    destination: str
    position: int = 0

    def take(
        self,
        history: History,
        notice: Callable[[Taken], bool] = lambda _: False,
        *,
        dry_run: bool = False,
    ) -> Taken:
        """Take over all of it; what was taken before is not taken again.

        Args:
            history: the file.
            notice: told after each part; it ends there if the answer is true.
            dry_run: only count.

        Raises:
            AccountingError: the file cannot be read.
            Busy: a push is under way.
        """
        taken = Taken()
        with self.database.exclusive("push"):
            for rows in history.pages():
                self._take(list(self._usable(rows, history.zone, taken)), taken, dry_run=dry_run)
                if notice(taken):
                    return taken
        if seconds := history.count() - taken.rows:
            taken.rows += seconds
            taken.unusable[_SECOND] = seconds
        return taken

    def _usable(self, rows: Sequence[dict[str, Any]], zone: tzinfo, taken: Taken) -> Iterator[Past]:
        for row in rows:
            taken.rows += 1
            try:
                yield past(row, self.site, zone)
            except Unusable as exc:
                reason = str(exc)
                taken.unusable[reason] = taken.unusable.get(reason, 0) + 1

    def _take(self, found: Sequence[Past], taken: Taken, *, dry_run: bool) -> None:
        with self.database.begin(reading=dry_run) as connection:
            uids = [one.account.pod.uid for one in found]
            measured = set(connection.scalars(select(pods.c.uid).where(pods.c.uid.in_(uids))))
            told = self._told(connection, uids)
            new = [one for one in found if one.account.pod.uid not in measured]
            sent = [
                one for one in found if one.text and (one.account.pod.uid, one.month) not in told
            ]
            _count(taken, found, new, sent)
            if not dry_run and (new or sent):
                written = self._write(connection, new)
                self._note(connection, sent, written)

    def _told(self, connection: Connection, uids: Sequence[str]) -> set[tuple[str, Any]]:
        """The figures of which the destination was told."""
        there = queued.c.destination == self.destination
        query = select(queued.c.uid, queued.c.year, queued.c.month).where(
            queued.c.uid.in_(uids), there
        )
        return {(uid, (year, month)) for uid, year, month in connection.execute(query)}

    def _write(self, connection: Connection, new: Sequence[Past]) -> list[Record]:
        """Pages and records of notebooks that the ledger does not know."""
        found = [r for one in new for r in builder.records(one.account, self.site, self.rules)]
        write = self.database.write
        # A poll that is under way has another picture of the pods: it begins anew. Before all
        # else, as polls do: so neither waits for what the other has changed.
        connection.execute(update(progress).values(revision=progress.c.revision + 1))
        write(connection, pods, POD_COLUMNS, [account_row(one.account) for one in new])
        with totals.following(connection, [(record.month, record.uid) for record in found]):
            write(connection, records, RECORD_COLUMNS, [record_row(record) for record in found])
        note_change(connection, {record.month for record in found})
        return found

    def _note(
        self, connection: Connection, sent: Sequence[Past], written: Sequence[Record]
    ) -> None:
        """Let what was sent count as delivered, and all months of a new notebook as told."""
        queue.register(connection, self.destination, OutletKind.RECORDS, self.position)
        ours = {(record.uid, record.month): record for record in written}
        entries = [_entry(one, ours.pop((one.account.pod.uid, one.month), None)) for one in sent]
        went = {one.account.pod.uid for one in sent}
        earlier = [
            Entry(RecordKey(record.uid, *record.month), "", record.digest, final=True)
            for record in ours.values()
            if record.uid in went
        ]
        if not entries:
            return
        at = float(max(one.at for one in sent))
        body = apel.message([one.text for one in sent])
        number = batches.store(connection, self.destination, body, count=len(sent), now=at)
        batches.note(
            connection,
            number,
            state=MessageState.SENT.value,
            attempts=1,
            tried_at=at,
            sent_at=at,
            broker_id=BROKER_ID,
        )
        batches.enqueue(connection, self.destination, number, entries)
        if earlier:
            queue.enqueue(connection, self.destination, number, earlier)
        columns = tuple(column.name for column in delivered.columns)
        rows = [
            (*key, self.destination, number, apel.text_digest(one.text), one.text, at)
            for one in sent
            for key in ((*one.month, one.account.pod.uid),)
        ]
        self.database.write(connection, delivered, columns, rows)


def _entry(one: Past, record: Record | None) -> Entry:
    """What the destination was told: it is not due, unless the ledger has measured it otherwise."""
    pod = one.account.pod
    digest = apel.text_digest(one.text) if record is None else record.digest
    return Entry(RecordKey(pod.uid, *one.month), one.text, digest, final=pod.ended)


def _count(taken: Taken, found: Sequence[Past], new: Sequence[Past], sent: Sequence[Past]) -> None:
    fresh = {one.account.pod.uid for one in (*new, *sent)}
    taken.known += sum(one.account.pod.uid not in fresh for one in found)
    taken.notebooks += len(new)
    taken.running += sum(not one.account.pod.ended for one in new)
    taken.not_sent += sum(not one.text for one in new)
    taken.sent += len(sent)
    for month in (str(one.month) for one in sent):
        taken.months[month] = taken.months.get(month, 0) + 1
    taken.wall_seconds += sum(int(apel.parsed(one.text)["WallDuration"]) for one in sent)
