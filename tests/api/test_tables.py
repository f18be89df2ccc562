"""Lists as CSV files: all that is selected, as the API shows it, for those who may see the list."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import update

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.lookup import messages, windows
from accounting.model.reconciliation import Cause, Line, Reconciliation, Unit, Used
from accounting.model.time import Gap, Month, Window
from accounting.store import tables
from accounting.store.ledger import Ledger, Progress, Step
from accounting.store.reconciliations import Reconciliations
from tests.api.serving import JOB, Running, Serve
from tests.delivery.books import START, Inbox, account, write

LISTS = ["messages", "windows", "gaps", "reconciliations", "runs"]
FORMULA = "=HYPERLINK(1)"
LATER = START + 86400
"""After what was written with the records."""


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    """Twelve messages, the last of which was refused; three windows and two gaps."""
    found = serve_all()
    database = found.service.database
    for number in range(12):
        write(database, [account(number)])
        Pusher(Outbox(database), Inbox(), now=found.clock).push()
    refused = {"error_kind": "refused", "error": FORMULA, "cure": "ask, and try again"}
    with database.begin() as connection:
        last = tables.messages.c.id == 12
        connection.execute(update(tables.messages).where(last).values(state="parked", **refused))
    ledger = Ledger(database)
    for number in range(3):
        start, end = LATER + number * 3600, LATER + (number + 1) * 3600
        gaps = [Gap(start + 60.0, end - 60.0)] if number else []
        step = Step(
            window=Window(start, end),
            before=ledger.progress(),
            after=Progress(end, float(end), 60.0),
            accounts=[],
            records=[],
            gaps=gaps,
            spoke=not gaps,
            rejected=0,
        )
        ledger.commit(step)
    return found


def rows_of(running: Running, path: str) -> list[dict[str, str]]:
    answer = running.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    name = path.partition("?")[0]
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    return list(csv.DictReader(io.StringIO(answer.text)))


def told(running: Running, path: str) -> Any:
    return running.get(f"/api/v1/{path}").json()[path.partition("?")[0]]


def test_a_file_of_messages_has_all_that_are_selected(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_AT_ONCE", 5)
    rows = rows_of(running, "messages?format=csv")
    assert [int(row["id"]) for row in rows] == list(range(12, 0, -1))
    shown = told(running, "messages")
    for name in ("empaid", "destination", "state", "broker_id"):
        assert [row[name] for row in rows] == [one[name] for one in shown]
    assert [float(row["built_at"]) for row in rows] == [one["built_at"] for one in shown]
    (parked,) = rows_of(running, "messages?state=parked&format=csv")
    assert (parked["failure_kind"], parked["failure_cure"]) == ("refused", "ask, and try again")
    assert rows_of(running, "messages?destination=dirq://other&format=csv") == []


def test_a_file_of_messages_holds_no_formula(running: Running) -> None:
    (parked,) = rows_of(running, "messages?state=parked&format=csv")
    assert parked["failure_reason"] == f"'{FORMULA}"
    (shown,) = told(running, "messages?state=parked")
    assert shown["failure"]["reason"] == FORMULA


def test_a_file_of_windows_has_all_of_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, "_AT_ONCE", 2)
    rows = rows_of(running, f"windows?since={LATER}&format=csv")
    assert [(int(row["start_at"]) - LATER, row["spoke"]) for row in rows] == [
        (7200, "false"),
        (3600, "false"),
        (0, "true"),
    ]
    assert len(rows_of(running, f"windows?since={LATER + 3600}&format=csv")) == 2


def test_a_file_of_gaps_has_those_of_a_time(running: Running) -> None:
    rows = rows_of(running, "gaps?format=csv")
    assert [float(row["start_at"]) for row in rows] == [LATER + 3660.0, LATER + 7260.0]
    assert list(rows[0]) == ["start_at", "end_at"]
    assert len(rows_of(running, f"gaps?until={LATER + 7000}&format=csv")) == 1


def test_gaps_say_up_to_when_they_are_known(running: Running, serve: Serve) -> None:
    answer = running.get("/api/v1/gaps?since=2030-01-01").json()
    assert answer == {"gaps": [], "read_until": LATER + 3 * 3600}
    assert serve().get("/api/v1/gaps").json()["read_until"] is None


def test_a_silence_that_goes_on_is_in_no_time_to_come(running: Running) -> None:
    database, now = running.service.database, int(running.clock.now)
    begin = float(now - 7200)
    with database.begin() as connection:
        connection.execute(tables.gaps.insert().values(start_at=begin, end_at=None))
    asked = {now - 3600: [begin], now: [begin], now + 1: []}
    found = {at: told(running, f"gaps?since={at}") for at in asked}
    with database.begin() as connection:
        connection.execute(tables.gaps.delete().where(tables.gaps.c.start_at == begin))
    assert {at: [gap["start_at"] for gap in gaps] for at, gaps in found.items()} == asked


def test_a_file_of_comparisons_has_a_line_for_each_line(running: Running) -> None:
    used = Used(2, 7200, 120)
    agrees = Line("EXAMPLE", "vo.example.org", used, used)
    differs = Line("EXAMPLE", FORMULA, Used(1, 3600, 60), used, Cause.REFUSED, "two", (7, 9))
    kept = Reconciliations(running.service.database)
    months = ((10, 1e9, [agrees]), (10, 2e9, [agrees, differs]), (9, 1.5e9, [agrees]))
    for month, at, lines in months:
        of = Month(2026, month), "dirq://spool", at, "portal.csv", Unit.HOURS
        kept.keep(Reconciliation(*of, is_partial=True, lines=lines))
    rows = rows_of(running, "reconciliations?format=csv")
    assert [row["month"] for row in rows] == ["2026-10", "2026-10", "2026-09", "2026-10"]
    one = rows[1]
    assert (one["vo"], one["cause"], one["messages"]) == (f"'{FORMULA}", "refused", "7 9")
    assert (one["shown_wall_seconds"], one["delivered_wall_seconds"]) == ("3600", "7200")
    assert (one["unit"], one["partial"], one["source"]) == ("hours", "true", "portal.csv")
    rows = rows_of(running, "reconciliations?latest=true&format=csv")
    assert [(row["month"], float(row["made_at"])) for row in rows] == [
        ("2026-10", 2e9),
        ("2026-10", 2e9),
        ("2026-09", 1.5e9),
    ]
    assert len(rows_of(running, "reconciliations?month=2026-09&format=csv")) == 1
    assert len(told(running, "reconciliations?latest=true")) == 2


def test_a_file_of_runs_tells_how_they_ended(running: Running) -> None:
    poll = running.post("/api/v1/poll").json()["id"]
    shown = running.get(f"/api/v1/runs/{poll}?wait=20").json()  # there is no Prometheus
    row = rows_of(running, "runs?format=csv")[0]
    assert (row["id"], row["kind"], row["state"]) == (poll, "poll", "failed")
    assert (row["error"], row["error_cure"]) == (shown["error"]["error"], shown["error"]["cure"])


@pytest.mark.parametrize("name", LISTS)
def test_a_file_is_for_those_who_may_see_the_list(name: str, running: Running) -> None:
    job = 200 if name == "runs" else 403
    for token, status in ((JOB, job), (None, 401)):
        assert running.get(f"/api/v1/{name}?format=csv", token).status_code == status


@pytest.mark.parametrize("name", LISTS)
def test_csv_may_also_be_accepted_and_others_are_refused(name: str, running: Running) -> None:
    for accept, kind in (("text/csv", "text/csv"), ("*/*", "application/json")):
        answer = running.get(f"/api/v1/{name}", headers={"Accept": accept})
        assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert running.get(f"/api/v1/{name}?format=parquet").status_code == 400
    assert running.get(f"/api/v1/{name}", headers={"Accept": "text/plain"}).status_code == 406


@pytest.mark.parametrize(
    "path", ["messages?limit=5", "windows?total=true", "reconciliations?limit=5"]
)
def test_a_file_takes_no_limit(path: str, running: Running) -> None:
    answer = running.get(f"/api/v1/{path}&format=csv")
    assert answer.status_code == 400
    assert "means nothing in a file" in answer.json()["detail"]
