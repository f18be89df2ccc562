"""Of which pods more is asked than the last values: no more than need be, and never too little."""

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.measure.usage.counters import counting, doubts, falls
from accounting.measure.usage.counters.restarts import OWN
from accounting.measure.usage.samples import Samples, Sighting
from accounting.model.pods import Account, Counter, CounterKind, Pod, SeriesKey
from accounting.model.time import Month, Window

UID, NAME = "6b4f0d5e-0000-4000-8000-000000000001", "jupyter-a"
T = Month(2025, 11).start
HOUR = 3600
WINDOW = Window(T + 12 * HOUR, T + 18 * HOUR)
JOULES = SeriesKey(CounterKind.ENERGY, "package")

Line = list[tuple[float, float]]


def page(last_running_at: float, *, ended: bool = False, at: int = WINDOW.start) -> Account:
    pod = Pod(UID, "hub", NAME, T, last_running_at, last_running_at, ended=ended)
    return Account(pod, counters={OWN: Counter(at, 100.0)})


def seen(first: float | None, last: float | None) -> Samples:
    sighting = Sighting(UID, "hub", NAME, first, last, WINDOW.end)
    return Samples(sightings={UID: sighting})


@pytest.mark.parametrize(
    ("account", "samples", "is_suspect"),
    [
        (page(WINDOW.start - HOUR, ended=True), seen(None, None), False),
        (page(WINDOW.start - 800, ended=True), seen(None, None), True),
        (page(WINDOW.start - HOUR, ended=True), seen(WINDOW.start + 60, WINDOW.end), True),
        (page(WINDOW.start - HOUR, ended=True), Samples(), False),
        (page(WINDOW.start), seen(WINDOW.start + 60, WINDOW.end), True),
        (page(WINDOW.start), seen(None, None), True),
        (page(WINDOW.start), Samples(), True),
    ],
    ids=[
        "ended long ago and is listed on",
        "ended within reach",
        "ended and came back",
        "ended and is gone",
        "runs on without its cgroup",
        "completed at the window's start",
        "is gone since",
    ],
)
def test_of_a_pod_whose_cgroup_is_silent_all_is_read_until_it_ended_long_ago(
    account: Account, samples: Samples, is_suspect: bool
) -> None:
    found = doubts.switched(samples, {UID: account}, WINDOW, but=set())
    assert found == ({NAME} if is_suspect else set())


@pytest.mark.parametrize(
    ("at", "previous", "is_told", "is_silent", "is_unseen"),
    [
        (WINDOW.start, Window(WINDOW.start - 6 * HOUR, WINDOW.start), True, True, False),
        (WINDOW.start, Window(WINDOW.start - 6 * HOUR, WINDOW.start), False, True, True),
        (WINDOW.start, Window(WINDOW.start - 300, WINDOW.start), False, False, False),
        (WINDOW.start - HOUR, Window(WINDOW.start - 300, WINDOW.start), True, True, True),
        (WINDOW.start, None, False, True, True),
    ],
    ids=[
        "told of shortly before a long window's end",
        "silent then",
        "read by a short window",
        "silent for a whole window",
        "nothing known of the window before",
    ],
)
def test_the_lowest_value_is_asked_for_where_the_look_for_falls_does_not_reach(
    at: int, previous: Window | None, is_told: bool, is_silent: bool, is_unseen: bool
) -> None:
    samples = seen(WINDOW.start + 60, WINDOW.end)
    samples.readings[UID] = {OWN: 200.0}
    silent, unseen, _ = doubts.doubtful(
        samples,
        {UID},
        {UID: page(WINDOW.start, at=at)},
        WINDOW,
        previous,
        told_before={UID} if is_told else set(),
    )
    assert (bool(silent), bool(unseen)) == (is_silent, is_unseen)


def every_minute(*values: float) -> Line:
    return [(WINDOW.start + 60.0 * (n + 1), value) for n, value in enumerate(values)]


def told(line: Line, key: SeriesKey) -> Samples:
    return Samples(raw={UID: {key: line}})


@pytest.mark.parametrize(
    ("values", "may_come_back"),
    [
        ([100, 200, 300, 400], False),
        ([9000, 9010, 0, 10, 20, 30, 40, 50], False),
        ([9000, 9010, 0, 9020, 9030, 9040], True),
        ([9000, 9010, 0, 10, 20, 9040, 9050], True),
        ([9000, 9010, 0, 10, 20, 30, 9050], False),
        ([9000, 9010, 0, 10], True),
        ([90, 95, 0, 60, 120, 180], True),
    ],
    ids=[
        "it only grows",
        "Kepler restarts",
        "a low sample",
        "three",
        "it is clear by then",
        "not clear yet",
        "a young one is soon where it was",
    ],
)
def test_how_fast_joules_can_grow_matters_where_a_fall_may_be_taken_back(
    values: list[float], may_come_back: bool
) -> None:
    found = falls.falling({}, told(every_minute(*values), JOULES))
    assert found == ({UID} if may_come_back else set())


def test_it_matters_for_each_restart_of_a_node_and_for_falls_that_are_known() -> None:
    line = every_minute(9000, 9010, 0, 10, 20, 30, 40, 50)
    assert falls.falling({}, told(line, OWN)) == {UID}
    counter = Counter(WINDOW.end, 50.0, ((line[2][0], 9010.0),))
    account = replace(page(WINDOW.end), counters={JOULES: counter})
    assert falls.falling({UID: account}, told(line, JOULES)) == {UID}


steps = st.lists(
    st.tuples(
        st.sampled_from([30.0, 60.0, 200.0]),
        st.one_of(st.floats(0, 100), st.sampled_from([0.0, 1.0, 4000.0, 9000.0])),
        st.booleans(),
    ),
    min_size=2,
    max_size=14,
)


@given(steps)
def test_where_it_does_not_matter_any_limit_gives_the_same_joules(
    some: list[tuple[float, float, bool]],
) -> None:
    times = accumulate((seconds for seconds, _, _ in some), initial=float(WINDOW.start))
    value, line = 0.0, []
    for at, (_, more, falls_here) in zip(times, some, strict=False):
        value = more if falls_here else value + more
        line.append((at + 1, value))
    if not falls.falling({}, told(line, JOULES)):
        assert len({joules(line, cores) for cores in (0.001, 1.0, 4000.0)}) == 1


def joules(line: Line, limit: float) -> tuple[object, ...]:
    samples = told(line, JOULES)
    samples.limits[UID] = [(at, limit) for at, _ in line]
    account = replace(page(WINDOW.end), counters={})
    counting.count(account, samples, WINDOW, WINDOW.month)
    counter = account.counters[JOULES]
    return counter.value, counter.resets, counter.fell_at, counter.total
