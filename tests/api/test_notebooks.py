"""One notebook's tables, and a message's records: lists and files, for those who may see them."""

import csv
import io
from typing import Any

import pytest

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.lookup import messages
from accounting.model.pods import IMPORTED, POD_LEVEL, Counter, CounterKind, SeriesKey
from tests.api.serving import JOB, Running, Serve
from tests.delivery.books import START, Inbox, account, ran_on, write

NOWHERE = "0a000000-0000-4000-8000-00000000dead"
TABLES = ("messages", "counters", "readings")
UID = account(0).pod.uid
COUNTERS = {
    SeriesKey(CounterKind.CPU, POD_LEVEL): Counter(
        START + 3600, 20.5, ((START + 60.0, 100.0),), (START + 30.0, 1.0), START + 3590.0
    ),
    SeriesKey(CounterKind.CPU, IMPORTED): Counter(START + 900, 9.0),
    SeriesKey(CounterKind.RECEIVED, "eth0"): Counter(START + 3600, 1e9),
    SeriesKey(CounterKind.ENERGY, "package"): Counter(START + 3600, 5e4),
}


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    """Seven notebooks in the first message; the second took one of them again."""
    found = serve_all()
    database = found.service.database
    pages = [account(number) for number in range(7)]
    pages[0].counters.update(COUNTERS)
    pusher = Pusher(Outbox(database), Inbox(), now=found.clock)
    write(database, pages)
    pusher.push()
    write(database, [ran_on(pages[0], 60)])
    pusher.push()
    return found


def rows_of(running: Running, path: str) -> list[dict[str, str]]:
    answer = running.get(f"/api/v1/{path}?format=csv")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
    return list(csv.DictReader(io.StringIO(answer.text)))


def told(running: Running, path: str) -> Any:
    return running.get(f"/api/v1/{path}").json()


def test_the_messages_that_took_a_notebook_are_a_list_and_a_file(running: Running) -> None:
    shown = told(running, f"records/{UID}/messages")["messages"]
    assert shown == told(running, f"records/{UID}")["messages"]
    rows = rows_of(running, f"records/{UID}/messages")
    assert [(row["id"], row["is_current"]) for row in rows] == [("1", "false"), ("2", "true")]
    assert list(rows[0]) == list(shown[0])


def test_counters_are_a_list_and_a_file_whatever_they_count(running: Running) -> None:
    shown = told(running, f"records/{UID}/counters")["counters"]
    assert [(one["kind"], one["told_by"], one["unit"], one["value"]) for one in shown] == [
        ("cpu", "an earlier tool's records", "s", 9.0),
        ("cpu", "the pod's cgroup (cAdvisor)", "s", 20.5),
        ("joules", "package", "J", 5e4),
        ("rx", "eth0", "B", 1e9),
    ]
    rows = rows_of(running, f"records/{UID}/counters")
    assert list(rows[0]) == list(shown[0])
    one = rows[1]
    assert (one["kind"], one["resets"], float(one["total"])) == ("cpu", "1", 120.5)
    assert (float(one["first_at"]), float(one["seen_at"])) == (START + 30, START + 3590)
    assert (int(one["read_at"]), rows[3]["first_at"]) == (START + 3600, "")


def test_readings_are_a_list_and_a_file_with_a_line_for_each_month(running: Running) -> None:
    (shown,) = told(running, f"records/{UID}/readings")["readings"]
    assert shown == {
        "month": "2026-11",
        "at": START + 3660,
        "cpu_seconds": 150.5,
        "received_bytes": 1e9,
        "sent_bytes": 2e9,
    }
    (row,) = rows_of(running, f"records/{UID}/readings")
    assert (row["month"], float(row["cpu_seconds"])) == ("2026-11", 150.5)


@pytest.mark.parametrize("name", TABLES)
def test_a_notebook_s_tables_are_for_those_who_may_see_it(name: str, running: Running) -> None:
    for uid, token, status in (
        (UID, JOB, 403),
        (UID, None, 401),
        (NOWHERE, "", 404),
        ("%2E%2E", "", 400),
    ):
        path = f"/api/v1/records/{uid}/{name}?format=csv"
        answer = running.get(path) if token == "" else running.get(path, token)
        assert answer.status_code == status, (uid, token)


def test_a_message_s_records_are_told_page_by_page(running: Running) -> None:
    seen, cursor = [], ""
    while True:
        page = told(running, f"messages/1/records?limit=3{cursor}")
        seen += page["records"]
        assert len(page["records"]) <= 3
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [one["uid"] for one in seen] == [account(number).pod.uid for number in range(7)]
    assert {one["month"] for one in seen} == {"2026-11"}
    assert [(one["is_latest"], one["is_current"]) for one in seen[:2]] == [
        (False, False),
        (True, True),
    ]
    for odd in ("x", "WyJwb2QiLCJhIl0"):
        assert running.get(f"/api/v1/messages/1/records?cursor={odd}").status_code == 400


def test_a_file_of_a_message_s_records_has_all_of_them(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_AT_ONCE", 2)
    rows = rows_of(running, "messages/1/records")
    shown = told(running, "messages/1/records")["records"]
    assert [row["uid"] for row in rows] == [one["uid"] for one in shown]
    assert (list(rows[0]), rows[0]["is_latest"]) == (list(shown[0]), "false")
    answer = running.get("/api/v1/messages/1/records?format=csv&limit=5")
    assert (answer.status_code, "means nothing in a file" in answer.text) == (400, True)
    assert running.get("/api/v1/messages/99/records?format=csv").status_code == 404
    assert running.get("/api/v1/messages/1/records?format=csv", JOB).status_code == 403
