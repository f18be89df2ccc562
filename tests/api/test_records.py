"""Lists, exports and summaries over TCP."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.guard.tokens import digest_of
from accounting.model.pods import Account
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.formats import apel
from accounting.records.formats.tabular import COLUMNS
from accounting.store.records import Records
from tests.api.serving import ADMIN, Running, Serve
from tests.delivery.books import NOVEMBER, RULES, SITE, START, Inbox, account, ran_on, write
from tests.statements import asked_of

Fits = Callable[[dict[str, Any]], bool]

CSV, APEL, PARQUET = "text/csv", "text/plain", "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    """25 notebooks of 4 users and 3 VOs; three run into December, five have ended."""
    return _filled(serve_all())


@pytest.fixture
def changing(serve: Serve) -> Running:
    """The same, for tests that change something."""
    return _filled(serve())


def _filled(found: Running) -> Running:
    write(found.service.database, [_page(number) for number in range(25)])
    return found


def _page(number: int) -> Account:
    page = account(number, user=f"user-{number % 4}@example.org", group=f"vo{number % 3}")
    page.pod.image = f"registry.example.org/notebook:{number % 2}"
    later = float(number % 7) * 3600
    page.pod.started_at = float(START) + later
    page.pod.first_running_at += later
    page = ran_on(page, later + number, ended=number % 5 == 0)
    if number % 7 == 6:
        page.pod.last_running_at = page.pod.last_listed_at = NOVEMBER.end + 1800.0 + number
    return page


def listed(running: Running, query: str = "", limit: int = 7) -> list[dict[str, Any]]:
    """All pages of a list, one after another."""
    found: list[dict[str, Any]] = []
    more = f"/api/v1/records?limit={limit}&{query}"
    while True:
        answer = running.get(more)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body["records"]) <= limit
        found += body["records"]
        if body["next"] is None:
            return found
        more = f"/api/v1/records?limit={limit}&{query}&cursor={body['next']}"


SORTS = ["month", "start", "end", "measured", "wall", "cpu", "user", "vo", "pod"]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("sign", ["", "-"])
def test_pages_follow_each_other_without_loss_or_repetition(
    sort: str, sign: str, running: Running
) -> None:
    found = listed(running, f"sort={sign}{sort}")
    keys = [(record["uid"], record["month"]) for record in found]
    assert len(set(keys)) == len(keys) == Records(running.service.database).count() == 28
    names = {
        "start": "start_at",
        "end": "end_at",
        "measured": "created_at",
        "pod": "uid",
        "wall": "wall_seconds",
        "cpu": "cpu_seconds",
    }
    values = [record[names.get(sort, sort)] for record in found]
    ranks = [-1 if value is None else value for value in values]
    for before, after in pairwise(ranks):
        assert (before >= after) if sign else (before <= after)


@pytest.mark.parametrize("sort", SORTS)
def test_where_no_index_has_the_order_records_are_sorted_by_keys_alone(
    sort: str, running: Running
) -> None:
    with asked_of(running.service.database.engine) as asked:
        running.get(f"/api/v1/records?sort=-{sort}")
    is_sorting = re.compile(r"ORDER BY (records\.|coalesce)").search
    sorting = next(statement for statement, _ in asked if is_sorting(statement))
    assert ("records.accelerators" in sorting) == (sort in {"month", "pod"})


def test_a_cursor_is_good_whatever_comes_meanwhile(changing: Running) -> None:
    first = changing.get("/api/v1/records?limit=10&sort=pod").json()
    write(changing.service.database, [account(n) for n in range(3, 8)])
    rest = changing.get(f"/api/v1/records?limit=100&sort=pod&cursor={first['next']}").json()
    before = {record["uid"] for record in first["records"]}
    assert before.isdisjoint(record["uid"] for record in rest["records"])


WHOSE = [
    ("image=registry.example.org/notebook:1", lambda r: r["image"].endswith(":1")),
    ("image=notebook:1", lambda _: False),
    ("image_contains=BOOK:1", lambda r: r["image"].endswith(":1")),
    ("user_contains=R-1@Ex", lambda r: r["user"] == "user-1@example.org"),
    ("vo_contains=O2", lambda r: r["vo"] == "vo2"),
    ("vo_contains=_", lambda _: False),
    ("flavor_contains=MALL&user_contains=user-2", lambda r: r["user"] == "user-2@example.org"),
    ("flavor_contains=large", lambda _: False),
]
"""Filters that summaries have, too."""
FILTERS = [
    *WHOSE,
    ("month=2026-11", lambda r: r["month"] == "2026-11"),
    ("month=2027-01", lambda _: False),
    ("user=user-1@example.org", lambda r: r["user"] == "user-1@example.org"),
    ("vo=vo2", lambda r: r["vo"] == "vo2"),
    ("flavor=small", lambda r: r["flavor"] == "small"),
    ("flavor=large", lambda _: False),
    ("status=completed", lambda r: r["status"] == "completed"),
    ("status=started&vo=vo0", lambda r: (r["status"], r["vo"]) == ("started", "vo0")),
    ("pod=jupyter-3", lambda r: r["machine"] == "jupyter-3"),
    ("pod=00000000-0000-4000-8000-000000000006", lambda r: r["uid"].endswith("006")),
    ("delivery=due", lambda _: True),
    ("delivery=sent", lambda _: False),
    ("since=2026-12-01", lambda r: r["month"] == "2026-12"),
    ("until=2026-11-01T02:00Z", lambda r: r["start_at"] < START + 3600),
    (
        f"since={START + 4 * 3600}&until={START + 5 * 3600}",
        lambda r: (
            r["created_at"] > START + 4 * 3600
            and r["start_at"] < START + 5 * 3600
            and r["month"] == "2026-11"
        ),
    ),
]


@pytest.mark.parametrize(("query", "fits"), FILTERS, ids=[query for query, _ in FILTERS])
def test_filters_select_what_they_say(query: str, fits: Fits, running: Running) -> None:
    everything = listed(running, limit=1000)
    wanted = [r["uid"] + r["month"] for r in everything if fits(r)]
    assert [f"{r['uid']}{r['month']}" for r in listed(running, query)] == wanted


def test_delivery_tells_how_far_a_record_has_come(changing: Running) -> None:
    outbox = Outbox(changing.service.database)
    Pusher(outbox, Inbox(), now=changing.clock).push()
    assert {record["delivery"] for record in listed(changing)} == {"sent"}
    changed = ran_on(_page(1), 7200)
    write(changing.service.database, [changed])
    assert [r["uid"] for r in listed(changing, "delivery=due")] == [changed.pod.uid]
    one = changing.get(f"/api/v1/records/{changed.pod.uid}").json()
    (took,) = one["messages"]
    assert (took["state"], took["is_current"], took["month"]) == ("sent", False, "2026-11")
    assert one["months"][0]["vo_rule"] == "plain"
    changing.clock.now = NOVEMBER.end + 40 * 86400.0
    late = listed(changing, "delivery=differing")
    ended = account(5, user="user-1@example.org", group="vo2")
    assert ended.pod.uid not in {record["uid"] for record in late}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (CSV, "csv"),
        (APEL, "apel"),
        (PARQUET, "parquet"),
        ("application/json", "json"),
        ("text/csv;q=0.5, application/json;q=0.4", "csv"),
        ("", "json"),
        ("application/xml, */*;q=0.1", "json"),
        ("text/html,*/*;q=0.8", "json"),
        ("text/*", "csv"),
        ("text/plain, text/*;q=0.1", "apel"),
        ("application/*", "json"),
        ("application/json;q=0, */*", "csv"),
        ("TEXT/CSV", "csv"),
        ("text/html", "json"),
    ],
)
def test_the_format_is_the_one_that_is_accepted_or_asked_for(
    accept: str, kind: str, running: Running
) -> None:
    by_accept = running.get("/api/v1/records", headers={"Accept": accept} if accept else {})
    by_name = running.get(f"/api/v1/records?format={kind}", headers={"Accept": "text/nothing"})
    assert by_accept.status_code == by_name.status_code == 200
    assert by_accept.content == by_name.content
    assert by_accept.headers["Content-Type"] == by_name.headers["Content-Type"]


@pytest.mark.parametrize("accept", ["application/xml", "*/*;q=0", "nonsense", ",;q"])
def test_a_format_that_is_not_there_is_told(accept: str, running: Running) -> None:
    answer = running.get("/api/v1/records", headers={"Accept": accept})
    assert (answer.status_code, answer.json()["title"]) == (406, "Not Acceptable")
    assert "text/csv, " in answer.json()["cure"]


def test_every_file_holds_all_selected_records(running: Running) -> None:
    database = running.service.database
    ours = sorted(Records(database).find(), key=lambda record: (record.month, record.uid))
    rows = list(csv.DictReader(io.StringIO(running.get("/api/v1/records?format=csv").text)))
    assert [(row["uid"], row["month"]) for row in rows] == [(r.uid, str(r.month)) for r in ours]
    assert list(rows[0]) == list(COLUMNS)
    text = running.get("/api/v1/records?format=apel").text
    assert text == apel.message(apel.text(record) for record in ours)
    file = running.get("/api/v1/records?format=parquet&vo=vo1")
    assert file.headers["Content-Disposition"] == 'attachment; filename="records.parquet"'
    table = parquet.read_table(io.BytesIO(file.content)).to_pylist()
    assert [row["uid"] for row in table] == [r.uid for r in ours if r.vo.name == "vo1"]
    assert table[0]["flags"] == list(ours[1].flags)


def test_an_empty_file_is_still_one(running: Running) -> None:
    nothing = "/api/v1/records?month=2020-01&format="
    assert running.get(f"{nothing}csv").text == ",".join(COLUMNS) + "\n"
    assert running.get(f"{nothing}apel").text == "APEL-cloud-message: v0.4\n"
    assert parquet.read_table(io.BytesIO(running.get(f"{nothing}parquet").content)).num_rows == 0


def summed(running: Running, query: str) -> list[dict[str, Any]]:
    answer = running.get(f"/api/v1/summaries?{query}")
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def test_summaries_are_the_ledger_s_numbers(running: Running) -> None:
    totals = Records(running.service.database).month_totals()
    rows = summed(running, "by=month&by=vo")
    names = ("pods", "wall_seconds", "cpu_seconds")
    found = {(row["month"], row["vo"]): tuple(row[name] for name in names) for row in rows}
    assert found == {(str(month), vo): sums for (month, vo), sums in totals.items()}


@pytest.mark.parametrize(("query", "fits"), WHOSE, ids=[query for query, _ in WHOSE])
def test_sums_are_of_the_records_that_fit(query: str, fits: Fits, running: Running) -> None:
    wanted = [r for r in listed(running, "month=2026-11", 1000) if fits(r)]
    rows = summed(running, f"by=user&month=2026-11&{query}")
    seconds = sum(r["used_wall_seconds"] for r in wanted)
    assert sum(row["wall_seconds"] for row in rows) == seconds


@pytest.mark.parametrize("by", ["month", "day", "vo", "user", "flavor", "image"])
def test_every_way_of_adding_up_gives_the_same_total(by: str, running: Running) -> None:
    (total,) = summed(running, "by=month&month=2026-11")
    rows = summed(running, f"by={by}&month=2026-11")
    for name in ("wall_seconds", "cpu_seconds", "core_seconds", "memory_mb_seconds"):
        assert sum(row[name] for row in rows) == pytest.approx(total[name])
    assert [row[by] for row in rows] == sorted(row[by] for row in rows)


def test_days_hold_exactly_the_wall_time_that_lies_in_them(running: Running) -> None:
    expected: dict[str, int] = {}
    for number in range(25):
        for record in builder.records(_page(number), SITE, RULES):
            begun = record.created_at - record.used_wall_seconds
            first = max(begun, record.month.start)
            day = datetime.fromtimestamp(first, UTC).replace(hour=0, minute=0, second=0)
            while (start := int(day.timestamp())) < record.created_at:
                end = start + 86400
                used = (
                    min(end, record.created_at)
                    - max(start, first)
                    + (first - begun) * (start <= first)
                )
                name = day.date().isoformat()
                expected[name] = expected.get(name, 0) + used
                day += timedelta(days=1)
    rows = summed(running, "by=day")
    assert {str(row["day"]): row["wall_seconds"] for row in rows} == expected
    assert len(expected) > 25


def test_an_answer_that_is_kept_is_asked_for_again_at_no_cost(changing: Running) -> None:
    path = "/api/v1/summaries?month=2026-11&by=vo"
    first = changing.get(path)
    tag = first.headers["ETag"]
    known = changing.get(path, headers={"If-None-Match": f'W/"x", {tag}'})
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["ETag"] == tag
    write(changing.service.database, [ran_on(_page(2), 600)])
    changed = changing.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag
    assert changed.json() != first.json()
    as_csv = changing.get(f"{path}&format=csv", headers={"If-None-Match": changed.headers["ETag"]})
    assert as_csv.status_code == 200
    assert as_csv.text.startswith("vo,pods,users,wall_seconds,")


def test_an_answer_is_written_once_until_records_change(
    changing: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"/api/v1/summaries?by=vo&format={kind}" for kind in ("json", "csv")]
    first = [changing.get(path) for path in paths]
    asked: list[Any] = []
    add_up = changing.service.summaries.summary

    def counted(*of: Any) -> Any:
        asked.append(of)
        return add_up(*of)

    monkeypatch.setattr(changing.service.summaries, "summary", counted)
    for path, answer in zip(paths, first, strict=True):
        again = changing.get(path)
        assert again.content == answer.content
        for name in ("Content-Type", "Content-Disposition", "ETag", "Vary"):
            assert again.headers.get(name) == answer.headers.get(name)
    assert asked == []
    write(changing.service.database, [ran_on(_page(2), 600)])
    assert [changing.get(path).content for path in paths] != [one.content for one in first]
    assert len(asked) == len(paths)


def test_an_empty_ledger_s_answer_is_to_what_was_asked(serve: Serve) -> None:
    empty = serve()
    for by in ("vo", "user", "day"):
        assert empty.get(f"/api/v1/summaries?by={by}").json()["by"] == [by]
        assert empty.get(f"/api/v1/summaries?by={by}&format=csv").text.startswith(f"{by},pods,")


def test_what_is_kept_is_never_somebody_else_s(running: Running) -> None:
    assert Month(2026, 11) == NOVEMBER
    mine = running.get("/api/v1/summaries")
    assert mine.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in mine.headers["Vary"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("month=2026-13", "month is not a month; for example 2026-11"),
        ("month=²026-11", "month is not a month; for example 2026-11"),
        ("since=yesterday", "since is not a time; for example 2026-11-01"),
        ("since=nan", "since is not a time after 2013"),
        ("since=1e300", "since is not a time after 2013"),
        ("until=9999999999999999999999", "until is not a time after 2013"),
        ("sort=size", "sort is not something to sort by"),
        ("limit=0", "limit is less than 1"),
        ("limit=1001", "limit is more than 1000"),
        ("delivery=lost", "delivery is not one of held, "),
        ("user=%00", "user holds a zero byte"),
        ("usr=x", "usr is not known; did you mean user?"),
        ("vo=a&vo=b", "vo is given more than once"),
        ("cursor=abc", "the cursor is not one that this service gave out"),
    ],
)
def test_a_wrong_parameter_is_told_by_name_with_an_example(
    query: str, said: str, running: Running
) -> None:
    answer = running.get(f"/api/v1/records?{query}")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert answer.json()["cure"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("records?format=csv&limit=5", "limit means nothing in a file"),
        ("records?format=apel&sort=user&cursor=x", "sort means nothing in a file"),
        ("records?format=parquet&sort=-month", "sort means nothing in a file"),
        ("records?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("windows?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("gaps?since=2026-11-02&until=2026-11-01", "since is after until"),
        ("gaps?limit=3", "limit is not known"),
        ("summaries?month=2026-11&first_month=2026-10", "first_month means nothing beside month"),
        ("summaries?month=2026-11&month=2026-10", "month is given more than once"),
        ("me?user=x", "user is not known"),
        ("status?=", " is not known"),
    ],
)
def test_options_that_would_be_ignored_are_refused(path: str, said: str, running: Running) -> None:
    answer = running.get(f"/api/v1/{path}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["cure"]


def test_a_file_that_is_only_accepted_takes_no_limit_either(running: Running) -> None:
    answer = running.get("/api/v1/records?limit=5", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "limit")


def test_a_read_with_a_body_is_refused(running: Running) -> None:
    answer = running.ask("GET", "/api/v1/records", content=b'{"vo": "vo1"}')
    assert (answer.status_code, answer.json()["detail"]) == (400, "a body is not read here")


HEADS = [
    "/api/v1/records",
    "/api/v1/records?format=csv",
    "/api/v1/summaries",
    "/api/v1/status",
    "/api/v1/messages",
    "/api/v1/me",
    "/api/v1/openapi.json",
    "/api/v1/nothing",
    "/api/v1/records?usr=x",
    "/metrics",
    "/healthz",
    "/readyz",
    "/",
    "/records",
    "/docs",
]


@pytest.mark.parametrize("path", HEADS)
@pytest.mark.parametrize("token", [ADMIN, None])
def test_head_says_what_get_says_without_its_body(
    path: str, token: str | None, running: Running
) -> None:
    heads = running.ask("HEAD", path, token)
    whole = running.get(path, token)
    changing = {"date", "content-security-policy", "content-length", "transfer-encoding"}
    assert heads.status_code == whole.status_code
    assert heads.content == b""
    told = [{k: v for k, v in a.headers.items() if k not in changing} for a in (heads, whole)]
    assert told[0] == told[1]


def test_head_of_a_file_writes_none_of_it(changing: Running) -> None:
    path = "/api/v1/records?format=parquet"
    for _ in range(5):  # more than may be under way
        assert changing.ask("HEAD", path).status_code == 200
    assert changing.get(path).status_code == 200


def test_a_login_address_is_not_used_up_by_head(running: Running) -> None:
    ticket = running.doors.sessions.ticket(digest_of(ADMIN.encode()))
    path = f"/login?ticket={ticket}"
    assert running.ask("HEAD", path, None).status_code == 405
    assert running.get(path, None).status_code == 303


def test_a_cursor_of_another_sort_is_refused(running: Running) -> None:
    more = running.get("/api/v1/records?limit=5&sort=wall").json()["next"]
    answer = running.get(f"/api/v1/records?limit=5&sort=cpu&cursor={more}")
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "the cursor belongs to another sort",
    )


def test_a_reader_who_goes_away_lets_go_of_the_database(changing: Running) -> None:
    with httpx.stream(
        "GET",
        f"{changing.url}/api/v1/records?format=csv",
        headers={"Authorization": "Bearer the-admins-token"},
        timeout=60,
    ) as answer:
        next(answer.iter_raw())
    write(changing.service.database, [account(99)])
    found = changing.get("/api/v1/records/00000000-0000-4000-8000-000000000099")
    assert json.loads(found.content)["uid"].endswith("99")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("records?limit=many", "limit is not a whole number"),
        ("records?limit=0", "limit is less than 1"),
        ("records?limit=1001", "limit is more than 1000"),
        ("records?total=maybe", "total is neither true nor false"),
        ("records?status=gone", "status is not one of started or completed"),
        (f"records?vo={'v' * 301}", "vo is longer than 300 characters"),
        ("windows?since=soon", "since is not a time; for example 2026-11-01"),
        ("summaries?by=moon", "by is not one of month, day, vo, user, flavor or image"),
    ],
)
def test_a_wrong_parameter_is_told_in_our_words(query: str, said: str, running: Running) -> None:
    answer = running.get(f"/api/v1/{query}")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)


def test_how_many_there_are_in_all_is_told_on_request(running: Running) -> None:
    for name in ("records", "messages", "windows"):
        some = running.get(f"/api/v1/{name}?limit=2").json()
        asked = running.get(f"/api/v1/{name}?limit=2&total=true").json()
        everything = running.get(f"/api/v1/{name}?limit=1000").json()
        assert some["total"] is None
        assert asked["total"] == len(everything[name])
        assert asked[name] == some[name]
    of_one = running.get("/api/v1/records?limit=1&total=true&delivery=sent").json()
    assert of_one["total"] == len(running.get("/api/v1/records?delivery=sent").json()["records"])
