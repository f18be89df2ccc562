"""What egi-notebooks-accounting has sent is taken over: nothing is sent or counted twice."""

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from accounting.delivery import pusher
from accounting.delivery.differences import Chosen, Comparison, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.receiver import Receiver
from accounting.delivery.takeover import BROKER_ID, History, Taken, Takeover
from accounting.errors import AccountingError
from accounting.measure.poller import Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.measure.usage.counters import counting
from accounting.model.pods import IMPORTED, POD_LEVEL, Counter, CounterKind, SeriesKey
from accounting.model.time import Month
from accounting.simulation.judges.repository import Repository
from accounting.simulation.world.cluster import NAMESPACE
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.records import Records, Selection
from accounting.store.totals import months_that_differ
from tests import commands
from tests.delivery.books import NOVEMBER, RULES, SITE, Inbox, account, opened, ran_on, write
from tests.exactness.notebooks import START as BEGUN
from tests.exactness.notebooks import Notebook, heartbeat, merged, served

HOUR = 3600
INBOX = "inbox://example.org"
MADE = """CREATE TABLE "vm" ("namespace" VARCHAR(255) NOT NULL,
 "local_id" TEXT NOT NULL PRIMARY KEY, "machine" VARCHAR(255) NOT NULL,
 "local_user_id" VARCHAR(255), "local_group_id" VARCHAR(255), "global_user_name" VARCHAR(255),
 "fqan" VARCHAR(255), "status" VARCHAR(255), "start_time" DATETIME, "end_time" DATETIME,
 "suspend_duration" REAL, "wall" REAL, "cpu_duration" REAL, "cpu_count" REAL,
 "network_type" VARCHAR(255), "network_inbound" REAL, "network_outbound" REAL, "memory" REAL,
 "disk" REAL, "storage_record" VARCHAR(255), "image_id" VARCHAR(255),
 "benchmark_type" VARCHAR(255), "benchmark" VARCHAR(255), "public_ip_count" INTEGER,
 "flavor" VARCHAR(255))"""
"""The table as that tool's library of models makes it: UUIDs are text without dashes."""

Row = dict[str, object]
OPEN = replace(pusher.Policy(), close_after_seconds=100_000 * 86400.0, at_once=True)


def uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def row(number: int, start: str, seconds: int, *, ended: bool = True, **changes: object) -> Row:
    begun = datetime.fromisoformat(start)
    end = datetime.fromtimestamp(begun.replace(tzinfo=UTC).timestamp() + seconds, UTC)
    return {
        "namespace": "hub",
        "local_id": UUID(uid(number)).hex,
        "machine": f"jupyter-{number}",
        "global_user_name": f"user-{number}@example.org",
        "fqan": "vo.example.org",
        "status": "completed" if ended else "started",
        "start_time": start,
        "end_time": f"{end:%Y-%m-%d %H:%M:%S}" if ended else None,
        "suspend_duration": 0.0,
        "wall": float(seconds),
        "cpu_duration": seconds / 2 + 0.4,
        "cpu_count": 1.0,
        "network_inbound": 2.0**31,
        "network_outbound": 2.0**30,
        "memory": 2.0**31,
        "disk": 0.0,
        "image_id": "registry.example.org/notebook:1",
        "public_ip_count": 0,
        "flavor": "small",
        **changes,
    }


def made(path: Path, rows: Sequence[Row]) -> Path:
    """That tool's file."""
    with closing(sqlite3.connect(path)) as file:
        file.execute(MADE)
        for one in rows:
            marks = ", ".join("?" * len(one))
            names = ", ".join(one)
            file.execute(f"INSERT INTO vm ({names}) VALUES ({marks})", list(one.values()))  # noqa: S608 - the test's own words
        file.commit()
    return path


def taken(database: Database, path: Path, *, dry_run: bool = False, to: str = INBOX) -> Taken:
    return Takeover(database, SITE, RULES, to).take(History(path, UTC), dry_run=dry_run)


HISTORY = (
    row(1, "2026-10-05 10:00:00", 7200),
    row(2, "2026-10-31 22:00:00", 4 * 3600),
    row(3, "2026-11-02 08:00:00", 3600, ended=False),
)


def test_what_was_sent_counts_as_delivered_and_is_never_due(
    ledger: Database, tmp_path: Path
) -> None:
    found = taken(ledger, made(tmp_path / "notebooks.db", HISTORY))
    assert (found.rows, found.notebooks, found.running, found.sent) == (3, 3, 1, 3)
    assert dict(found.months) == {"2026-10": 1, "2026-11": 2}
    assert months_that_differ(ledger) == []
    assert found.wall_seconds == 7200 + 4 * 3600 + 3600
    inbox = Inbox()
    assert pusher.Pusher(Outbox(ledger), inbox, OPEN).push().is_complete
    assert inbox.bodies == []
    ours = {(r.uid, r.month): r for r in Records(ledger).find()}
    first = ours[uid(1), Month(2026, 10)]
    assert (first.wall_seconds, first.cpu_seconds, first.status.value) == (7200, 3600, "completed")
    assert (first.received_gb, first.memory_mb, first.vo.name) == (2, 2048, "vo.example.org")
    line = Receiver(ledger, INBOX).summary(Month(2026, 11))[0]
    assert (line.delivered.pods, line.delivered.wall_seconds) == (2, 5 * 3600)
    assert [m["broker_id"] for m in _messages(ledger)] == [BROKER_ID]
    assert Outbox(ledger).due_count(destination="inbox://other.example.org") == 4


def _messages(database: Database) -> list[dict[str, object]]:
    with database.begin(reading=True) as connection:
        found = connection.exec_driver_sql("SELECT state, records, broker_id FROM messages")
        return [dict(one) for one in found.mappings()]


def test_a_second_run_takes_nothing_and_a_later_one_only_what_is_new(
    ledger: Database, tmp_path: Path
) -> None:
    path = made(tmp_path / "notebooks.db", HISTORY)
    assert taken(ledger, path, dry_run=True).sent == 3
    assert _messages(ledger) == []
    taken(ledger, path)
    again = taken(ledger, path)
    assert (again.rows, again.known, again.notebooks, again.sent) == (3, 3, 0, 0)
    assert len(_messages(ledger)) == 1
    path.unlink()
    made(path, [*HISTORY, row(4, "2026-11-03 08:00:00", 60)])
    later = taken(ledger, path)
    assert (later.known, later.notebooks, later.sent) == (3, 1, 1)


def test_figures_of_a_notebook_that_still_runs_go_on(ledger: Database, tmp_path: Path) -> None:
    taken(ledger, made(tmp_path / "notebooks.db", HISTORY))
    page = Ledger(ledger).running()[uid(3)]
    key = SeriesKey(CounterKind.CPU, IMPORTED)
    assert page.counters[key].value == 1800.4
    # Prometheus has forgotten what was before the container's restart.
    at = page.readings[NOVEMBER].at + 300
    page.counters[SeriesKey(CounterKind.CPU, POD_LEVEL)] = Counter(at, 20.0, (), (at - 60.0, 5.0))
    page.counters[SeriesKey(CounterKind.RECEIVED, "eth0")] = Counter(at, 1e6)
    assert counting.totals(page.counters, at)[1:] == (1800.4 + 15.0, 2.0**31, 2.0**30)
    page.counters[SeriesKey(CounterKind.CPU, POD_LEVEL)] = Counter(at, 1900.0)
    page.counters[SeriesKey(CounterKind.RECEIVED, "eth0")] = Counter(at, 3e9)
    assert counting.totals(page.counters, at)[1:] == (1900.0, 3e9, 2.0**30)
    page.readings[NOVEMBER] = counting.totals(page.counters, at)
    write(ledger, [ran_on(page, 600, ended=True)])
    inbox = Inbox()
    pusher.Pusher(Outbox(ledger), inbox, OPEN).push()
    (body,) = inbox.bodies
    assert f"VMUUID: {uid(3)}" in body
    assert "WallDuration: 4200" in body
    assert body.count("VMUUID") == 1


def test_a_poll_goes_on_where_that_tool_ended_and_nothing_counts_twice(
    ledger: Database, tmp_path: Path
) -> None:
    ended, runs = Notebook(1, 0, HOUR, "jupyter-1"), Notebook(2, 0, 5 * HOUR, "jupyter-2")
    for one in (ended, runs):
        one.run()
        one.cgroup(one.since, one.until, lambda at: at / 2)
    begun = f"{datetime.fromtimestamp(BEGUN, UTC):%Y-%m-%d %H:%M:%S}"
    rows = [
        row(1, begun, HOUR, local_id=UUID(ended.uid).hex),
        row(2, begun, 2 * HOUR, local_id=UUID(runs.uid).hex, ended=False),
        row(3, "2025-10-05 10:00:00", 7200),
    ]
    assert taken(ledger, made(tmp_path / "notebooks.db", rows)).sent == 3
    repository, inbox = Repository(), Inbox()
    with ledger.begin(reading=True) as connection:
        repository.load_all(connection.exec_driver_sql("SELECT body FROM messages").scalars())
    seen = merged(heartbeat(7 * HOUR), ended.seen, runs.seen)
    with served(tmp_path, seen, "victoria") as url, Source(url) as source:
        for until in (3 * HOUR, 7 * HOUR):
            scope = Scope(NAMESPACE, "jupyter-.*")
            Poller(Ledger(ledger), source, scope, SITE, RULES).poll(BEGUN + until)
            assert pusher.Pusher(Outbox(ledger), inbox, OPEN).push().is_complete
    repository.load_all(inbox.bodies)
    held = {
        uuid: (row.integer("WallDuration"), row.integer("CpuDuration"), row.text("Status"))
        for (uuid, _), row in repository.rows.items()
    }
    assert len(repository.rows) == len(held) == 3
    assert held[uid(3)] == (7200, 3600, "completed")
    assert held[ended.uid] == (HOUR, HOUR // 2, "completed")
    assert held[runs.uid] == (5 * HOUR, 5 * HOUR // 2, "completed")
    ours = Records(ledger).month_totals()
    assert sum(wall for _, wall, _ in ours.values()) == sum(wall for wall, *_ in held.values())


def test_what_the_ledger_measured_itself_corrects_what_was_sent(
    ledger: Database, tmp_path: Path
) -> None:
    write(ledger, [ran_on(account(1), 600, ended=True)])
    path = made(tmp_path / "notebooks.db", [row(1, "2026-11-01 01:00:00", 3000)])
    found = taken(ledger, path)
    assert (found.notebooks, found.sent) == (0, 1)
    receiver = Receiver(ledger, INBOX)
    compared = Comparison().add(receiver.differences(Chosen(NOVEMBER)))
    assert (compared.counts[Kind.CHANGED.value], compared.wall_seconds) == (1, 1200)
    closed = Selection(differing=True, open_from=NOVEMBER.next)
    assert len(list(Records(ledger).find(closed))) == 1
    assert Outbox(ledger).due_count(NOVEMBER.next, INBOX) == 0
    assert Outbox(ledger).due_count(NOVEMBER, INBOX) == 1


def test_rows_that_cannot_be_taken_are_counted_by_their_reason(
    ledger: Database, tmp_path: Path
) -> None:
    rows = [
        row(1, "2026-11-01 01:00:00", 3000, local_id="not-a-uuid"),
        row(2, "2026-11-01 01:00:00", 3000, start_time=None),
        row(3, "2026-11-01 01:00:00", 3000, wall=-5.0),
        row(4, "2026-11-01 01:00:00", 3000, end_time="yesterday"),
        row(5, "2026-11-01 01:00:00", 3000, end_time="2026-10-01 00:00:00"),
        row(6, "2026-11-01 01:00:00", 3000, cpu_count=0.0),
        row(7, "2026-11-01 01:00:00", 3000, global_user_name=None, fqan=None, image_id=None),
        row(8, "2026-11-01 01:00:00", 3000, fqan="no such group"),
        row(8, "2026-11-01 01:00:00", 60, ended=False, local_id=uid(8).upper()),
        row(9, "2026-11-01 01:00:00", 0, ended=False, status=None, wall=None, cpu_duration=None),
    ]
    found = taken(ledger, made(tmp_path / "notebooks.db", rows))
    assert found.unusable == {
        "its local_id is no UUID": 1,
        "no start time": 1,
        "wall cannot be true": 1,
        "end_time is no time": 1,
        "it ends before it starts": 1,
        "a second row of a notebook": 1,
    }
    assert (found.rows, found.notebooks, found.sent, found.not_sent) == (10, 4, 3, 1)
    assert (found.running, found.wall_seconds) == (1, 6000)
    again = taken(ledger, tmp_path / "notebooks.db")
    assert (again.rows, again.known, again.notebooks, again.sent) == (10, 4, 0, 0)
    assert Outbox(ledger).due_count(destination=INBOX) == 0  # the repository would store 0 cores


def test_texts_that_no_database_keeps_are_escaped(ledger: Database, tmp_path: Path) -> None:
    """PostgreSQL would refuse them, and all other rows with them."""
    odd = row(1, "2026-10-05 10:00:00", 7200, global_user_name="a%b\0c", image_id="x\0")
    taken(ledger, made(tmp_path / "old.db", [odd]))
    (found,) = Records(ledger).find(Selection())
    assert (found.user, found.image) == ("a%25b%00c", "x%00")


def test_times_are_of_the_zone_that_the_tool_ran_in(tmp_path: Path) -> None:
    path = made(tmp_path / "notebooks.db", [row(1, "2026-10-31 23:30:00", 3600)])
    with opened(tmp_path) as database:
        takeover = Takeover(database, SITE, RULES, INBOX)
        takeover.take(History(path, ZoneInfo("America/New_York")))
        assert [record.month for record in Records(database).find()] == [NOVEMBER]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"this is no database " * 99, "cannot be read as an SQLite database"),
        (b"", "no table 'vm'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "wrong.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AccountingError, match=said):
        History(path, UTC)


def test_a_table_without_a_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute(MADE.replace('"wall" REAL, ', ""))
    with pytest.raises(AccountingError, match="no column wall"):
        History(path, UTC)


def test_the_command_shows_first_and_takes_then(tmp_path: Path) -> None:
    path = made(tmp_path / "notebooks.db", HISTORY)

    def run(*more: str) -> tuple[int, str, str]:
        given = {
            "SITE_NAME": "EXAMPLE",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'accounting.db'}",
            "VO__DEFAULT": "vo.example.org",
            "DESTINATIONS": json.dumps({"sums": {"records": "summary"}}),
        }
        done = commands.run(
            "import",
            "egi-notebooks-accounting",
            "--db",
            path,
            *more,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
            | {f"ACCOUNTING_{name}": value for name, value in given.items()},
        )
        return done.returncode, done.stdout, done.stderr

    with opened(tmp_path):
        pass
    code, out, err = run("--dry-run")
    assert code == 0, err
    assert "2026-10" in out
    assert "nothing was taken over" in err
    code, out, err = run("--json")
    assert code == 0, err
    assert json.loads(out)["sent"] == 3
    code, out, _ = run("--json")
    assert (json.loads(out)["sent"], json.loads(out)["known"]) == (0, 3)
    code, _, err = run("--destination", "sums")
    assert (code, "does not take records" in err) == (2, True)
    code, _, err = run("--timezone", "Nowhere/Land")
    assert (code, "no time zone" in err) == (2, True)
    for text in (out, err):
        assert "user-1" not in text
