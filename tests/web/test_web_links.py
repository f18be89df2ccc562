"""Where figures lead: to the records under them, to files of these, to gaps; and back to a form."""

import csv
import html
import io
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from accounting.lookup.sums.question import By
from accounting.model.time import Month
from accounting.store.tables import gaps
from accounting.web.fields import Fields
from accounting.web.filters import Filters
from accounting.web.pages.usage import _under
from accounting.web.span import span_of
from tests.api.serving import Running
from tests.web import month
from tests.web.conftest import started

NOVEMBER = Month(2026, 11)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("links"), month.NOW) as (found, _broker):
        yield found


def page_of(running: Running, path: str) -> str:
    answer = running.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return html.unescape(answer.text)


def wall_under(running: Running, link: str) -> int:
    """The measured seconds that a page of records says."""
    page = page_of(running, link)
    sums = page[page.index('class="truth"') : page.index("Goes out")]
    return int(re.findall(r'value="(\d+)"', sums)[1])


def test_a_figure_of_a_month_leads_to_those_of_its_days_that_were_asked_for(
    running: Running,
) -> None:
    query = "by=vo&across=month&since=2026-10-20&until=2026-11-05"
    page = page_of(running, f"/usage?{query}")
    crossing = page[page.index('aria-label="VO by Month"') :].partition("</table>")[0]
    rows = {
        row["vo"]: row
        for row in csv.DictReader(io.StringIO(running.get(f"/usage/table.csv?{query}").text))
    }
    seen = 0
    for link in re.findall(r'href="(/records\?[^"]+)"', crossing):
        asked = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
        column = {"2026-11-05": "2026-11", "2026-10-31": "2026-10"}[asked["until"]]
        if asked["since"] == "2026-10-20" and asked["until"] == "2026-11-05":
            column = "sum"
        chosen = [rows[asked["vo"]]] if "vo" in asked else list(rows.values())
        expected = sum(float(row[column]) for row in chosen) * 3600
        assert wall_under(running, link) == pytest.approx(expected)
        seen += 1
    # one of each row and column, of each row's sum, and of the sums below
    assert seen == (len(rows) + 1) * 3


def test_a_crossed_table_says_where_it_tells_what_goes_out(running: Running) -> None:
    said = "What of it goes out and was delivered is below, by user."
    assert said in page_of(running, "/usage?by=user&across=month")
    assert "are of all that was measured" in page_of(running, "/usage")


def test_a_figure_without_a_name_leads_nowhere_rather_than_to_all_records() -> None:
    span = span_of(Fields({"range": "7d"}), month.NOW, NOVEMBER)
    asked: Any = SimpleNamespace(span=span, filters=Filters({By.USER: "ada"}, ()))
    days = "since=2026-11-19&until=2026-11-25&user=ada"
    assert _under(asked, vo="") == ""
    assert _under(asked, vo="physics") == f"records?{days}&vo=physics"
    assert _under(asked, month="2026-11") == f"records?{days}"


def test_figures_of_the_last_month_lead_to_its_records(running: Running) -> None:
    page = page_of(running, "/")
    row = page[page.index(">physics</a>") :].partition("</tr>")[0]
    before = row.partition("Last month to this day")[2]
    links = re.findall(r'href="(/records\?[^"]+)"[^>]*><data value="(\d+)"', before)
    assert [parse_qs(urlsplit(link).query) for link, _ in links] == [
        {"since": ["2026-10-01"], "until": ["2026-10-25"], "vo": ["physics"]},
        {"first": ["2026-10"], "last": ["2026-10"], "vo": ["physics"]},
    ]
    for link, seconds in links:
        assert wall_under(running, link) == int(seconds)


@pytest.mark.parametrize(
    "query",
    [
        "first=2026-11&last=2026-11&vo=physics",
        "first=2026-10&last=2026-11",
        "range=7d&status=completed",
        "since=2026-11-03&until=2026-11-05&user=ada",
        "month=2026-11&delivery=held",
        "month=2026-11&vo=PHYS",
        "first=2026-10&last=2026-11&user=A&flavor=mEd",
        "image=EXAMPLE.org/n",
    ],
)
def test_all_records_that_a_page_counts_can_be_taken_away(query: str, running: Running) -> None:
    page = page_of(running, f"/records?{query}")
    (link,) = re.findall(r'href="(/api/v1/records\?[^"]+format=csv)"', page)
    (count,) = re.findall(r'<data value="(\d+)"[^>]*>[\d,]+</data> records? match', page)
    assert len(list(csv.DictReader(io.StringIO(running.get(link).text)))) == int(count) > 0


def test_the_time_of_a_list_is_seen_and_kept_in_its_form(running: Running) -> None:
    page = page_of(running, "/records?first=2026-10&last=2026-10&vo=physics")
    assert "<option selected>2026-10</option>" in page
    assert 'type="hidden"' not in page
    page = page_of(running, "/records?since=2026-11-03&until=2026-11-05")
    assert '<option value="">the chosen days</option>' in page
    assert '<input type="hidden" name="since" value="2026-11-03">' in page
    assert '<option value="">all</option>' in page_of(running, "/records").partition("VO <")[0]


def test_a_record_leads_back_to_the_list_that_it_was_found_in(running: Running) -> None:
    query = "first=2026-10&last=2026-11&vo=PHYS&sort=-wall"
    more = re.findall(
        r'href="/records\?([^"]+cursor=[^"]+)"', page_of(running, f"/records?{query}")
    )
    for asked in (query, *more):
        page = page_of(running, f"/records?{asked}")
        found = re.findall(r'href="(/records/[^"]+)"', page)
        (back,) = re.findall(
            r'<p class="sub"><a href="([^"]+)">Records<', page_of(running, found[0])
        )
        assert parse_qs(urlsplit(back).query) == parse_qs(asked)
        assert re.findall(r'href="(/records/[^"]+)"', page_of(running, back)) == found
    assert len(more) == 1


def test_a_record_that_no_list_led_to_leads_to_all(running: Running) -> None:
    page = page_of(running, f"/records/{month.HELD}?next=//example.org&vo=%22%3E%3Cb%3E")
    assert 'href="/records?vo=%22%3E%3Cb%3E">Records<' in page
    assert "example.org&" not in page
    assert 'href="/records">Records<' in page_of(running, f"/records/{month.HELD}")


@pytest.mark.parametrize("action", ["acknowledge", "reopen"])
def test_what_is_done_on_a_record_s_page_keeps_its_way_back(action: str, running: Running) -> None:
    said = {"month": "2026-11", "reason": "a test"}
    answer = running.post(f"/records/{month.HELD}/{action}?vo=PHYS&cursor=x", data=said)
    assert answer.headers["Location"] == f"/records/{month.HELD}?vo=PHYS&cursor=x"


def test_a_wrong_month_stays_in_its_field(running: Running) -> None:
    page = page_of(running, "/usage?first=2026-11&last=2026-09")
    field = page[page.index('<select name="last"') :].partition("</select>")[0]
    assert 'aria-invalid="true"' in field
    assert "<option selected>2026-09</option>" in field


def test_what_is_held_back_is_one_click_away_from_its_sums(running: Running) -> None:
    page = page_of(running, "/records?first=2026-11&last=2026-11&vo=physics")
    (link,) = re.findall(r'href="([^"]+)">see which, and why', page)
    assert f"/records/{month.HELD}" in page_of(running, link)
    assert "vo=physics" in link


def test_a_gap_of_a_notebook_leads_to_all_that_it_affected(running: Running) -> None:
    page = page_of(running, f"/records/{month.ADAS_LONG_ONE}")
    links = re.findall(r'href="(/gaps\?[^"]+)"', page)
    assert len(links) == len(month.GAPS)
    for link in links:
        assert f"/records/{month.ADAS_LONG_ONE}" in page_of(running, link)


def test_gaps_up_to_an_earlier_day_are_those_of_the_weeks_before_it(running: Running) -> None:
    page = page_of(running, "/gaps?until=2026-10-30")
    assert page.count("Notebooks of the gap from") == 1
    assert 'name="since" value="2026-09-25"' in page


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=2030-01-01", "These days have not come yet."),
        ("since=2026-11-26&until=2026-11-30", "These days have not come yet."),
        ("since=2026-09-01&until=2026-09-02", "Usage is read from 2026-09-30 00:00 UTC on."),
        ("since=2026-11-25", "They were read up to 2026-11-25 11:58 UTC."),
        ("since=2026-09-29&until=2026-10-01", "They were read from 2026-09-30 00:00 UTC."),
    ],
)
def test_no_gaps_are_said_only_of_what_was_read(query: str, said: str, running: Running) -> None:
    page = page_of(running, f"/gaps?{query}")
    assert said in page
    assert ("never silent" in page) == ("They were" in said)


def test_a_silence_that_goes_on_is_not_listed_under_days_to_come(running: Running) -> None:
    database = running.service.database
    with database.begin() as connection:
        connection.execute(gaps.insert().values(start_at=month.NOW - 3600, end_at=None))
    today, tomorrow = (page_of(running, f"/gaps?since=2026-11-{day}") for day in (25, 26))
    file = running.get("/gaps/table.csv?since=2026-11-26").text
    with database.begin() as connection:
        connection.execute(gaps.delete().where(gaps.c.end_at.is_(None)))
    assert "goes on" in today
    assert "These days have not come yet." in tomorrow
    assert len(file.splitlines()) == 1


def test_days_that_came_but_were_not_read_yet_are_not_said_to_have_no_gaps(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.clock, "now", month.NOW + 3 * 86400)
    page = page_of(running, "/gaps?since=2026-11-26")
    assert "Usage is read up to 2026-11-25 11:58 UTC." in page
    assert "never silent" not in page


def test_days_are_as_they_should_be_in_the_form_of_gaps(running: Running) -> None:
    page = page_of(running, "/gaps?since=2030-01-01")
    assert 'name="until" value="2030-01-01"' in page
    page = page_of(running, "/gaps?since=soon")
    assert "Which days?" in page
    assert "never silent" not in page


def test_one_window_covers_a_short_life(running: Running) -> None:
    assert ">1</data> covers its life" in page_of(running, f"/records/{month.HELD}")
    assert ">33</data> cover its life" in page_of(running, f"/records/{month.ADAS_LONG_ONE}")
