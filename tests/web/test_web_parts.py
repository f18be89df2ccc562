"""What the pages are made of, without a browser: figures, days, charts, the verdict, forms."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from accounting.errors import AccountingError
from accounting.lookup.messages import Destination
from accounting.lookup.status import Delivery, Status
from accounting.model.messages import Failure, FailureKind, MessageState, Stop
from accounting.model.time import Gap, Month
from accounting.store.tables import windows
from accounting.telemetry.standing import Outgoing
from accounting.web.fields import Fields
from accounting.web.pages.record import FLAGS
from accounting.web.views import charts, figures
from accounting.web.views.coverage import Coverage, days
from accounting.web.views.verdict import Level, verdict
from tests.api.serving import Running
from tests.delivery.books import account, write
from tests.web import month
from tests.web.conftest import started

DOCS = Path(__file__).parents[2] / "docs"
DAY = 86400


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0"), (36, "0.01"), (5400, "1.50"), (36_000, "10.0"), (4_444_444, "1,234.6")],
)
def test_hours_are_short_and_exact_on_hover(seconds: int, said: str) -> None:
    assert figures.hours(seconds) == (
        f'<data value="{seconds}" title="{seconds:,} s">{said}<span class="unit"> h</span></data>'
    )


def test_what_is_unknown_is_no_zero() -> None:
    for shown in (
        figures.hours(None),
        figures.memory(None),
        figures.count(None),
        figures.moment(None),
    ):
        assert "not known" in shown
        assert "0" not in shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (DAY, "1 d"),
        (3 * DAY + 4 * 3600 + 59, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, said: str) -> None:
    assert figures.duration(seconds) == said


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (3, 0, ""),
        (12, 10, "+20%"),
        (5, 10, "\N{MINUS SIGN}50%"),
        (0, 10, "\N{MINUS SIGN}100%"),
        (250, 10, "\N{MULTIPLICATION SIGN} 25"),
    ],
)
def test_growth_is_told_in_the_words_that_say_most(now: float, before: float, said: str) -> None:
    assert figures.change(now, before) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("u1@vo.example.org", "u1@<wbr>vo.<wbr>example.<wbr>org"),
        ("<b>.", "&lt;b&gt;."),
        ("", ""),
    ],
)
def test_names_part_where_people_would_part_them(name: str, said: str) -> None:
    assert figures.name(name) == said


def test_each_day_says_how_much_of_it_was_measured() -> None:
    now = 20_000 * DAY + 43_200.0
    gaps = [Gap(19_998 * DAY - 60.0, 19_999 * DAY + 60.0), Gap(now - 3600, None)]
    found = days(now, 19_995 * DAY + 3600, int(now) - 60, gaps)
    assert [day.coverage for day in found[-7:]] == [
        Coverage.BEFORE,
        Coverage.WHOLE,
        Coverage.WHOLE,
        Coverage.PARTLY,
        Coverage.SILENT,
        Coverage.PARTLY,
        Coverage.PARTLY,
    ]
    assert found[-1].date == date(2024, 10, 4)
    assert found[-1].said == "Fri 4 Oct: the metrics were silent for 59 min"
    assert {day.coverage for day in found[:-6]} == {Coverage.BEFORE}
    late = days(now, 19_995 * DAY, 19_999 * DAY, [])
    assert [day.coverage for day in late[-2:]] == [Coverage.AHEAD] * 2
    assert {day.coverage for day in days(now, None, None, [])} == {Coverage.BEFORE}


NOW = 1_793_600_000.0
FINE = Status(NOW, int(NOW) - 60, 60.0, [], Delivery(0, {}, {}, 0.0, NOW - 3600, 90.0))
OTHERS = {"elsewhere": Outgoing(due=0, oldest_seconds=0.0)}
GONE = Failure(FailureKind.REFUSED, "nobody knows us there", "register the DN")


def delivery(**changes: object) -> Status:
    assert FINE.delivery is not None
    found = replace(FINE.delivery, **changes)  # type: ignore[arg-type] # a test's
    to = Outgoing("ams://x", found.due, 0, found.messages, 0.0, found.last_push_at)
    return replace(FINE, delivery=replace(found, destinations={"apel": to, **OTHERS}))


@pytest.mark.parametrize(
    ("status", "level", "said"),
    [
        (FINE, Level.GOOD, ""),
        (delivery(due=7), Level.GOOD, ""),
        (
            delivery(due=7, last_push_at=NOW - 49 * 3600),
            Level.WARN,
            "nothing was delivered for 2 d 1 h",
        ),
        (delivery(last_push_at=NOW - 49 * 3600), Level.GOOD, ""),
        (delivery(due=7, last_push_at=None), Level.WARN, "nothing was delivered yet"),
        (delivery(messages={"parked": 1}), Level.WARN, "1 message is parked"),
        (delivery(held={"unmapped": 2}), Level.WARN, "2 records are held back (2 unmapped)"),
        (delivery(certificate_days=29.5), Level.WARN, "expires in 29 d 12 h"),
        (delivery(certificate_days=0.5), Level.BAD, "expires in 12 h"),
        (delivery(certificate_days=-1.0), Level.BAD, "has expired"),
        (replace(FINE, gaps=[Gap(NOW - 7200, NOW - 3600)]), Level.NOTE, "1 time in the"),
        (replace(FINE, gaps=[Gap(NOW - 7200, None)]), Level.BAD, "silent for 2 h"),
        (replace(FINE, lag_seconds=7200.0), Level.WARN, "2 h behind"),
        (replace(FINE, read_until=None, lag_seconds=None), Level.WARN, "no poll has ended yet"),
    ],
)
def test_the_verdict_names_what_is_the_matter(status: Status, level: Level, said: str) -> None:
    found = verdict(status, [], allowed_lag_seconds=900)
    assert found.level is level
    assert said in "\n".join(finding.text for finding in found.findings)
    assert found.headline.startswith("Yes") is (level <= Level.NOTE)
    assert all(f.cure for f in found.findings if f.level >= Level.WARN)


def test_the_verdict_names_the_destination_where_there_are_several() -> None:
    status = delivery(due=7)
    assert status.delivery is not None
    quiet = Outgoing("ams://y", 3, 0, {}, 0.0, NOW - 50 * 3600)
    several = {**status.delivery.destinations, "copy": quiet}
    stop = Stop("ams://y", NOW - 60, GONE, 1, None)
    counts = dict.fromkeys(MessageState, 0)
    first = Destination("ams://x", counts, None, None, None, None, None, "apel")
    where = Destination("ams://y", counts, None, None, None, GONE, stop, "copy")
    status = replace(status, delivery=replace(status.delivery, destinations=several))
    found = verdict(status, [first, where], allowed_lag_seconds=900)
    assert [finding.text for finding in found.findings] == [
        "delivery to copy is stopped: nobody knows us there",
        "nothing was delivered to copy for 2 d 2 h, although records wait",
    ]


def test_the_verdict_puts_the_worst_first_and_tells_managers_only_of_measuring() -> None:
    stop = Stop("ams://x", NOW - 60, GONE, 1, None)
    counts = dict.fromkeys(MessageState, 0)
    where = Destination("ams://x", counts, None, None, None, GONE, stop)
    status = delivery(held={"invalid": 1})
    found = verdict(status, [where], allowed_lag_seconds=900)
    assert [finding.level for finding in found.findings] == [Level.BAD, Level.WARN]
    assert found.findings[0].text == "delivery is stopped: nobody knows us there"
    assert found.findings[0].cure == "register the DN"
    told = verdict(replace(status, delivery=None), [], allowed_lag_seconds=900)
    assert (told.headline, told.findings) == ("Yes: everything is measured", [])


def test_a_poll_that_failed_is_told_with_its_cure() -> None:
    failure = AccountingError("Prometheus does not answer", "start it")
    found = verdict(replace(FINE, lag_seconds=7200.0), [], allowed_lag_seconds=900, failure=failure)
    assert [(f.text, f.cure) for f in found.findings] == [
        ("the last poll failed: Prometheus does not answer", "start it")
    ]


def test_all_series_can_be_reached_and_their_sum_stays() -> None:
    found = {f"vo-{number:02d}": [float(number), 1.0] for number in range(20)}
    sums = {name: sum(values) for name, values in found.items()}
    first, further = charts.ranked(sums), charts.ranked(sums, charts.SERIES)
    assert first == [f"vo-{number:02d}" for number in range(19, 7, -1)]
    assert further == [f"vo-{number:02d}" for number in range(7, -1, -1)]
    for names in (first, further):
        named = [found[name] for name in names]
        left = charts.rest([190.0, 20.0], named)
        assert [sum(column) for column in zip(left, *named, strict=True)] == [190.0, 20.0]
    assert charts.rest([0.3], [[0.1], [0.2]]) == [0.0]


def test_a_charts_file_runs_nothing_and_loads_nothing() -> None:
    name = "<script>alert(1)</script>"
    picture = charts.file(("1", "2"), ((name, (1.0, 2.5)),), unit="h", title="<image href='x'/>")
    assert re.search(r"<script|<image|\son\w+=|href=\"|url\(", picture) is None
    assert "&lt;script&gt;" in picture
    assert "<title>2: 2.50 h</title>" in picture
    assert len(re.findall(r'<rect [^>]*class="rect', picture)) == 2


def test_fields_that_are_wrong_say_so_and_count_as_empty() -> None:
    fields = Fields(
        {"month": "2026-13", "vo": "a\0b", "user": "x" * 301, "status": "odd", "good": " 2026-11 "}
    )
    assert fields.month("month") is None
    assert fields.month("good") == Month(2026, 11)
    assert fields.text("vo") == fields.text("user") == fields.choice("status", ["started"]) == ""
    assert set(fields.wrong) == {"month", "vo", "user", "status"}


def test_every_flag_of_the_docs_is_explained_on_the_page() -> None:
    text = (DOCS / "units.md").read_text(encoding="utf-8")
    table = text[text.index("| flag | meaning |") :]
    documented = set()
    for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE):
        first, *more = re.findall(r"`([^`]+)`", cell)
        subject = re.sub(r" (from|by|unknown).*", "", first)
        documented |= {first, *(flag.replace("\N{HORIZONTAL ELLIPSIS}", subject) for flag in more)}
    written = {flag for flag in documented if not flag.endswith("the same for memory")}
    assert written <= set(FLAGS)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with started(tmp_path, month.NOW) as (service, _broker):
        yield service


def test_names_are_text_whatever_they_hold(running: Running) -> None:
    evil = '"><script>alert(1)</script>'
    write(running.service.database, [account(7, user=evil, group=evil)])
    uid = account(7).pod.uid
    for path in (
        f"/records/{uid}",
        "/records?sort=-month",
        "/usage?by=user",
        "/",
        f"/records?user={evil}",
        f"/usage?vo={evil}&month={evil}",
        f"/deliveries?done={evil}",
        f"/{evil}",
    ):
        page = running.get(path, headers={"Accept": "text/html"})
        assert page.status_code in {200, 404}, path
        assert "<script>alert" not in page.text, path


def test_months_are_not_compared_where_one_was_not_measured_whole(running: Running) -> None:
    whole = running.get("/").text
    assert "Measuring began" not in whole
    assert re.search(r">\+\d+%<", whole)
    with running.service.database.begin() as connection:
        connection.execute(windows.delete().where(windows.c.start < month.READ_UNTIL - 30 * DAY))
    part = running.get("/").text
    assert "Measuring began" in part
    assert not re.search(r">\+\d+%<", part)


def test_files_are_kept_by_browsers_and_there_are_no_others(running: Running) -> None:
    page = running.get("/").text
    for address in re.findall(r'"(/static/[^"]+)"', page):
        answer = running.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
    for name in ("nothing.css", "..%2Ffigures.py", "base.html"):
        assert running.get(f"/static/{name}").status_code == 404


def test_wrong_questions_are_answered_with_pages_not_defects(running: Running) -> None:
    for path in (
        "/records?cursor=x",
        "/deliveries?cursor=%00",
        "/deliveries/0",
        "/records/%00",
        "/deliveries/99999999999999999999",
        "/usage?first=2026-11&last=2020-01",
        "/usage?by=%00&show=x&first=9999-12",
        "/records?pod=%00&month=0001-01",
        "/runs/nothing",
        "/my",
        "/my?month=9999-12",
    ):
        answer = running.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in {200, 400, 404}, path
        assert answer.headers["Content-Type"].startswith("text/html"), path


def test_what_is_at_no_address_is_said_in_words_and_people_are_sent_to_pages(
    running: Running,
) -> None:
    missing = running.get("/api/v1/nothing")
    assert (missing.status_code, missing.json()["detail"]) == (
        404,
        "there is nothing at this address",
    )
    refused = running.ask("DELETE", "/api/v1/records")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET")
    assert refused.json()["detail"] == "DELETE is not possible at this address"
    page = running.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "There is nothing at this address" in page.text
    assert "openapi.json" not in page.text
    page = running.get("/deliveries/abc", headers={"Accept": "text/html"})
    assert "Correct the address." in page.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("the last poll failed", "The last poll failed."),
        ("http://example.org does not answer", "http://example.org does not answer."),
        ("", ""),
    ],
)
def test_a_sentence_begins_with_a_capital_unless_it_begins_with_an_address(
    text: str, said: str
) -> None:
    assert figures.sentence(text) == said


@pytest.mark.parametrize(
    "path", ["records?month=2026-13", "records?month=2026-13&vo=physics", "usage?first=2026-13"]
)
def test_a_page_with_a_wrong_field_shows_no_figures(path: str, running: Running) -> None:
    page = running.get(f"/{path}", headers={"Accept": "text/html"}).text
    assert "A month, for example 2026-11." in page
    assert "<tbody>" not in page


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("usage?by=colour", "One of vo, user, flavor, image."),
        ("usage?show=pods", "One of wall, cpu, cores"),
        ("usage?compare=perhaps", "One of yes, no."),
        ("usage?across=days", "One of month."),
        ("usage?page=-1", "Page in the address: "),
        ("usage?rank=first", "Rank in the address: "),
        ("deliveries?state=lost", "One of pending, sending, sent"),
    ],
)
def test_whatever_is_wrong_is_marked_and_nothing_else_shown_for_it(
    path: str, said: str, running: Running
) -> None:
    page = running.get(f"/{path}", headers={"Accept": "text/html"}).text
    assert said in page
    assert 'class="wrong"' in page
    assert "<tbody>" not in page


def test_a_span_that_ends_before_it_begins_is_said_to(running: Running) -> None:
    page = running.get("/usage?first=2026-11&last=2026-10", headers={"Accept": "text/html"}).text
    assert "This is before the month in From." in page
    assert "<tbody>" not in page
