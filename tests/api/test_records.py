"""Lists of records, and files of them, over TCP."""

import csv
import io
import json
import re
from itertools import pairwise

import httpx
import pytest
from pyarrow import parquet

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.records.formats import apel
from accounting.records.formats.tabular import COLUMNS
from accounting.store.records import Records
from tests.api.many import WHOSE, Fits, listed, notebook
from tests.api.serving import Running
from tests.delivery.books import NOVEMBER, START, Inbox, account, ran_on, write
from tests.statements import asked_of

CSV, APEL, PARQUET = "text/csv", "text/plain", "application/vnd.apache.parquet"


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
    changed = ran_on(notebook(1), 7200)
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
