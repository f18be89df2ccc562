"""Sources that refuse: a poll leaves everything as it was, or asks for less at a time."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from accounting.errors import SourceTooLarge, SourceUnavailable
from accounting.measure.promql import kepler
from accounting.measure.source.prometheus import Source
from accounting.measure.source.querier import Querier
from accounting.model.time import Window
from accounting.store.engine.database import Database
from tests.exactness.polling import SCOPE, Written, poller, written
from tests.measure.answers import BAD, ERROR, LOGIN, WHOLE, Bad, Params, Reply, says, server, vector
from tests.measure.hours import LAST, MIDDLE, Good, everything, opened


@pytest.mark.parametrize("bad", BAD, ids=[b.name for b in BAD])
def test_a_poll_of_a_bad_source_leaves_everything_as_it_was(ledger: Database, bad: Bad) -> None:
    before = everything(ledger)
    with (
        server(lambda *_: bad.reply) as url,
        Source(url, timeout_seconds=bad.timeout_seconds) as source,
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
    "by a server that dies of it": Reply(502, b"<html>"),
    "by a network before it": Reply(524, b"<html>"),
    "by nobody": Reply(200, WHOLE, delay=4.0),
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
        Source(url, timeout_seconds=2 if REFUSED[how].delay else 60) as source,
    ):
        database.ensure_current()
        poller(database, source).poll(LAST, MIDDLE - 3600)
        found = written(database)
    assert refused
    assert found.records == right.records


def test_a_question_about_whole_hours_is_halved_until_the_store_agrees() -> None:
    asked = []

    def answer(_: str, params: Params, __: str) -> Reply:
        asked.append(round(longest_range(params)))
        if asked[-1] > 1000:
            return REFUSED["of its length"]
        return vector(({"pod_id": "a"}, params["time"]))

    with server(answer) as url, Source(url) as source, ThreadPoolExecutor(2) as workers:
        querier = Querier(source, replace(SCOPE, energy_zones=("package",)), workers)
        parts = querier.ask_in_parts(kepler.joules, Window(7200, 10800)).read_parts()
    assert [value for ((_, value),) in parts] == [8100, 9000, 9900, 10800]
    assert sorted(asked) == [900] * 4 + [1800] * 2 + [3600]


@pytest.mark.parametrize(
    "error",
    [
        # Prometheus, Mimir, Cortex, Thanos (three), parts of one store, VictoriaMetrics (three)
        "query processing would load too many samples into memory in query execution",
        "the query exceeded the maximum number of chunks (err-mimir-max-chunks-per-query)",
        "the query hit the max number of series limit (limit: 100000 series)",
        "exceeded series limit: rpc error: code = Code(422)",
        "fetch series: exceeded chunks limit: limit 10 violated (got 11)",
        "rpc error: code = ResourceExhausted desc = proxy: too much",
        "received message larger than max (4195 vs. 4194)",
        "the number of matching timeseries exceeds 300000; increase -search.maxUniqueTimeseries",
        "not enough memory for processing 100 data points across 20 time series",
        "timeout exceeded while executing query",
        # Cortex, M3, and a store for a month
        "the query hit the aggregated chunks size limit (limit: 1000 bytes)",
        "query aborted, exceeded limit: name=docs-matched, limit=10",
        "query time range exceeded the maximum of 32 days",
    ],
)
def test_stores_say_in_many_ways_that_a_question_is_too_large(error: str) -> None:
    reply = says(422, **ERROR, error=error)
    with server(lambda *_: reply) as url, Source(url) as source, pytest.raises(SourceTooLarge):
        source.vector("up", LAST)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        # VictoriaMetrics, a gateway
        (503, "couldn't start executing: -search.maxConcurrentRequests=8 requests are executed"),
        (429, "API rate limit exceeded"),
        (429, "too many outstanding requests"),
    ],
)
def test_a_store_that_is_busy_is_not_asked_in_parts(status: int, error: str) -> None:
    reply = says(status, **ERROR, error=error)
    with (
        server(lambda *_: reply) as url,
        Source(url) as source,
        pytest.raises(SourceUnavailable) as no,
    ):
        source.vector("up", LAST)
    assert not isinstance(no.value, SourceTooLarge)


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


def only_few(params: Params) -> bool:
    """Whether a question names at most ten pods, or is about none."""
    query = params.get("query", "")
    about_pods = re.search(r"kube_pod_|container_|phase=", query)
    named = re.findall(r'(?:pod|uid)=~"([^"]*)"', query)
    return not about_pods or any(names.count("|") < 10 for names in named)


def test_a_store_that_refuses_the_shortest_window_is_asked_about_some_pods_at_a_time(
    good: Good, ledger: Database, right: Written
) -> None:
    refused = []

    def answer(path: str, params: Params, _: str) -> Reply:
        if not only_few(params) or longest_range(params) > 3700:
            refused.append(path)
            return REFUSED["of its series"]
        return Reply(200, good.answer(path, params).content)

    with server(answer) as url, Source(url) as source:
        poller(ledger, source, step=1800).poll(LAST)
    assert refused
    assert written(ledger) == right
