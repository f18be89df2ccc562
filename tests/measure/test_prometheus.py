"""Bad sources: each gives one clear error, and a poll of them leaves everything as it was.

A small server answers in place of a Prometheus, or stands before a real one and spoils its answers.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from sqlalchemy import select

from accounting.errors import (
    SourceError,
    SourceGarbled,
    SourceRefused,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from accounting.measure.poller import Report
from accounting.measure.source.connection import Access
from accounting.measure.source.prometheus import Source, running_times
from accounting.measure.usage.samples import Rejected
from accounting.model.pods import Implausible
from accounting.model.time import Window
from accounting.simulation.stores.engines import free_port, run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features
from accounting.store.engine.database import Database
from accounting.store.tables import metadata
from tests.exactness.polling import Written, poller, written

Params = dict[str, str]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    missing: int = 0
    """So many bytes are announced and not sent."""


Answer = Callable[[str, Params, str], Reply]
"""(path, parameters, Authorization header) → reply"""


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked = parse_qs(self.rfile.read(length).decode())
            params = {name: values[0] for name, values in asked.items()}
            reply = answer(self.path, params, self.headers.get("Authorization", ""))
            time.sleep(reply.delay)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def says(code: int, /, **body: Any) -> Reply:
    return Reply(code, json.dumps(body).encode())


def vector(*rows: tuple[dict[str, str], str], **more: Any) -> Reply:
    result = [{"metric": labels, "value": [1762000000.5, value]} for labels, value in rows]
    return says(200, status="success", data={"resultType": "vector", "result": result}, **more)


ERROR = {"status": "error", "errorType": "execution"}
TOO_MANY = "query processing would load too many samples into memory in query execution"
LOGIN = b"<!doctype html><html><title>Sign in</title></html>"
WHOLE = vector(({"uid": "u"}, "1")).body
PARTIAL = "no StoreAPIs matched for this query"


@dataclass(frozen=True)
class Bad:
    """A bad answer, and the error that it must become."""

    name: str
    reply: Reply
    error: type[SourceError]
    said: str
    cure: str


BAD = [
    Bad(
        "a refused question",
        says(400, **ERROR, error="parse error: x"),
        SourceRefused,
        "answered 400: parse error: x",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad("no token", says(401), SourceRefused, "answered 401", "ACCOUNTING_PROMETHEUS__TOKEN_FILE"),
    Bad(
        "a wrong token",
        Reply(403, b"Forbidden"),
        SourceRefused,
        "answered 403",
        "ACCOUNTING_PROMETHEUS__TOKEN_FILE",
    ),
    Bad("a wrong path", Reply(404, LOGIN), SourceRefused, "answered 404", "base of a Prometheus"),
    Bad(
        "a redirect to a login",
        Reply(302, b"", {"Location": "/login"}),
        SourceRefused,
        "answered 302",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad("too many requests", Reply(429), SourceUnavailable, "answered 429", "the next poll"),
    Bad("a broken server", Reply(500, b"oops"), SourceUnavailable, "answered 500", "the next poll"),
    Bad("a gateway without a server", Reply(502, LOGIN), SourceUnavailable, "answered 502", "log"),
    Bad("a starting server", Reply(503), SourceTooSlow, "answered 503", "log"),
    Bad(
        "a query that takes too long",
        says(503, **ERROR, error="query timed out in expression evaluation"),
        SourceTooLarge,
        "503: query timed out",
        "STEP",
    ),
    Bad("a gateway that gives up", Reply(504, LOGIN), SourceTooLarge, "answered 504", "STEP"),
    Bad(
        "a store that counts series",
        says(422, **ERROR, error="expanding series: the query hit the max number of series limit"),
        SourceTooLarge,
        "max number of series",
        "STEP",
    ),
    Bad(
        "Prometheus' limit",
        says(422, **ERROR, error=TOO_MANY),
        SourceTooLarge,
        "too many samples",
        "--query.max-samples",
    ),
    Bad(
        "VictoriaMetrics' limit",
        says(422, **ERROR, error="cannot select more than -search.maxSamplesPerQuery=1000 samples"),
        SourceTooLarge,
        "cannot select more",
        "POLL__STEP",
    ),
    Bad(
        "VictoriaMetrics' limit of series",
        says(
            422,
            **ERROR,
            error="the number of matching "
            "timeseries exceeds 100; either narrow down the search or increase -search.maxUnique"
            "Timeseries",
        ),
        SourceTooLarge,
        "exceeds 100",
        "POLL__STEP",
    ),
    Bad(
        "Mimir's limit",
        says(
            422,
            **ERROR,
            error="the query exceeded the maximum number of chunks"
            " (limit: 2 chunks) (err-mimir-max-chunks-per-query)",
        ),
        SourceTooLarge,
        "err-mimir-max-chunks-per-query",
        "POLL__STEP",
    ),
    Bad(
        "Thanos' limit",
        says(422, **ERROR, error="exceeded series limit: limit 5 violated (got 6)"),
        SourceTooLarge,
        "limit 5 violated",
        "POLL__STEP",
    ),
    Bad("a proxy's limit", Reply(413, LOGIN), SourceTooLarge, "answered 413", "POLL__STEP"),
    Bad("a web page", Reply(200, LOGIN), SourceGarbled, "a web page", "login page or proxy"),
    Bad(
        "half an answer",
        Reply(200, WHOLE[: len(WHOLE) // 2]),
        SourceGarbled,
        "unreadable",
        "poll again",
    ),
    Bad("nothing", Reply(200), SourceGarbled, "unreadable", "poll again"),
    Bad("bytes that are no text", Reply(200, b"\xff\xfe{}"), SourceGarbled, "unreadable", "again"),
    Bad("another API's JSON", says(200, items=[]), SourceGarbled, "unreadable", "poll again"),
    Bad("an error that looks well", says(200, **ERROR, error="x"), SourceGarbled, "unreadable", ""),
    Bad(
        "a warning",
        vector(({"uid": "u"}, "1"), warnings=[PARTIAL]),
        SourceGarbled,
        f"incomplete answer: {PARTIAL}",
        "repair the stores",
    ),
    Bad(
        "a partial answer",
        vector(({"uid": "u"}, "1"), isPartial=True),
        SourceGarbled,
        "the answer is partial",
        "nothing was recorded",
    ),
    Bad(
        "a cut connection",
        Reply(200, WHOLE, missing=10),
        SourceUnavailable,
        "cannot be reached",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad(
        "a slow server",
        Reply(200, WHOLE, delay=1.0),
        SourceTooSlow,
        "did not answer within 0.3 s",
        "ACCOUNTING_PROMETHEUS__TIMEOUT",
    ),
]


def is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and len(text) < 500


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_bad_answer_is_one_clear_error_with_its_cure(bad: Bad) -> None:
    with (
        server(lambda *_: bad.reply) as url,
        Source(url, timeout_seconds=0.3) as source,
        pytest.raises(bad.error) as caught,
    ):
        source.vector("up", 1762000000)
    assert type(caught.value) is bad.error
    assert url in caught.value.message
    assert bad.said in caught.value.message
    assert bad.cure in caught.value.cure
    assert is_one_line(caught.value.message)
    assert is_one_line(caught.value.cure)


def test_nobody_at_the_address_is_one_clear_error() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Source(url) as source, pytest.raises(SourceUnavailable, match="cannot be reached") as no:
        source.vector("up", 1762000000)
    assert url in no.value.message
    assert "ACCOUNTING_PROMETHEUS__URL" in no.value.cure


@pytest.mark.parametrize("url", ["no url at all", "ftp://example.org", "http://"])
def test_a_url_that_is_none_is_one_clear_error(url: str) -> None:
    with Source(url) as source, pytest.raises(SourceUnavailable) as caught:
        source.vector("up", 1762000000)
    assert "ACCOUNTING_PROMETHEUS__URL" in caught.value.cure


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.raw("up[5m]", 1762000000),
        lambda source: list(source.sightings("up[5m]", 1762000000)),
        lambda source: source.first_time("up", Window(0, 600), 60),
        lambda source: source.label_names(["up"], 0, 600),
    ],
    ids=["raw samples", "sightings", "first time", "label names"],
)
@pytest.mark.parametrize("bad", BAD[-6:-2], ids=[b.name for b in BAD[-6:-2]])
def test_no_question_takes_an_incomplete_answer(ask: Callable[[Source], Any], bad: Bad) -> None:
    with server(lambda *_: bad.reply) as url, Source(url) as source, pytest.raises(SourceGarbled):
        ask(source)


def test_remarks_that_are_no_warnings_do_not_matter() -> None:
    reply = vector(({"uid": "u"}, "1"), infos=["metric might not be a counter"], warnings=[])
    with server(lambda *_: reply) as url, Source(url) as source:
        assert source.vector("up", 1762000000) == [({"uid": "u"}, 1.0)]


def test_the_token_is_read_anew_for_every_question(tmp_path: Path) -> None:
    token = tmp_path / "token"
    seen = []

    def remember(_path: str, _params: Params, authorization: str) -> Reply:
        seen.append(authorization)
        return vector()

    with server(remember) as url, Source(f"{url}/", access=Access(token_file=token)) as source:
        for text in ("one\n", "two"):
            token.write_text(text)
            source.vector("up", 1762000000)
    assert seen == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff\xfe", "tökén".encode(), b"two\nlines"],
    ids=["missing", "empty", "no text", "not ASCII", "two lines"],
)
def test_a_bad_token_file_is_one_clear_error(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with (
        server(lambda *_: vector()) as url,
        Source(url, access=Access(token_file=token)) as source,
        pytest.raises(SourceRefused, match="the token for Prometheus") as caught,
    ):
        source.vector("up", 1762000000)
    assert str(token) in caught.value.message
    assert "ACCOUNTING_PROMETHEUS__TOKEN_FILE" in caught.value.cure
    assert "two" not in caught.value.message


PHASES = [
    ("1: running", [(10, 1), (40, 1)], (10.0, 40.0, 40.0)),
    ("2: pending, then running", [(10, 0), (40, 1), (70.5, 1)], (40.0, 70.5, 70.5)),
    ("3: it stopped", [(10, 1), (40, 0)], (10.0, 10.0, 40.0)),
    ("4: it never ran", [(10, 0), (40, 0)], (None, None, 40.0)),
    ("5: one sample", [(10.25, 1)], (10.25, 10.25, 10.25)),
]


@pytest.mark.parametrize(("case", "points", "times"), PHASES, ids=[c[0] for c in PHASES])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_times_that_matter_are_found_in_the_samples_text(
    case: str,
    points: list[tuple[float, int]],
    times: tuple[float | None, float | None, float],
    separators: tuple[str, str],
) -> None:
    text = json.dumps([[at, str(value)] for at, value in points], separators=separators)
    assert running_times(text.encode()) == times, case


START = datetime(2025, 11, 5, 8, tzinfo=UTC)
END = datetime(2025, 11, 5, 10, tzinfo=UTC)
MIDDLE, LAST = int(START.timestamp()) + 3600, int(END.timestamp())


@dataclass(frozen=True)
class Good:
    """A real Prometheus with two hours of a quiet cluster."""

    url: str
    cluster: Cluster = field(repr=False)
    client: httpx.Client = field(repr=False)

    def answer(self, path: str, params: Params) -> httpx.Response:
        return self.client.post(f"{self.url}{path}", data=params)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Good]:
    folder = tmp_path_factory.mktemp("good") / "data"
    features = Features.none().but(claims=True, odd_requests=True)
    cluster = Cluster.generate(4, START, END, pods=80, features=features, interval_seconds=30)
    populate(cluster, folder)
    with run_prometheus(folder) as engine, httpx.Client(timeout=30) as client:
        yield Good(engine.url, cluster, client)


def everything(database: Database) -> dict[str, list[Any]]:
    with database.begin(reading=True) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


def opened(file: Path) -> Database:
    return Database(f"sqlite:///{file}")


@pytest.fixture(scope="module")
def half(good: Good, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the first of the two hours."""
    file = tmp_path_factory.mktemp("half") / "ledger.db"
    with opened(file) as database, Source(good.url) as source:
        database.ensure_current()
        poller(database, source).poll(MIDDLE)
    return file


@pytest.fixture
def ledger(half: Path, tmp_path: Path) -> Iterator[Database]:
    """A copy of it."""
    with opened(Path(shutil.copy(half, tmp_path / "ledger.db"))) as database:
        yield database


@pytest.fixture(scope="module")
def right(good: Good, half: Path) -> Written:
    """What both hours must become."""
    with opened(Path(shutil.copy(half, half.with_name("whole.db")))) as database:
        with Source(good.url) as source:
            poller(database, source).poll(LAST)
        return written(database)


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_poll_of_a_bad_source_leaves_everything_as_it_was(ledger: Database, bad: Bad) -> None:
    before = everything(ledger)
    with (
        server(lambda *_: bad.reply) as url,
        Source(url, timeout_seconds=0.3) as source,
        pytest.raises(bad.error),
    ):
        poller(ledger, source).poll(LAST)
    assert everything(ledger) == before


def longest_range(params: Params) -> float:
    """Seconds that a question looks back from any of its steps, or that it spans."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    ranges = re.findall(r"\[(\d+)(ms|s|m|h|d)", params.get("query", ""))
    spans = [float(number) * units[unit] for number, unit in ranges]
    return max([*spans, float(params.get("end", 0)) - float(params.get("start", 0))])


REFUSED = {
    # cases.md, 12, 13, 14 and 22: by Mimir, by Cortex, by Prometheus, by a gateway, by nobody.
    "of its length": says(
        422, **ERROR, error="the total query time range exceeds the limit (limit: 90m)"
    ),
    "of its series": says(
        422, **ERROR, error="expanding series: the query hit the max number of series limit"
    ),
    "of its bytes": says(
        422, **ERROR, error="the query exceeded the aggregated data size limit (limit: 1 bytes)"
    ),
    "as it takes too long": says(503, **ERROR, error="query timed out in expression evaluation"),
    "by a gateway": Reply(504, LOGIN),
    "by a server that gives up": Reply(503, b""),
    "by nobody": Reply(200, WHOLE, delay=1.0),
}


@pytest.mark.parametrize("how", REFUSED)
def test_every_question_that_is_refused_as_too_large_is_asked_in_parts(
    good: Good, tmp_path: Path, right: Written, how: str
) -> None:
    refused = []

    def answer(path: str, params: Params, _: str) -> Reply:
        if longest_range(params) > 5400:
            refused.append(path)
            return REFUSED[how]
        return Reply(200, good.answer(path, params).content)

    with (
        server(answer) as url,
        opened(tmp_path / "ledger.db") as database,
        Source(url, timeout_seconds=0.5) as source,
    ):
        database.ensure_current()
        poller(database, source).poll(LAST, MIDDLE - 3600)
        found = written(database)
    assert refused
    assert found.records == right.records


def test_a_store_that_is_too_slow_for_the_shortest_window_is_given_up(
    good: Good, ledger: Database
) -> None:
    def answer(path: str, params: Params, _: str) -> Reply:
        if "kube_pod_status_phase" in params.get("query", ""):
            return Reply(503)
        return Reply(200, good.answer(path, params).content)

    before = everything(ledger)
    with server(answer) as url, Source(url) as source, pytest.raises(SourceTooLarge):
        poller(ledger, source).poll(LAST)
    assert everything(ledger) == before


QUESTIONS = [
    "kube_pod_status_phase",
    "kube_pod_start_time",
    "kube_pod_annotations",
    "kube_pod_container_resource_requests",
    "kube_pod_container_info",
    "kube_pod_spec_volumes",
    "kube_persistentvolumeclaim_resource",
    "container_cpu_usage_seconds_total",
    "container_network_",
    "container_memory_working_set_bytes",
    "kube_namespace_created",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_bad_answer_among_good_ones_leaves_everything_as_it_was(
    good: Good, ledger: Database, right: Written, question: str
) -> None:
    def answer(path: str, params: Params, _: str) -> Reply:
        if question in params.get("query", ""):
            return Reply(500)
        return Reply(200, good.answer(path, params).content)

    before = everything(ledger)
    with server(answer) as url, Source(url) as source, pytest.raises(SourceUnavailable):
        poller(ledger, source).poll(LAST)
    assert everything(ledger) == before
    with Source(good.url) as source:
        poller(ledger, source).poll(LAST)
    assert written(ledger) == right


def spoiled(
    good: Good, file: Path, spoils: Callable[[str, dict[str, str]], bool], value: str
) -> tuple[Written, Report]:
    """Poll a source where the chosen rows of instant vectors have another value."""

    def answer(path: str, params: Params, _: str) -> Reply:
        reply = good.answer(path, params)
        body = reply.json()
        data = body.get("data")
        if isinstance(data, dict) and data.get("resultType") == "vector":
            for row in data["result"]:
                if spoils(params["query"], row["metric"]):
                    row["value"][1] = value
        return Reply(reply.status_code, json.dumps(body).encode())

    with server(answer) as url, opened(file) as database, Source(url) as source:
        database.ensure_current()
        report = poller(database, source).poll(LAST)
        return written(database), report


@dataclass(frozen=True)
class Nonsense:
    """A value of a metric that cannot be true, and the columns that it must leave out."""

    metric: str
    value: str
    reason: str
    columns: tuple[str, ...]


CPU = "container_cpu_usage_seconds_total"
HELD = ("core_seconds", "memory_mb_seconds", "gpu_seconds")
TIMES = ("start_at", "wall_seconds", "used_wall_seconds", *HELD)
SIZES = ("cpu_count", "memory_mb", *HELD)
USAGE = ("cpu_seconds", "used_cpu_seconds")
NONSENSE = [
    Nonsense("kube_pod_start_time", "NaN", "not a number", TIMES),
    Nonsense("kube_pod_start_time", "-5", "negative", TIMES),
    Nonsense("kube_pod_start_time", "1000000", "too small", TIMES),
    Nonsense("kube_pod_start_time", "99999999999", "absurdly large", TIMES),
    Nonsense(CPU, "NaN", "not a number", USAGE),
    Nonsense(CPU, "-1", "negative", USAGE),
    Nonsense(CPU, "+Inf", "absurdly large", USAGE),
    Nonsense("container_network_receive_bytes_total", "1e30", "absurdly large", ("received_gb",)),
    Nonsense("container_network_transmit_bytes_total", "NaN", "not a number", ("sent_gb",)),
    Nonsense("kube_pod_container_resource_requests", "NaN", "not a number", SIZES),
    Nonsense("kube_pod_container_resource_requests", "-2", "negative", SIZES),
]


@pytest.mark.parametrize("bad", NONSENSE, ids=[f"{b.metric} {b.value}" for b in NONSENSE])
def test_a_value_that_cannot_be_true_is_left_out_and_counted(
    good: Good, right: Written, tmp_path: Path, bad: Nonsense
) -> None:
    victim = next(
        p for p in good.cluster.counted_pods if p.flavor == "medium" and p.run_until < LAST
    )

    def spoils(query: str, labels: dict[str, str]) -> bool:
        path = labels.get("id", "").replace("_", "-")
        is_its_own = labels.get("uid") == victim.uid or victim.uid in path
        return is_its_own and bad.metric in (labels.get("__name__") or query)

    found, report = spoiled(good, tmp_path / "bad.db", spoils, bad.value)
    assert report.rejected[Rejected(bad.metric, Implausible(bad.reason))] >= 1
    assert not report.is_complete
    assert found.records.keys() == right.records.keys()
    for key, row in right.records.items():
        if key[0] != victim.uid:
            assert found.records[key] == row
        else:
            differing = {name for name in row if found.records[key][name] != row[name]}
            assert differing - {"digest", "flags"} <= set(bad.columns)
            assert bad.value not in map(str, found.records[key].values())


@pytest.mark.parametrize("value", ["NaN", "-1", "1e40"])
def test_disks_and_memory_peaks_that_cannot_be_true_are_unknown(
    good: Good, right: Written, tmp_path: Path, value: str
) -> None:
    def spoils(query: str, _: dict[str, str]) -> bool:
        return "storage_bytes" in query or "working_set_bytes" in query

    found, report = spoiled(good, tmp_path / "bad.db", spoils, value)
    assert {rejected.metric for rejected in report.rejected} >= {
        "kube_persistentvolumeclaim",
        "container_memory_working_set_bytes",
    }
    assert {row["disk_gb"] for row in found.records.values()} == {None}
    assert any(row["disk_gb"] for row in right.records.values())
    for key, row in found.records.items():
        assert row["memory_mb"] in {None, right.records[key]["memory_mb"]}
        assert row["cpu_seconds"] == right.records[key]["cpu_seconds"]
