"""Since when which pod had a name, where a scrape drops the label ``uid``."""

import pytest

from accounting.measure.source.uids import Span, spans_of

Told = list[tuple[float, float]]


def listed(since: float, until: float, made_at: float) -> Told:
    """What kube-state-metrics says of a pod's creation, each half a minute."""
    return [(float(at), made_at) for at in range(int(since), int(until), 30)]


FIRST, SECOND = listed(1000, 2000, 990.0), listed(2100, 3000, 2090.0)
CASES: dict[str, tuple[dict[str, float], Told, list[Span]]] = {
    "nobody says when they were made": (
        {"b": 2110.0, "a": 1010.0},
        [],
        [(890.0, "a"), (1990.0, "b")],
    ),
    "the next one from its first sample on": (
        {"b": 2110.0, "a": 1010.0},
        [*SECOND, *FIRST],
        [(1000.0, "a"), (2100.0, "b")],
    ),
    "the next one has not begun": ({"a": 1010.0}, FIRST + SECOND, [(1000.0, "a"), (2100.0, "")]),
    "one never began": (
        {"a": 1010.0, "c": 3110.0},
        [*FIRST, *SECOND, *listed(3100, 4000, 3090.0)],
        [(1000.0, "a"), (2100.0, ""), (3100.0, "c")],
    ),
    "two scrapers": (
        {"a": 1010.0, "b": 2110.0},
        [*FIRST, *listed(2093, 3000, 2090.0), *SECOND],
        [(1000.0, "a"), (2093.0, "b")],
    ),
    "its cgroup comes before it is listed": (
        {"a": 1010.0, "b": 2095.0},
        FIRST + SECOND,
        [(1000.0, "a"), (2100.0, "b")],
    ),
    "the API server's clock is ahead": (
        {"a": 1010.0, "b": 2110.0},
        [*FIRST, *listed(2100, 3000, 2190.0)],
        [(1000.0, "a"), (2100.0, "b")],
    ),
    "nobody speaks of the earlier one": (
        {"a": 1010.0, "b": 2110.0},
        SECOND,
        [(2100.0, "b")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_name_is_a_pod_s(name: str) -> None:
    seen, created, spans = CASES[name]
    assert spans_of(seen, created) == spans
