"""A clock that ran ahead is a named fault; nothing waits for it, and one command mends it."""

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, insert, select, update
from typer.testing import CliRunner

from accounting.cli import app
from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.doctor import CLOCK, Finding, State
from accounting.doctor.database import clock
from accounting.errors import ClockError
from accounting.model.accelerators import Use, UseKey
from accounting.model.jobs import Ending
from accounting.model.pods import Counter, CounterKind, DayReading, SeriesKey
from accounting.store.engine.clock import ahead, mend
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.mending import mend_notebooks
from accounting.store.records import Records
from accounting.store.tables import (
    delivered,
    gaps,
    holds,
    messages,
    progress,
    reconciliations,
    stops,
    volumes,
    windows,
)
from accounting.store.totals import months_that_differ
from tests import commands
from tests.api.serving import Running, Serve
from tests.delivery.books import RULES, SITE, START, Inbox, account, ran_on, write

DAY = 86400
NOW = 1_793_600_000.0


@pytest.fixture
def running(serve: Serve) -> Running:
    found = serve(NOW)
    write(found.service.database, [account(n) for n in range(3)])
    return found


def run_ahead(database: Database, now: float) -> None:
    """What a month in the future leaves behind."""
    then = now + 30 * DAY
    with database.begin() as connection:
        connection.execute(update(progress).values(watermark=int(then), spoken_at=then))
        row = {"start": int(then) - 300, "end": int(then), "spoke": True, "pods": 0}
        connection.execute(insert(windows).values(**row, rejected=0, polled_at=then))


def add(database: Database, destination: str, state: str, **times: float) -> None:
    """Put a message into the outbox."""
    with database.begin() as connection:
        connection.execute(
            insert(messages).values(
                empaid=f"{state:a<20}",
                destination=destination,
                state=state,
                body="x",
                records=0,
                attempts=1,
                error="",
                broker_id="",
                **times,
            )
        )


def test_a_poll_says_that_the_clock_ran_ahead_instead_of_complete(running: Running) -> None:
    database = running.service.database
    run_ahead(database, NOW)
    ended = running.service.jobs.poll()
    assert ended.ending is Ending.FAILED
    assert isinstance(ended.error, ClockError)
    assert ended.exit_code == 3
    assert "720.0 h farther" in ended.error.message
    assert "db mend-times" in ended.error.cure
    (found,) = clock(running.service.settings, NOW)
    assert found.what == "times in the future: 1 watermarks, 1 windows"


def test_mending_goes_back_to_what_is_past_and_polls_go_on(running: Running) -> None:
    database = running.service.database
    before = Ledger(database).progress()
    assert before is not None
    with database.begin() as connection:
        row = {"start": int(NOW) - 600, "end": int(NOW) - 300, "spoke": True, "pods": 3}
        connection.execute(insert(windows).values(**row, rejected=0, polled_at=NOW))
    run_ahead(database, NOW)
    assert mend(database, NOW) == {"watermarks": 1, "windows": 1}
    assert ahead(database, NOW) == {}
    after = Ledger(database).progress()
    assert after is not None
    assert after.watermark == int(NOW) - 300
    assert running.service.jobs.poll().ending is Ending.UNAVAILABLE  # it asks again
    assert list(clock(running.service.settings, NOW)) == []


def test_no_figure_says_that_the_future_was_a_moment_ago(running: Running) -> None:
    """What cannot be told is NaN or null, which an alert fires on; it is neither negative nor 0."""
    database = running.service.database
    then = NOW + 30 * DAY
    run_ahead(database, NOW)
    add(database, "inbox://example.org", "pending", built_at=then)
    add(database, "inbox://example.org", "sent", built_at=then, sent_at=then)
    status = running.get("/api/v1/status").json()
    assert (status["lag_seconds"], status["delivery"]["oldest_seconds"]) == (None, None)
    shown = running.get("/metrics").text
    for name in ("lag_seconds", 'outbox_oldest_seconds{destination="elsewhere"}'):
        assert f"notebooks_accounting_{name} NaN" in shown
    page = running.get("/", headers={"Accept": "text/html"}).text
    assert "No: something needs to be repaired" in page
    assert page.count("in the future: a clock ran ahead") == 3
    assert " 0 s ago" not in page
    (found,) = clock(running.service.settings, NOW)
    assert "2 messages" in found.what
    mend(database, NOW)
    status = running.get("/api/v1/status").json()
    assert status["lag_seconds"] >= 0
    assert status["delivery"]["oldest_seconds"] == 0
    assert list(clock(running.service.settings, NOW)) == []


THEN = NOW + 30 * DAY
KEYS = {"destination": "inbox://x", "year": 2026, "month": 11}
OF_RECORD = {"uid": "a", "year": 2026, "month": 11}
AHEAD: dict[str, tuple[Table, dict[str, Any]]] = {
    "gaps": (gaps, {"start_at": THEN, "end_at": None}),
    "stops": (
        stops,
        {
            "destination": "inbox://x",
            "kind": "refused",
            "reason": "no",
            "cure": "ask",
            "stopped_at": NOW - DAY,
            "probe_at": THEN,
        },
    ),
    "deliveries": (
        delivered,
        {**KEYS, "uid": "a", "message_id": 1, "digest": "", "text": "", "delivered_at": THEN},
    ),
    "notes of held records": (
        holds,
        {**OF_RECORD, "held": "x", "problem": "", "reported_at": NOW, "acknowledged_at": THEN},
    ),
    "reconciliations": (
        reconciliations,
        {**KEYS, "made_at": THEN, "source": "", "unit": "", "is_partial": False, "lines": "[]"},
    ),
}


@pytest.mark.parametrize("what", AHEAD)
def test_each_time_in_the_future_is_named_by_the_doctor_and_mended_by_one_command(
    what: str, running: Running
) -> None:
    database = running.service.database
    table, row = AHEAD[what]
    with database.begin() as connection:
        connection.execute(insert(table).values(**row))
    (found,) = clock(running.service.settings, NOW)
    assert found.what == f"times in the future: 1 {what}"
    assert mend(database, NOW) == {what: 1}
    assert list(clock(running.service.settings, NOW)) == []


def test_a_source_that_spoke_in_the_future_is_named_and_mended(running: Running) -> None:
    database = running.service.database
    with database.begin() as connection:
        connection.execute(update(progress).values(spoken_at=THEN))
    assert mend(database, NOW) == {"watermarks": 1}
    assert ahead(database, NOW) == {}


def test_what_was_compared_in_the_future_keeps_its_order(running: Running) -> None:
    database = running.service.database
    table, row = AHEAD["reconciliations"]
    with database.begin() as connection:
        for n in range(3):
            values = {**row, "made_at": THEN + n, "source": str(n)}
            connection.execute(insert(table).values(**values))
    mend(database, NOW)
    with database.begin(reading=True) as connection:
        found = connection.execute(
            select(reconciliations.c.source).order_by(reconciliations.c.made_at)
        )
        assert found.scalars().all() == ["0", "1", "2"]


def test_clocks_that_differ_a_little_give_no_negative_figure(running: Running) -> None:
    with running.service.database.begin() as connection:
        connection.execute(update(progress).values(watermark=int(NOW) + 60))
    assert running.get("/api/v1/status").json()["lag_seconds"] == 0
    assert "notebooks_accounting_lag_seconds 0.0" in running.get("/metrics").text


@pytest.mark.parametrize("state", ["sending", "pending"])
def test_no_message_waits_for_a_time_that_was_never_meant(state: str, running: Running) -> None:
    database = running.service.database
    inbox = Inbox()
    pusher = Pusher(Outbox(database), inbox, now=lambda: NOW)
    then = NOW + 30 * DAY
    add(database, inbox.name, state, built_at=NOW, tried_at=then, next_try_at=then)
    report = pusher.push()
    assert report.next_try_at is None
    assert report.pending == 0


def test_a_stop_of_the_future_is_probed(running: Running) -> None:
    database = running.service.database
    inbox = Inbox()
    with database.begin() as connection:
        connection.execute(
            insert(stops).values(
                destination=inbox.name,
                stopped_at=NOW + 30 * DAY,
                kind="refused",
                reason="no",
                cure="ask",
                probe_at=NOW + 30 * DAY,
            )
        )
    assert ahead(database, NOW) == {"stops": 1}
    assert Pusher(Outbox(database), inbox, now=lambda: NOW).push().delivered == 3


def month_ahead(database: Database) -> None:
    """What polls leave whose clock, and Prometheus', were a month ahead: a notebook that ended."""
    page = account(0)
    page.pod.owner = replace(page.pod.owner, user="ada@example.org")
    cpu = SeriesKey(CounterKind.CPU, "pod")
    resets = ((NOW + 60.0, 5.0), (THEN, 7.0))
    page.counters[cpu] = Counter(int(THEN), 120.5, resets, (NOW + 1, 1.0), THEN)
    page.days = {day: DayReading(day * DAY, 1.0) for day in (int(NOW) // DAY, int(THEN) // DAY)}
    page.uses = {UseKey(int(THEN) // DAY + n, ""): Use(1.0, 2.0) for n in range(2)}
    write(database, [ran_on(page, 31 * DAY, ended=True)])


def test_records_of_the_future_are_named_everywhere_and_stop_nothing(running: Running) -> None:
    database = running.service.database
    month_ahead(database)
    (found,) = clock(running.service.settings, NOW)
    assert found.what == "times in the future: 1 notebooks, 2 records"
    assert running.get("/api/v1/status").json()["delivery"]["dated_ahead"] == 2
    assert "notebooks_accounting_dated_ahead_records 2.0" in running.get("/metrics").text
    page = running.get("/", headers={"Accept": "text/html"}).text
    assert "2 records are dated in the future: a clock ran ahead" in page
    assert "db mend-times" in page
    pushed = running.service.jobs.push()
    assert pushed.result is not None
    assert pushed.result["dated_ahead"] == 2


def test_one_command_brings_notebooks_and_records_back(running: Running) -> None:
    database = running.service.database
    month_ahead(database)
    assert mend_notebooks(database, SITE, RULES, NOW) == 1
    assert ahead(database, NOW) == {}
    (page,) = Ledger(database).accounts([account(0).pod.uid]).values()
    (counter,) = page.counters.values()
    assert counter.total == 120.5 + 5.0 + 7.0
    assert max(counter.at, counter.seen_at or 0, counter.resets[-1][0]) <= NOW
    assert {*page.days} == {int(NOW) // DAY}
    assert page.uses == {UseKey(int(NOW) // DAY, ""): Use(2.0, 4.0)}
    kept = [record for record in Records(database).find() if record.uid == page.pod.uid]
    (record,) = kept
    assert (record.end_at, record.wall_seconds) == (int(NOW), int(NOW) - START)
    assert record.cpu_seconds == int(120.5 + 31 * DAY / 2)
    assert months_that_differ(database) == []
    assert mend_notebooks(database, SITE, RULES, NOW) == 0


@pytest.mark.parametrize(
    ("failed", "code"), [([], 0), ([CLOCK], 3), ([CLOCK, "database"], 1), (["database"], 1)]
)
def test_the_doctor_exits_with_3_if_only_times_are_to_be_mended(
    failed: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for it: a job that runs the doctor first may go on."""
    found = [Finding(name, State.FAILED, "wrong", "mend it") for name in failed]
    monkeypatch.setattr("accounting.doctor.examine", lambda _settings: iter(found))
    assert CliRunner().invoke(app, ["doctor"], env={"ACCOUNTING_SITE_NAME": "X"}).exit_code == code


def test_a_node_s_clock_that_is_half_an_hour_ahead_is_no_fault(running: Running) -> None:
    page = ran_on(account(0), NOW - START - 3600, ended=True)
    page.pod.completed_at = NOW + 1800
    page.pod.last_listed_at += 60
    write(running.service.database, [page])
    assert list(clock(running.service.settings, NOW)) == []


def test_days_of_volumes_that_have_not_come_go(running: Running) -> None:
    database = running.service.database
    names = ("namespace", "name", "uid", "site", "system", "share", "owner", "user", "group", "vo")
    more = ("quality", "held", "problem", "digest")
    row = {**dict.fromkeys((*names, *more), ""), "year": 2026, "month": 12, "is_annotated": False}
    with database.begin() as connection:
        for day in (int(NOW) // DAY, int(THEN) // DAY):
            connection.execute(insert(volumes).values(**row, day=day, used_bytes=1, seen_at=1))
    assert mend(database, NOW) == {"days of volumes": 1}
    assert ahead(database, NOW) == {}


def test_the_command_mends_and_says_what(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/accounting.db") as database:
        database.upgrade()
        write(database, [account(0)])
        run_ahead(database, time.time())

    def asked(*command: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            "PATH": os.environ["PATH"],
            "ACCOUNTING_SITE_NAME": "EXAMPLE",
            "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
            "ACCOUNTING_PROMETHEUS__URL": "http://127.0.0.1:9",
        }
        return commands.run(*command, cwd=tmp_path, env=environment)

    examined = asked("doctor", "--json")
    failed = [one["name"] for one in json.loads(examined.stdout) if one["state"] == "failed"]
    assert "clock" in failed
    assert examined.returncode == 1  # there is no Prometheus, either
    polled = asked("poll")
    assert polled.returncode == 3
    assert "db mend-times" in polled.stderr
    assert json.loads(asked("db", "mend-times", "--json").stdout) == {"watermarks": 1, "windows": 1}
    assert asked("poll").returncode == 1  # there is no Prometheus: the clock is no fault any more
