"""One level of CPU goes on where another one fell silent: what the pod used in all."""

import pytest

from accounting.measure.usage.counters import takeovers
from accounting.measure.usage.counters.restarts import OWN
from accounting.model.pods import Counter, CounterKind, SeriesKey
from accounting.model.time import Month

T = Month(2025, 11).start


@pytest.mark.parametrize(
    ("what", "first", "value", "grown"),
    [
        ("whole seconds: it may have counted 3.9 by then", (T + 60, 3.0), 7.0, 3.0),
        ("parts of seconds", (T + 60, 3.5), 7.0, 3.5),
        ("it has not moved since", (T + 60, 3.0), 3.0, 0.0),
        ("whole seconds of one that began later", (T + 300, 3.0), 7.0, 7.0),
    ],
)
def test_what_takes_over_after_a_restart_adds_no_more_than_it_has_grown(
    what: str, first: tuple[float, float], value: float, grown: float
) -> None:
    before = Counter(T, 10.5, ((T - 60, 90.0),), (T - 600, 0.0), T)
    counters = {
        OWN: before,
        SeriesKey(CounterKind.CPU, "a" * 64): Counter(T + 600, value, (), first),
        SeriesKey(CounterKind.CPU, "b" * 64): Counter(T + 600, 0.25, (), (T + 60, 0.25)),
    }
    assert takeovers.best_level(counters) == 100.5 + grown, what


def test_a_level_that_speaks_again_adds_what_another_one_has_not_seen() -> None:
    """Containers, then the resource endpoint over a node's reboot, then containers again."""
    counters = {
        SeriesKey(CounterKind.CPU, "a" * 64): Counter(T, 40.0, (), (T - 60, 10.0), T),
        SeriesKey(CounterKind.CPU, "pod@resource"): Counter(
            T + 900, 10.0, ((T + 300, 400.0),), (T + 30, 70.0), T + 840
        ),
        SeriesKey(CounterKind.CPU, "b" * 64): Counter(
            T + 1800, 120.5, (), (T + 870, 12.5), T + 1800
        ),
    }
    assert takeovers.best_level(counters) == 410.0 + 108.0


@pytest.mark.parametrize(
    ("what", "earlier", "first", "total"),
    [
        ("the node rebooted meanwhile: all is new", "pod@resource", 85.0, 1000.0 + 490.0),
        ("so where containers were told before", "a" * 64, 85.0, 1000.0 + 490.0),
        ("it did not: it had counted as much", "pod@resource", 900.0, 1000.0),
        ("an earlier tool's figures show nothing", "imported", 85.0, 1000.0 + 405.0),
    ],
)
def test_a_cgroup_that_has_less_than_another_source_said_before_is_new(
    what: str, earlier: str, first: float, total: float
) -> None:
    seen_at = None if earlier == "imported" else float(T)
    counters = {
        SeriesKey(CounterKind.CPU, earlier): Counter(T, 1000.0, (), (T - 900, 0.0), seen_at),
        OWN: Counter(T + 900, max(490.0, first), (), (T + 120, first), T + 900),
    }
    assert takeovers.best_level(counters) == total, what


def test_a_source_adds_nothing_of_before_it_was_heard_again() -> None:
    """It had restarted before; the pod's cgroup counted that, too."""
    counters = {
        OWN: Counter(T + 900, 100.0, ((T + 300, 400.0),), (T, 10.0), T + 840),
        SeriesKey(CounterKind.CPU, "pod@resource"): Counter(
            T + 1800, 150.0, ((T + 310, 390.0),), (T + 870, 105.0), T + 1800
        ),
    }
    assert takeovers.best_level(counters) == 500.0 + 45.0
