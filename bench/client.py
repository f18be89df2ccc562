"""Reading a bulk answer: prometheus-api-client against urllib3 with msgspec.

``python -m bench.client WHICH URL QUERY AT`` asks once to warm up, then a few times, and prints
the seconds of each and the megabytes that they added to the process' peak memory.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import msgspec

from accounting.measure.promql import ksm, kubelet
from accounting.measure.promql.scope import Scope
from accounting.model.time import Window
from accounting.simulation.stores.engines import Engine
from bench.dataset import POD_PATTERN, Dataset
from bench.figures import Figure
from bench.process import run

LIBRARIES = ("prometheus-api-client", "urllib3 + msgspec")
_ROUNDS = 3
_SPAN_SECONDS = 6 * 3600

Asker = Callable[[str, float], int]


class Reading(msgspec.Struct):
    """What one library did: seconds for a query, megabytes before and after, rows read."""

    seconds: float
    before_mb: float
    peak_mb: float
    rows: int


class Bulk(NamedTuple):
    """A large question."""

    title: str
    query: str
    at: int


def measure(engine: Engine, dataset: Dataset) -> list[Figure]:
    """Both libraries with both kinds of answers."""
    figures = []
    for bulk in _questions(dataset):
        for library in LIBRARIES:
            module = [sys.executable, "-m", "bench.client"]
            cost = run([*module, library, engine.url, bulk.query, str(bulk.at)])
            read = msgspec.json.decode(cost.output, type=Reading)
            title = f"{bulk.title}: {library}"
            figures += [
                Figure(title, read.seconds, "s", note=f"{read.rows:,} series"),
                Figure("… memory added", read.peak_mb - read.before_mb, "MB"),
                Figure("… peak memory", read.peak_mb, "MB"),
            ]
    return figures


def _questions(dataset: Dataset) -> list[Bulk]:
    """A vector with a row for each pod of the span, and raw samples of a quarter of it."""
    scope = Scope(dataset.namespace, POD_PATTERN)
    whole = Window(dataset.start, dataset.end)
    quarter = Window(dataset.end - _SPAN_SECONDS, dataset.end)
    return [
        Bulk("last values", kubelet.network(scope, whole, kubelet.RECEIVED), dataset.end),
        Bulk("raw samples", ksm.running(scope, quarter), dataset.end),
    ]


def _foreign(url: str) -> Asker:
    from prometheus_api_client import PrometheusConnect  # noqa: PLC0415 - its import is measured

    client = PrometheusConnect(url=url)
    return lambda query, at: len(client.custom_query(query, params={"time": str(at)}))


def _own(url: str) -> Asker:
    from accounting.measure.source.prometheus import Source  # noqa: PLC0415 - its import is measured

    source = Source(url)

    def ask(query: str, at: float) -> int:
        if query.endswith("ms]"):
            return sum(1 for _ in source.sightings(query, at))
        return len(source.vector(query, at))

    return ask


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(library: str, url: str, query: str, at: str) -> None:
    """Measure one library in this process."""
    ask = (_foreign if library == LIBRARIES[0] else _own)(url)
    before = _peak_mb()
    rows = ask(query, float(at))
    seconds = []
    for _ in range(_ROUNDS):
        begun = time.monotonic()
        ask(query, float(at))
        seconds.append(time.monotonic() - begun)
    reading = Reading(median(seconds), before, _peak_mb(), rows)
    print(json.dumps(msgspec.to_builtins(reading)))


if __name__ == "__main__":
    main(*sys.argv[1:])
