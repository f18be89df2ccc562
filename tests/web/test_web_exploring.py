"""Exploring usage: times, filters, tables, files and charts; what figures rest on; gaps."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from accounting.lookup.gaps import Effect, effects
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.summaries import Summaries
from accounting.model.time import Month
from accounting.store.engine.access import Right, Viewer
from accounting.store.tables import records
from accounting.web import assets
from accounting.web.fields import Fields
from accounting.web.span import span_of
from tests.api.serving import ADMIN as TOKEN
from tests.api.serving import Running
from tests.browser import NewPage
from tests.delivery.books import write
from tests.statements import asked_of
from tests.web import month
from tests.web.conftest import Site, started
from tests.web.test_web_pages import look_at

DAY = 86400
NODE = Path(__file__).parents[1] / "node" / "node_modules"
ADMIN = Viewer("admin", frozenset({Right.READ}), is_admin=True)
NOVEMBER = Month(2026, 11)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("exploring"), month.NOW) as (found, _broker):
        yield found


def page_of(running: Running, path: str) -> str:
    answer = running.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def table_of(running: Running, query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(running.get(f"/usage/table.csv?{query}").text)))


def said(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // DAY


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ({"range": "7d"}, "2026-11-19", "2026-11-25"),
        ({"range": "30d"}, "2026-10-27", "2026-11-25"),
        ({"range": "90d"}, "2026-08-28", "2026-11-25"),
        ({"range": "month"}, "2026-11-01", "2026-11-30"),
        ({"range": "last-month"}, "2026-10-01", "2026-10-31"),
        ({"since": "2026-11-03", "until": "2026-11-05"}, "2026-11-03", "2026-11-05"),
        ({"first": "2026-09", "last": "2026-10"}, "2026-09-01", "2026-10-31"),
        ({}, "2026-11-01", "2026-11-30"),
    ],
)
def test_times_are_given_in_days_months_or_back_from_today(
    asked: dict[str, str], first: str, last: str
) -> None:
    span = span_of(Fields(asked), month.NOW, NOVEMBER)
    assert (span.start, span.end) == (said(first), said(last))
    before = span.before()
    assert before.end == span.start - 1
    assert span_of(Fields(span.asked), month.NOW, NOVEMBER) == span


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": "2026-11-05", "until": "2026-11-03"}, "until"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2020-01-01", "until": "2026-01-01"}, "until"),
        ({"first": "9999-12"}, "first"),
        ({"first": "0001-01"}, "first"),
        ({"range": "8d"}, "range"),
        ({"first": "2026-11", "last": "2026-10"}, "last"),
    ],
)
def test_times_that_make_no_sense_are_said_to(
    asked: dict[str, str], field: str, running: Running
) -> None:
    fields = Fields(asked)
    span_of(fields, month.NOW, NOVEMBER)
    assert set(fields.wrong) == {field}
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    page = page_of(running, f"/usage?{query}")
    assert fields.wrong[field] in page
    assert "<tbody>" not in page
    assert running.get(f"/usage/table.csv?{query}").status_code == 400


def test_days_add_up_to_their_months_and_a_part_to_its_days(running: Running) -> None:
    summaries = Summaries(running.service.database)
    october = Month(2026, 10)

    def used(by: tuple[By, ...], first: Month, days: tuple[int, int] | None) -> tuple[int, ...]:
        rows = summaries.summary(ADMIN, Question(by, first, NOVEMBER, days=days))
        return tuple(sum(getattr(row, n) for row in rows) for n in ("wall_seconds", "cpu_seconds"))

    whole = (october.start // DAY, NOVEMBER.end // DAY - 1)
    assert used((), october, whole) == used((), october, None)
    week = (said("2026-10-28"), said("2026-11-03"))
    by_day = summaries.summary(ADMIN, Question((By.DAY,), october, NOVEMBER))
    days = {row.key["day"]: row for row in by_day if "2026-10-28" <= row.key["day"] <= "2026-11-03"}
    assert used((), october, week) == (
        sum(row.wall_seconds for row in days.values()),
        sum(row.cpu_seconds for row in days.values()),
    )
    assert used((By.DAY,), october, week) == used((By.VO,), october, week)


def test_names_are_found_by_a_part_whatever_its_case(running: Running) -> None:
    (physics,) = table_of(running, "range=last-month&vo=physics")
    assert table_of(running, "range=last-month&vo=PHYS") == [physics]
    users = {row["user"] for row in table_of(running, "by=user&user=Ology-1&first=2026-10")}
    assert users == {"biology-1"}
    images = {row["image"] for row in table_of(running, "by=image&image=NOTEBOOKS/small")}
    assert images == {"registry.example.org/notebooks/small:2026.11"}
    assert table_of(running, "flavor=%25") == []  # no wildcard
    page = page_of(running, "/usage")
    assert '<datalist id="known-vo">' in page
    assert '<option value="physics">' in page


def test_tables_cross_vos_and_months_and_users_and_vos(running: Running) -> None:
    crossed = table_of(running, "by=vo&across=month&first=2026-10&last=2026-11")
    for row in crossed:
        plain = table_of(running, f"vo={row['vo']}&first=2026-11")
        assert float(row["2026-11"]) == pytest.approx(int(plain[0]["wall_seconds"]) / 3600)
        assert float(row["sum"]) == pytest.approx(float(row["2026-10"]) + float(row["2026-11"]))
    users = table_of(running, "by=user&across=vo")
    assert {"user", "physics", "biology", "sum"} <= set(users[0])
    page = page_of(running, "/usage?by=vo&across=month&first=2026-10&last=2026-11&sort=-2026-10")
    table = page.partition("Home volumes by")[0]
    names = re.findall(r'<tr><th scope="row" class="wrap">(\w+)</th>', table)
    ordered = sorted(crossed, key=lambda row: -float(row["2026-10"]))
    assert names == [row["vo"] for row in ordered]


def test_both_tables_of_a_page_add_their_rows_up_once(running: Running) -> None:
    with asked_of(running.service.database.engine) as asked:
        page_of(running, "/usage?by=user&across=month&first=2026-10&last=2026-11&image=e")
    by_user = [one for one, _ in asked if "GROUP BY coalesce(parts.user" in one]
    assert sum("parts.month, NULL" not in one for one in by_user) == 1


@pytest.mark.parametrize("sort", ["", "name", "-2026-11"])
def test_long_tables_have_pages_and_every_row_is_on_one(
    sort: str, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"by=user&across=month&first=2026-10&last=2026-11&sort={sort}"
    total = r"<tfoot>.*?</tfoot>"
    whole = page_of(running, f"/usage?{query}")
    assert "Next page" not in whole
    sums, all_rows = re.findall(total, whole), _names_of_crossing(whole)
    assert len(sums) > 1
    monkeypatch.setattr("accounting.web.pages.usage._MOST_ROWS", 3)
    path, found = f"/usage?{query}", []
    while path:
        page = page_of(running, path)
        assert re.findall(total, page) == sums
        found += _names_of_crossing(page)
        path = (re.findall(r'href="(/usage[^"]+)">Next page', page) or [""])[0].replace(
            "&amp;", "&"
        )
    assert found == all_rows
    assert len(found) == len(table_of(running, query)) > 3
    assert "No rows of" in page_of(running, f"/usage?{query}&page=99")


def _names_of_crossing(page: str) -> list[str]:
    crossing = page.partition('aria-label="User by Month"')[2].partition("</tbody>")[0]
    return re.findall(r'<tr><th scope="row" class="wrap">([^<]+)</th>', crossing)


def test_a_chart_draws_some_by_name_and_all_others_as_one(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "by=user&range=30d&show=cores"
    monkeypatch.setattr("accounting.web.views.charts.SERIES", 99)
    everyone = chart_of(running, query)
    assert "others" not in everyone[0]
    monkeypatch.setattr("accounting.web.views.charts.SERIES", 2)
    drawn = chart_of(running, f"{query}&rank=1")
    assert len(drawn[0]) == 4
    for all_values, values in zip(everyone, drawn, strict=True):
        assert sum(map(float, list(values.values())[1:])) == pytest.approx(
            sum(map(float, list(all_values.values())[1:])), abs=1e-5
        )
    busiest = list(everyone[0])[2]
    assert [row[busiest] for row in drawn] == [row[busiest] for row in everyone]


def chart_of(running: Running, query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(running.get(f"/usage/chart.csv?{query}").text)))


@pytest.mark.parametrize("sort", ["name", "-wall", "cpu", "-efficiency", "pods", "-gpu"])
def test_tables_are_sorted_as_the_address_says(sort: str, running: Running) -> None:
    page = page_of(running, f"/usage?by=user&sort={sort}")
    direction = "descending" if sort.startswith("-") else "ascending"
    assert page.count(f'aria-sort="{direction}"') == 1
    column = {"name": "user", "wall": "wall_seconds", "cpu": "cpu_seconds", "pods": "pods"}
    column |= {"efficiency": "cpu_per_core", "gpu": "gpu_seconds"}
    rows = {row["user"]: row[column[sort.lstrip("-")]] for row in table_of(running, "by=user")}
    table = page.partition("Home volumes by")[0]
    shown = re.findall(r'<tr><th scope="row" class="wrap"><a [^>]+>([^<]+)</a>', table)
    values = [rows[name] if sort == "name" else float(rows[name]) for name in shown]
    assert values == sorted(values, reverse=sort.startswith("-"))


def test_the_time_before_is_as_long_and_of_as_much_as_has_passed(running: Running) -> None:
    (row,) = table_of(running, "vo=physics&range=month")
    (before,) = table_of(running, "vo=physics&since=2026-10-01&until=2026-10-25&compare=no")
    assert row["before_wall_seconds"] == before["wall_seconds"]
    assert "before_pods" not in before
    assert "with nothing" not in page_of(running, "/usage?range=90d")
    assert "there is no comparison" in page_of(running, "/usage?range=90d")


def test_every_figure_leads_to_its_records_and_they_come_to_the_same(running: Running) -> None:
    compared = 0
    for query in (
        "by=vo&first=2026-10&last=2026-11",
        "by=user&vo=physics&range=30d",
        "by=flavor&since=2026-11-03&until=2026-11-05",
        "by=image",
    ):
        page = page_of(running, f"/usage?{query}")
        by = parse_qs(query)["by"][0]
        rows = {row[by]: row for row in table_of(running, query)}
        earlier = set(re.findall(r' before"><span><a class="figure" href="(/records[^"]+)"', page))
        assert bool(earlier) == ("before_wall_seconds" in table_of(running, query)[0])
        links = set(re.findall(r'class="figure" href="(/records\?[^"]+)"', page))
        for link in links:
            asked = parse_qs(urlsplit(link.replace("&amp;", "&")).query)
            if by not in asked:
                continue  # that of the sum
            assert {"vo"} & set(parse_qs(query)) <= set(asked)
            found = page_of(running, link.replace("&amp;", "&"))
            row = rows[asked[by][0]]
            sums = found[found.index('class="truth"') : found.index("</dl>")]
            shown = re.findall(r'value="(\d+)"', sums[: sums.index("Goes out")])
            if link in earlier:
                compared += 1
                assert shown[1] == row["before_wall_seconds"]
            else:
                assert shown == [row["pods"], row["wall_seconds"], row["cpu_seconds"]]
    assert compared


def test_names_of_tables_lead_to_what_they_used(running: Running) -> None:
    page = page_of(running, "/usage?by=vo")
    homes = page.partition("Home volumes by VO")[2]
    for part in (page, homes):
        (link,) = set(re.findall(r'class="wrap"><a href="(/usage[^"]+)">physics</a>', part))
        inside = page_of(running, link.replace("&amp;", "&"))
        assert "Home volumes by User" in inside
        assert {row["user"] for row in table_of(running, "by=user&vo=physics")} >= set(
            re.findall(
                r'<th scope="row" class="wrap"><a [^>]+>([^<]+)</a>',
                inside.partition("Home volumes by")[0],
            )
        )
    assert re.findall(r'data-label="Users"><span><a class="figure" href="/usage[^"]+by=user', page)


def test_records_are_summed_up_whatever_is_asked(running: Running) -> None:
    listed = running.get("/api/v1/records?vo=physics&status=completed&limit=1000").json()["records"]
    page = page_of(running, "/records?vo=physics&status=completed")
    assert f'<data value="{len(listed)}">' in page
    assert f'value="{sum(one["used_wall_seconds"] for one in listed)}"' in page


def test_charts_are_files_too(running: Running) -> None:
    picture = running.get("/usage/chart.svg?first=2026-10&last=2026-11")
    assert picture.headers["Content-Type"].startswith("image/svg+xml")
    assert "attachment" in picture.headers["Content-Disposition"]
    assert "physics" in picture.text
    assert "<script" not in picture.text
    rows = list(csv.DictReader(io.StringIO(running.get("/usage/chart.csv?range=7d").text)))
    assert [row[""] for row in rows] == [f"{day} Nov" for day in range(19, 26)] or len(rows) == 7
    (whole,) = table_of(running, "range=7d&vo=physics")
    hours = sum(float(row["physics"]) for row in rows)
    assert hours == pytest.approx(int(whole["wall_seconds"]) / 3600)
    for path in ("/usage/chart.png", "/usage/other.csv", "/usage/chart.svg?first=2025-01"):
        assert running.get(path).status_code == 404, path


def test_the_charts_library_is_the_one_that_the_lock_names() -> None:
    ours = assets.text("chart.umd.js")
    assert ours == (NODE / "chart.js" / "dist" / "chart.umd.min.js").read_text(encoding="utf-8")
    lock = json.loads((NODE.parent / "package-lock.json").read_text(encoding="utf-8"))
    assert f"Chart.js v{lock['packages']['node_modules/chart.js']['version']}" in ours
    licence = Path(assets.__file__).parent / "static" / "chart.umd.LICENSE.md"
    assert licence.read_bytes() == (NODE / "chart.js" / "LICENSE.md").read_bytes()


def test_a_notebook_s_page_shows_what_it_rests_on(running: Running) -> None:
    page = page_of(running, f"/records/{month.ADAS_LONG_ONE}")
    facts = page[page.index("What it rests on") :]
    for title in ("First Running sample", "Last Running sample", "cover its life", "2026-10-"):
        assert title in facts
    assert "2026-10-30 09:00" in facts or "2026-10-2" in facts  # a gap in its life
    assert f"uid=&#34;{month.ADAS_LONG_ONE}&#34;" in facts
    assert "jupyter-" not in facts[facts.index("See it in Prometheus") :].partition("</section>")[0]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("since=2026-11-03&until=2026-11-04", 202),
        ("since=2026-11-03", 202),
        ("since=yesterday", 400),
        ("since=2026-11-04&until=2026-11-03", 400),
        ("until=2030-01-01", 400),
        ("since=2030-01-01", 400),
    ],
)
def test_a_time_is_read_again_through_the_api(asked: str, status: int, running: Running) -> None:
    answer = running.post(f"/api/v1/poll?{asked}")
    assert answer.status_code == status, answer.text
    if status == 202:
        running.get(f"/api/v1/runs/{answer.json()['id']}?wait=20")
    else:
        assert answer.json()["errors"][0]["parameter"] in {"since", "until"}


def test_gaps_tell_whom_they_affected_and_how(running: Running) -> None:
    page = page_of(running, "/gaps")
    assert page.count("Notebooks of the gap from") == len(month.GAPS)
    assert "ran through" in page
    assert f"/records/{month.ADAS_LONG_ONE}" in page
    assert "No gaps" in page_of(running, "/gaps?since=2026-11-20&until=2026-11-21")
    assert "This is before the first day." in page_of(
        running, "/gaps?since=2026-11-20&until=2026-11-19"
    )


def test_charts_are_read_by_mouse_touch_and_keys_and_series_are_toggled(
    site: Site,
    watched: Page,
) -> None:
    site.open(watched, "/usage?first=2026-10&last=2026-11")
    canvas = watched.locator("figure canvas")
    expect(canvas).to_be_visible()
    expect(watched.locator("figure noscript")).to_be_hidden()
    canvas.focus()
    watched.keyboard.press("ArrowRight")
    watched.keyboard.press("End")
    spoken = watched.locator("figure [aria-live]")
    expect(spoken).to_contain_text(re.compile(r"25 Nov; biology: [\d,.]+ h; .*Total: [\d,.]+ h"))
    look_at(watched, "usage-tooltip")
    button = watched.locator("figure .legend button", has_text="biology")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    canvas.focus()
    watched.keyboard.press("End")
    expect(spoken).to_have_text(re.compile("^25 Nov; (?!.*biology)"))
    canvas.hover()
    shown = "Chart.getChart(document.querySelector('figure canvas')).tooltip"
    assert watched.evaluate(f"{shown}.opacity") == 1
    assert "Total: " in watched.evaluate(f"{shown}.footer[0]")
    for title, begin in (("PNG", b"\x89PNG"), ("SVG", b"<?xml")):
        with watched.expect_download() as downloading:
            watched.get_by_role("link", name=title, exact=True).click()
        assert downloading.value.suggested_filename == f"chart-2026-10-to-2026-11.{title.lower()}"
        assert downloading.value.path().read_bytes().startswith(begin)


def test_pages_of_times_tables_and_gaps_look_right(
    site: Site,
    watched: Page,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("accounting.web.pages.usage._MOST_ROWS", 10)
    for name, path in (
        ("usage-pages", "/usage?by=user&across=month&first=2026-10&last=2026-11&page=2"),
        ("usage-days", "/usage?range=30d&by=user&show=cpu"),
        ("usage-crossed", "/usage?by=user&across=vo&range=30d"),
        ("records-days", "/records?since=2026-11-03&until=2026-11-05&vo=physics"),
        ("gaps", "/gaps"),
    ):
        site.open(watched, path)
        look_at(watched, name)


def test_deliveries_of_records_are_seen_at_every_width(site: Site, new_page: NewPage) -> None:
    for width in (390, 683, 1024, 1366, 3840):
        page = new_page(width=width)
        site.open(page, "/records")
        box = page.locator("tbody td[data-label=Delivery]").first.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width, width


def test_labels_of_a_list_are_whole_beside_long_values(site: Site, new_page: NewPage) -> None:
    page = new_page(width=390)
    site.open(page, f"/records/{month.ADAS_LONG_ONE}")
    label = "cell => getComputedStyle(cell, '::before')"
    to = page.locator("td[data-label=To]").first
    width = f"cell => parseFloat(({label})(cell).width) / parseFloat(({label})(cell).fontSize)"
    assert to.evaluate(width) > 1
    assert "mono" not in page.locator("td[data-label^=The]").first.evaluate(
        f"cell => ({label})(cell).fontFamily"
    )


@pytest.mark.parametrize("by", ["vo", "user", "image"])
def test_the_change_of_usage_is_seen_on_laptops(by: str, site: Site, new_page: NewPage) -> None:
    for width in (1200, 1280, 1366):
        page = new_page(width=width)
        site.open(page, f"/usage?by={by}")
        table = page.locator("table.sorts").locator("..")
        expect(table).to_contain_text("Change")
        assert table.evaluate("one => one.scrollWidth - one.clientWidth") == 0, width


def test_how_well_energy_is_known_leaves_room_for_all_columns(tmp_path: Path, page: Page) -> None:
    energy = {"joules": 9.0e6, "energy_quality": "measured active energy"}
    with started(tmp_path, month.NOW, ENERGY__GRAMS_PER_KWH="210") as (found, _broker):
        with found.service.database.begin() as connection:
            connection.execute(
                update(records).where(records.c.uid == month.ADAS_LONG_ONE).values(**energy)
            )
        page.set_viewport_size({"width": 1280, "height": 900})
        page.set_extra_http_headers({"Authorization": f"Bearer {TOKEN}"})
        page.goto(f"{found.url}/records/{month.ADAS_LONG_ONE}")
        months = page.get_by_role("region", name="By month")
        expect(months).to_contain_text("active energy")
        assert months.evaluate("all => all.scrollWidth - all.clientWidth") == 0


def test_managers_see_their_role_and_vo_and_everybody_can_take_their_usage_away(
    site: Site,
    watched: Page,
) -> None:
    site.open(watched, "/", "mia")
    expect(watched.locator(".who")).to_contain_text("manages physics")
    site.open(watched, "/usage?vo=bio")
    expect(watched.locator("h1")).to_have_text("This is not open to you")
    watched.goto(f"{site.url}/usage?vo=PHYS")
    expect(watched.locator("tbody th").first).to_have_text("physics")


def test_users_take_their_usage_away(site: Site, watched: Page) -> None:
    site.open(watched, "/my", "ada")
    with watched.expect_download() as downloading:
        watched.locator("a[href*=summaries]", has_text="Download as CSV").first.click()
    with downloading.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert "2026-11" in {row["month"] for row in rows}
    with watched.expect_download() as downloading:
        watched.click("a[href*='status=started']")
    with downloading.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert month.ADAS_LONG_ONE in {row["uid"] for row in rows}
    assert {row["status"] for row in rows} == {"started"}
    for title, begin in (("SVG", b"<?xml"), ("CSV", b",CPU time"), ("PNG", b"\x89PNG")):
        watched.goto(f"{site.url}/my?month=2026-10&show=cpu")
        with watched.expect_download() as downloading:
            watched.locator("p.actions a", has_text=title).click()
        assert downloading.value.path().read_bytes().startswith(begin), title
    for sums in ("td a.figure", ".tiles a.figure"):
        watched.goto(f"{site.url}/my?month=2026-10")
        watched.locator(sums).first.click()
        expect(watched.locator(".truth").first).to_be_visible()
    expect(watched.locator("select[name=month]")).to_have_value("2026-10")


def test_a_notebook_that_ended_in_a_gap_is_told_to_count_up_to_its_last_sample(
    tmp_path: Path,
) -> None:
    with started(tmp_path, month.NOW) as (found, _broker):
        gap = month.GAPS[0]
        one = next(a for a in month.accounts() if a.pod.uid == month.BOBS)
        one.pod.started_at = one.pod.first_running_at = gap.start_at - 3600
        one.pod.last_running_at = one.pod.last_listed_at = gap.start_at
        one.pod.ended_in_gap, one.readings = True, {}
        write(found.service.database, [one])
        told = effects(found.service.database, ADMIN, gap, month.NOW, 10)
        assert (told.estimates, told.shown[0].uid) == (1, month.BOBS)
        assert told.shown[0].effect is Effect.ENDED
        nobody = Viewer("nobody", frozenset({Right.READ}))
        assert effects(found.service.database, nobody, gap, month.NOW, 10).counts == {}
