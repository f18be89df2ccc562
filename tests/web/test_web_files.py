"""Tables of the pages as CSV: all that an address asks for, for those who may see the page."""

import csv
import html
import io
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from accounting.model.pods import IMPORTED, Counter, CounterKind, SeriesKey
from accounting.model.reconciliation import Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.store import tables
from accounting.store.reconciliations import Reconciliations
from accounting.web.pages import gaps
from accounting.web.pages.runs import _changes
from accounting.web.views import charts
from accounting.web.views.figures import iso
from tests.api.serving import JOB, Running
from tests.delivery.books import account, write
from tests.web import month
from tests.web.conftest import started


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("files"), month.NOW) as (found, _broker):
        yield found


def page_of(running: Running, path: str) -> str:
    answer = running.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


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


def test_this_month_by_vo_is_a_file_beside_the_last(running: Running) -> None:
    rows = {row["vo"]: row for row in file_of(running, "/", "/overview.csv")}
    asked = "/api/v1/summaries?by=vo&month=2026-11"
    now = {row["vo"]: row for row in running.get(asked).json()["rows"]}
    assert set(now) <= set(rows)
    for vo, row in now.items():
        for name in ("pods", "users", "wall_seconds", "cpu_seconds"):
            assert int(rows[vo][name]) == row[name]
        assert int(rows[vo]["goes_out_wall_seconds"]) == row["goes_out"]["wall_seconds"]
        assert int(rows[vo]["delivered_pods"]) == row["delivered"]["pods"]
    last = running.get("/api/v1/summaries?by=vo&month=2026-10").json()["rows"]
    assert {vo: int(row["last_month_wall_seconds"]) for vo, row in rows.items()} == {
        row["vo"]: row["wall_seconds"] for row in last
    }
    table = "/usage/table.csv?since=2026-10-01&until=2026-10-25&vo=physics"
    (before,) = csv.DictReader(io.StringIO(running.get(table).text))
    told = rows["physics"]["last_month_to_this_day_wall_seconds"]
    assert told == before["wall_seconds"]


def test_a_notebook_s_evidence_and_messages_are_files(running: Running) -> None:
    run = running.post("/api/v1/push").json()["id"]
    running.get(f"/api/v1/runs/{run}?wait=25")
    page = f"/records/{month.ADAS_LONG_ONE}"
    rows = file_of(running, page, "/readings?")
    assert [row["month"] for row in rows] == ["2026-10", "2026-11"]
    messages = file_of(running, page, "/messages?")
    assert {row["month"] for row in messages} == {"2026-10", "2026-11"}
    records = file_of(running, f"/deliveries/{messages[0]['id']}", "/records?")
    assert month.ADAS_LONG_ONE in {row["uid"] for row in records}
    counted = account(1)
    counted.counters[SeriesKey(CounterKind.CPU, IMPORTED)] = Counter(month.READ_UNTIL, 5.0)
    counted.counters[SeriesKey(CounterKind.ENERGY, "package")] = Counter(month.READ_UNTIL, 7.0)
    write(running.service.database, [counted])
    page = f"/records/{counted.pod.uid}"
    shown = running.get(page, headers={"Accept": "text/html"}).text
    assert "energy</th>" in shown
    assert [row["unit"] for row in file_of(running, page, "/counters?")] == ["s", "J"]


def test_only_what_is_a_notebook_s_leads_to_its_page(running: Running) -> None:
    run = running.post("/api/v1/push").json()["id"]
    running.get(f"/api/v1/runs/{run}?wait=25")
    page = page_of(running, "/deliveries/1")
    assert '<span class="code">' not in page
    assert ">Notebook</th>" in page
    other = {"message_id": 1, "uid": "hours-of-small", "year": 2026, "month": 11, "digest": "0"}
    with running.service.database.begin() as connection:
        connection.execute(tables.message_records.insert().values(**other))
    page = page_of(running, "/deliveries/1")
    with running.service.database.begin() as connection:
        mine = tables.message_records.c.uid == other["uid"]
        connection.execute(tables.message_records.delete().where(mine))
    assert '<span class="code">hours-of-small</span>' in page
    assert "/records/hours-of-small" not in page


def test_a_life_is_a_picture_that_stands_alone(running: Running) -> None:
    path = f"/records/{month.ADAS_LONG_ONE}/life.svg"
    answer = running.get(path)
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    name = f'attachment; filename="life-{month.ADAS_LONG_ONE}.svg"'
    assert answer.headers["Content-Disposition"] == name
    drawn = ET.fromstring(answer.content)  # noqa: S314 - our own
    kinds = [one.get("class", "") for one in drawn.iter()]
    assert (kinds.count("life"), kinds.count("tick")) == (2, 2)
    texts = [one.text for one in drawn.iter() if one.tag.endswith("}text")]
    assert f"Notebook {month.ADAS_LONG_ONE}" in texts
    assert "record delivered" in texts
    assert (running.get(path, JOB).status_code, running.get(path, None).status_code) == (403, 401)
    assert running.get("/records/0a000000-0000-4000-8000-00000000dead/life.svg").status_code == 404


def test_a_notebook_s_months_are_a_file(running: Running) -> None:
    rows = file_of(running, f"/records/{month.ADAS_LONG_ONE}", "/records?")
    assert {(row["uid"], row["month"]) for row in rows} == {
        (month.ADAS_LONG_ONE, "2026-10"),
        (month.ADAS_LONG_ONE, "2026-11"),
    }


def test_a_chart_stands_alone_as_a_picture(running: Running, page: Page) -> None:
    drawn = running.get("/usage/chart.svg?first=2026-10&last=2026-11&flavor=small").text
    page.set_content(drawn.partition("?>")[2])
    colour = "one => getComputedStyle(one).fill"
    assert page.locator(".background").first.evaluate(colour) == "rgb(255, 255, 255)"
    assert page.locator(".serie-0 .rect").first.evaluate(colour) == "rgb(0, 95, 170)"
    title = "Wall time in h by day: October 2026 to November 2026, small"
    expect(page.locator(".title")).to_have_text(title)
    said = page.locator(".serie-0 .bar title").all_text_contents()
    assert said
    assert all(re.fullmatch(r"\d+ (Oct|Nov): [\d,.]+ h", one) for one in said)
    size = page.locator("svg").bounding_box()
    assert size is not None
    assert size["width"] == 960


@pytest.mark.parametrize("name", ["vo", "registry.example.org/a/long/path/of/an/image:2026.11"])
@pytest.mark.parametrize("count", [1, 5, 13])
def test_all_names_of_a_chart_are_seen_in_its_picture(name: str, count: int, page: Page) -> None:
    series = tuple((f"{name}-{number}", (1.0,) * 30) for number in range(count))
    days = tuple(str(day + 1) for day in range(30))
    drawn = charts.file(days, series, unit="h", title="Wall time")
    page.set_content(drawn.partition("?>")[2])
    picture = page.locator("svg").bounding_box()
    assert picture is not None
    names = page.locator(".legend text")
    assert names.all_text_contents() == [name for name, _ in series]
    boxes = [box for one in names.all() if (box := one.bounding_box())]
    for box in boxes:
        assert box["y"] + box["height"] <= picture["y"] + picture["height"]
        assert box["x"] + box["width"] <= picture["x"] + picture["width"]
    for place, one in enumerate(boxes):
        for other in boxes[place + 1 :]:
            is_below = other["y"] >= one["y"] + one["height"] - 1
            assert is_below or other["x"] >= one["x"] + one["width"]
