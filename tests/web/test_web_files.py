"""Tables of the pages as CSV: all that an address asks for, for those who may see the page."""

import csv
import html
import io
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from accounting.model.reconciliation import Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.store import tables
from accounting.store.reconciliations import Reconciliations
from accounting.web.pages import gaps
from accounting.web.pages.runs import _changes
from accounting.web.views.figures import iso
from tests.api.serving import JOB, Running
from tests.web import month
from tests.web.conftest import started


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("files"), month.NOW) as (found, _broker):
        yield found


def file_of(running: Running, page: str, part: str) -> list[dict[str, str]]:
    """The rows of the only file whose link on a page has this part."""
    shown = running.get(page, headers={"Accept": "text/html"})
    assert shown.status_code == 200, shown.text
    links = re.findall(r'href="([^"]+)">Download as CSV', html.unescape(shown.text))
    (link,) = [one for one in links if part in one]
    answer = running.get(link)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_gaps_are_a_file_with_every_notebook_that_they_affected(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "_MOST_PODS", 1)
    monkeypatch.setattr(gaps, "_MOST_GAPS", 1)
    rows = file_of(running, "/gaps", "/gaps/table.csv")
    begins = [float(row["gap_start_at"]) for row in rows]
    assert sorted(set(begins)) == [gap.start_at for gap in month.GAPS]
    assert min(begins.count(gap.start_at) for gap in month.GAPS) > 1
    (one,) = [
        row
        for row in rows
        if row["uid"] == month.ADAS_LONG_ONE
        and float(row["gap_start_at"]) == month.GAPS[0].start_at
    ]
    assert (one["effect"], one["is_estimate"], one["vo"]) == ("ran through", "false", "biology")
    rows = file_of(running, "/gaps?until=2026-10-30", "/gaps/table.csv")
    assert {float(row["gap_start_at"]) for row in rows} == {month.GAPS[0].start_at}


def test_a_gap_that_affected_nobody_is_a_line_too(running: Running) -> None:
    with running.service.database.begin() as connection:
        begin = month.FIRST - 9e6
        connection.execute(tables.gaps.insert().values(start_at=begin, end_at=begin + 60))
    day = iso(begin)[:10]
    (row,) = file_of(running, f"/gaps?since={day}&until={day}", "/gaps/table.csv")
    assert (float(row["gap_end_at"]), row["uid"], row["effect"]) == (begin + 60, "", "")


def test_a_file_of_gaps_holds_no_formula(running: Running) -> None:
    is_ada = tables.records.c.uid == month.ADAS_LONG_ONE
    database, change = running.service.database, update(tables.records).where(is_ada)
    with database.begin() as connection:
        before = connection.scalars(select(tables.records.c.user).where(is_ada)).first()
        connection.execute(change.values(user="=1+1"))
    rows = file_of(running, "/gaps?until=2026-10-30", "/gaps/table.csv")
    with database.begin() as connection:
        connection.execute(change.values(user=before))
    assert "'=1+1" in {row["user"] for row in rows}


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/gaps/table.csv", JOB, 403),
        ("/gaps/table.csv", None, 401),
        ("/gaps/table.csv?since=soon", "", 400),
        ("/gaps/table.csv?since=2026-11-02&until=2026-11-01", "", 400),
        ("/runs/0123456789ab/differences.csv", "", 404),
        ("/runs/0123456789ab/differences.csv", None, 401),
    ],
)
def test_files_are_refused_as_their_pages_are(
    path: str, token: str | None, status: int, running: Running
) -> None:
    answer = running.get(path) if token == "" else running.get(path, token)
    assert answer.status_code == status


def test_what_differs_is_a_file(running: Running) -> None:
    run = running.post("/api/v1/republish?month=2026-10&vo=physics").json()["id"]
    told = running.get(f"/api/v1/runs/{run}?wait=25").json()["result"]["differences"]
    rows = file_of(running, f"/runs/{run}", "/differences.csv")
    assert [row["uid"] for row in rows] == [one["uid"] for one in told]
    assert {row["kind"] for row in rows} == {"never sent"}
    assert "user" not in rows[0]
    changes = {"WallDuration": ("1", "2"), "FQAN": ("", "/vo")}
    assert _changes(changes) == "WallDuration 1 → 2; FQAN  → /vo"


def test_messages_are_a_file_of_the_state_that_is_shown(running: Running) -> None:
    run = running.post("/api/v1/push").json()["id"]
    running.get(f"/api/v1/runs/{run}?wait=25")
    rows = file_of(running, "/deliveries?state=sent", "/messages?")
    assert {row["state"] for row in rows} == {"sent"}
    assert len(rows) == len(file_of(running, "/deliveries", "/messages?")) > 0


def test_the_last_comparisons_are_a_file(running: Running) -> None:
    line = Line("EXAMPLE", "physics", Used(1, 60, 6), Used(1, 60, 6))
    for at in (1e9, 2e9):
        of = Month(2026, 10), "dirq://spool", at, "portal.csv", Unit.HOURS
        made = Reconciliation(*of, is_partial=False, lines=[line])
        Reconciliations(running.service.database).keep(made)
    (row,) = file_of(running, "/deliveries/reconciliation", "/reconciliations?")
    assert (row["vo"], float(row["made_at"])) == ("physics", 2e9)


def test_a_notebook_s_months_are_a_file(running: Running) -> None:
    rows = file_of(running, f"/records/{month.ADAS_LONG_ONE}", "/records?")
    assert {(row["uid"], row["month"]) for row in rows} == {
        (month.ADAS_LONG_ONE, "2026-10"),
        (month.ADAS_LONG_ONE, "2026-11"),
    }
