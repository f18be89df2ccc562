"""A window is (start, end] in whatever engine: with ranges closed at both ends, or left-open."""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from accounting.measure.poller import next_window
from accounting.measure.promql.scope import Scope, span
from accounting.measure.source import discovery
from accounting.measure.source.prometheus import Source
from accounting.model.time import Window
from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.notebooks import ENGINES, START, served

SCOPE = Scope(NAMESPACE, "jupyter-.*")
START_MS = START * 1000


def selected(times_ms: Iterable[int], window: Window, *, is_closed: bool) -> list[int]:
    """The samples that an engine selects: in [end - range, end], or in (end - range, end]."""
    text = span(replace(SCOPE, is_closed=is_closed), window)
    found = re.fullmatch(r"\[(\d+)ms\]", text)
    assert found is not None
    first, last = window.end * 1000 - int(found[1]), window.end * 1000
    return [at for at in times_ms if first <= at <= last and (is_closed or at > first)]


@given(
    times=st.lists(st.integers(-2000, 90_000)),
    cuts=st.sets(st.integers(1, 89), max_size=6),
)
@example(times=[0, 1, 29_999, 30_000, 30_001, 90_000], cuts={30})
def test_every_sample_is_in_one_window_in_either_kind_of_engine(
    times: list[int], cuts: set[int]
) -> None:
    edges = [START + second for second in sorted({0, 90, *cuts})]
    samples = [START_MS + at for at in times]
    for is_closed in (True, False):
        for start, end in pairwise(edges):
            window = Window(start, end)
            right = [at for at in samples if start * 1000 < at <= end * 1000]
            assert selected(samples, window, is_closed=is_closed) == right


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_select_what_a_window_holds(tmp_path: Path, engine: str) -> None:
    """Samples at a window's start, a millisecond later, at its end, and a millisecond after it."""
    series = f'container_cpu_usage_seconds_total{{namespace="{NAMESPACE}",pod="jupyter-a"}}'
    points = [(START + at, float(n)) for n, at in enumerate((0, 0.001, 30, 60, 60.001))]
    with served(tmp_path, {series: points}, engine) as url, Source(url) as source:
        scope = discovery.spelled(source, SCOPE, START, START + 120)
        found = {}
        for start, end in ((START - 60, START), (START, START + 60), (START + 60, START + 120)):
            over = span(scope, Window(start, end))
            rows = source.raw(f"{series}{over}", end)
            found[start - START] = [value for _, values in rows for _, value in values]
    assert found == {-60: [0.0], 0: [1.0, 2.0, 3.0], 60: [4.0]}


@pytest.mark.parametrize(
    ("start", "until", "length", "end"),
    [
        (50, 450, 200, 200),
        (200, 500, 1000, 500),
        (200, 500, 200, 400),
        (500, 900, 300, 800),
    ],
    ids=["two windows at once", "up to the last", "a longer one, in parts", "what is new"],
)
def test_windows_that_are_read_again_end_where_they_ended(
    start: int, until: int, length: int, end: int
) -> None:
    edges = [100, 200, 500]
    assert next_window(start, until, length, edges=edges) == Window(start, end)
