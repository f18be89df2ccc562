"""From samples to what each pod used: resets, windows in any order, silences, endings, owners."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS
from accounting.measure.usage import ends, heartbeat
from accounting.measure.usage.accounts import absorb, acknowledge_owners
from accounting.measure.usage.counters import counting, falls
from accounting.measure.usage.heartbeat import Pulse
from accounting.measure.usage.samples import Samples, Sighting, Times
from accounting.measure.usage.uses import taken
from accounting.model.pods import (
    POD_LEVEL,
    Account,
    Counter,
    CounterKind,
    Owner,
    Pod,
    Reading,
    Resets,
    SeriesKey,
)
from accounting.model.time import Gap, Month, Window

UID = "6b4f0d5e-0000-4000-8000-000000000001"
CPU = SeriesKey(CounterKind.CPU, POD_LEVEL)
T = Month(2025, 11).start

Line = list[tuple[float, float]]


def sighting(first: float | None, last: float | None, listed: float) -> Sighting:
    return Sighting(UID, "hub", "jupyter-a", first, last, listed)


def window_of(points: Line, window: Window) -> Samples:
    """What a source that knows all points of one counter says about a window."""
    samples = Samples()
    inside = [point for point in points if window.start < point[0] <= window.end]
    said = near(points, window)
    if inside:
        samples.sightings[UID] = sighting(inside[0][0], inside[-1][0], inside[-1][0])
        samples.readings[UID] = {CPU: inside[-1][1]}
    if any(later[1] < earlier[1] for earlier, later in pairwise(said)):
        samples.raw[UID] = {CPU: said}
    return samples


def near(points: Line, window: Window) -> Line:
    """All samples, as they are read of a counter that fell."""
    reach = window.start - RESET_LOOKBACK_SECONDS
    return [point for point in points if reach < point[0] <= window.end]


def absorbed(points: Line, windows: Iterable[Window]) -> Account:
    accounts: dict[str, Account] = {}
    for window in windows:
        samples = window_of(points, window)
        uids = falls.fallen_uids(accounts, samples.readings, window)
        if uids or samples.raw:
            samples.raw[UID] = {CPU: near(points, window)}
        absorb(accounts, samples, window)
    return accounts[UID]


def figures(account: Account) -> tuple[Pod, Resets, float, dict[Month, float | None]]:
    """Everything that records are made of; not the ends of windows, which are of no account."""
    counter = account.counters[CPU]
    months = {month: reading.cpu_seconds for month, reading in account.readings.items()}
    return account.pod, counter.resets, counter.total, months


def every(seconds: int, *values: float) -> Line:
    return [(T + seconds * (n + 1), value) for n, value in enumerate(values)]


RESETS = [
    ("1: it only grows", [1, 5, 9], 9),
    ("2: a reset to zero", [1, 5, 9, 0, 2], 11),
    ("3: a reset to a little", [1, 5, 9, 3, 4], 13),
    ("4: two resets", [4, 0, 3, 0, 2], 9),
    ("5: a small dip is a late copy of another emitter", [100, 90, 110], 110),
    ("6: a dip at the end", [100, 90], 100),
    ("7: a dip, then a reset", [100, 90, 10, 20], 120),
    ("8: a fall to just under half is a reset", [10, 4.9, 5], 15),
    ("9: a fall to half is none", [10, 5, 6], 10),
    ("10: a counter that never moves", [0, 0, 0], 0),
    ("11: a single sample", [7], 7),
    ("12: a reset to the same value is not seen by anybody", [5, 5, 5], 5),
    ("13: a fall that is taken back faster than cores can count", [9e3, 0, 9010], 9010),
    ("14: so is one of two samples, to a little", [9e3, 20, 25, 9010], 9010),
    ("15: so are two", [9e3, 0, 9010, 4, 9020], 9020),
    ("16: what comes back may be a little older", [9e3, 0, 8999], 9e3),
    ("17: a fall at the end may yet be taken back", [9e3, 30], 9e3),
    ("18: nobody has taken it back in time", [9e3, 0, 9, 18, 27, 36, 45], 9045),
    ("19: it falls again before it is clear", [9e3, 500, 0, 9010], 9010),
    ("20: it restarts, and dips soon after", [9e3, 0, 900, 1800, 0, 1900, 2000], 11000),
    ("22: it goes on as before, which no restart does", [300, 315, 330, 345, 0, 9, 390], 390),
    ("23: it counts as much as before by chance", [300, 315, 330, 345, 0, 200, 500], 845),
    ("24: it idled and is busy now", [300, 300, 300, 300, 0, 180, 360], 660),
    ("25: young, and restarts again and again", [30, 90, 150, 210, 30, 90, 150, 210], 420),
    ("21: the cores can have counted that much", [400, 0, 410], 810),
]


@pytest.mark.parametrize(("case", "values", "total"), RESETS, ids=[c[0] for c in RESETS])
@pytest.mark.parametrize("length", [30, 60, 90, 600])
def test_resets_are_bridged_in_windows_of_any_length(
    case: str, values: list[float], total: float, length: int
) -> None:
    windows = [Window(at, at + length) for at in range(T, T + 600, length)]
    assert absorbed(every(30, *values), windows).counters[CPU].total == total, case


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """A counter that grows, dips for some samples, and starts again now and then."""
    value, longest = draw(st.sampled_from(((16.0, 900), (3e4, 900), (300.0, 200))))
    steps = draw(
        st.lists(st.tuples(st.integers(1, longest), st.integers(0, 9)), min_size=1, max_size=30)
    )
    times = accumulate((seconds for seconds, _ in steps), initial=0)
    points = []
    for at, (_, kind) in zip(times, steps, strict=False):
        said = {2: 0.0, 3: value * 0.3}.get(kind)
        value = {0: 1.0, 1: value * 0.75}.get(kind, value + kind)
        points.append((float(T + 1 + at), value if said is None else said))
    return points


@given(points=lines(), cuts=st.sets(st.integers(1, 30000), max_size=12), again=st.randoms())
def test_any_split_into_windows_gives_the_same_account(
    points: Line, cuts: set[int], again: Random
) -> None:
    end = int(points[-1][0]) + 1
    edges = [T, *sorted(T + cut for cut in cuts if T + cut < end), end]
    windows = [Window(start, until) for start, until in pairwise(edges)]
    whole = figures(absorbed(points, [Window(T, end)]))
    assert figures(absorbed(points, windows)) == whole
    repeated = [*windows, *windows]
    assert figures(absorbed(points, repeated)) == whole
    shuffled = list(windows)
    again.shuffle(shuffled)
    assert figures(absorbed(points, [*windows, *shuffled])) == whole


@given(points=lines(), cuts=st.sets(st.integers(1, 30000), max_size=12))
def test_what_was_counted_never_falls_whatever_the_counter_does(
    points: Line, cuts: set[int]
) -> None:
    edges = [T, *sorted(T + cut for cut in cuts), int(points[-1][0]) + 1]
    windows = [Window(start, end) for start, end in pairwise(edges) if start < end]
    so_far = [windows[:count] for count in range(1, len(windows) + 1)]
    seen = [part for part in so_far if points[0][0] <= part[-1].end]
    totals = [absorbed(points, part).counters[CPU].total for part in seen]
    assert totals == sorted(totals)


@pytest.mark.parametrize(
    ("values", "millijoules"),
    [
        ([7e9, 7.01e9, 7.02e9], 2e7),
        ([7e9, 7.01e9, 0.0, 7.02e9], 2e7),
        ([7e9, 7.01e9, 4e6, 4e6, 7.02e9], 2e7),
        # Its driver is loaded anew.
        ([7e9, 7.01e9, 0.0, 1e7, 2e7, 3e7, 4e7, 5e7], 6e7),
    ],
)
def test_a_device_s_counter_that_dips_does_not_count_its_whole_life(
    values: list[float], millijoules: float
) -> None:
    assert taken(every(30, *values), T // 86400) == millijoules


def test_an_older_window_read_again_does_not_touch_what_came_later() -> None:
    points = every(30, 1, 5, 9, 2, 6)
    windows = [Window(T, T + 90), Window(T + 90, T + 150)]
    account = absorbed(points, [*windows, windows[0]])
    assert account.counters[CPU] == Counter(T + 150, 6, ((T + 120, 9),))
    assert account.readings == {Month(2025, 11): Reading(T + 150, 15, None, None)}


def test_each_month_has_its_own_reading() -> None:
    end = Month(2025, 11).end
    points: Line = [(end - 40, 5.0), (end - 10, 8.0), (end + 20, 11.0)]
    account = absorbed(points, [Window(T, end), Window(end, end + 60)])
    assert account.readings == {
        Month(2025, 11): Reading(end, 8.0, None, None),
        Month(2025, 12): Reading(end + 60, 11.0, None, None),
    }


def test_a_sample_at_midnight_closes_the_month_before() -> None:
    end = Month(2025, 12).end
    assert Window(end - 60, end).month == Month(2025, 12)
    assert Window(end, end + 60).month == Month(2026, 1)


def test_a_pod_that_never_ran_has_no_page() -> None:
    accounts: dict[str, Account] = {}
    samples = Samples(sightings={UID: sighting(None, None, T + 30)})
    samples.readings[UID] = {CPU: 5.0}
    samples.memory_peaks[UID] = 5.0
    assert absorb(accounts, samples, Window(T, T + 60)) == set()
    assert accounts == {}


def test_what_was_said_first_stays_and_what_is_missing_is_filled_in() -> None:
    accounts: dict[str, Account] = {}
    first = Samples(sightings={UID: sighting(T + 10, T + 40, T + 40)}, images={UID: "one:1"})
    first.times[UID] = Times(created_at=T + 1.0)
    absorb(accounts, first, Window(T, T + 60))
    second = Samples(sightings={UID: sighting(T + 70, T + 100, T + 110)}, images={UID: "other:2"})
    second.times[UID] = Times(T + 2.0, T + 3.0, T + 105.0)
    second.owners[UID] = Owner("a", "vo.example.org", "small")
    second.claims[UID] = 5.0
    second.memory_peaks[UID] = 7.0
    assert absorb(accounts, second, Window(T + 60, T + 120)) == {UID}
    assert accounts[UID].pod == Pod(
        UID,
        "hub",
        "jupyter-a",
        T + 10,
        T + 100,
        T + 110,
        T + 1.0,
        T + 3.0,
        T + 105.0,
        Owner("a", "vo.example.org", "small"),
        None,
        "one:1",
        5.0,
        7.0,
    )


LEVELS = [
    ("1: nothing read", {}, None),
    ("2: the pod's own cgroup", {POD_LEVEL: 9.0}, 9.0),
    ("3: containers are added up", {"c1": 4.0, "c2": 3.0}, 7.0),
    ("4: levels are never added up", {POD_LEVEL: 9.0, "c1": 4.0, "c2": 3.0}, 9.0),
    ("5: the pod's cgroup was dropped later", {POD_LEVEL: 3.0, "c1": 4.0, "c2": 3.0}, 7.0),
]


@pytest.mark.parametrize(("case", "values", "total"), LEVELS, ids=[c[0] for c in LEVELS])
def test_cpu_is_of_one_level(case: str, values: dict[str, float], total: float | None) -> None:
    counters = {
        SeriesKey(CounterKind.CPU, name): Counter(T, value) for name, value in values.items()
    }
    assert counting.totals(counters, T) == Reading(T, total, None, None), case


def test_traffic_is_the_sum_of_the_interfaces_in_each_direction() -> None:
    counters = {
        SeriesKey(CounterKind.RECEIVED, "pod/eth0"): Counter(T, 5.0),
        SeriesKey(CounterKind.RECEIVED, "pod/eth1"): Counter(T, 6.0, ((T - 5, 1.0),)),
        SeriesKey(CounterKind.SENT, "pod/eth0"): Counter(T, 7.0),
    }
    assert counting.totals(counters, T) == Reading(T, None, 12.0, 7.0)


@pytest.mark.parametrize(
    ("value", "at", "has_fallen"),
    [(10.0, T, False), (5.0, T, False), (4.9, T, True), (4.9, T + 60, False)],
)
def test_a_counter_has_fallen_below_what_an_earlier_window_knew(
    value: float, at: int, has_fallen: bool
) -> None:
    account = Account(ran(T, T), {CPU: Counter(at, 10.0)})
    found = {UID: {CPU: value}, "unknown": {CPU: 0.0}}
    names = falls.fallen({UID: account}, found, Window(T, T + 60))
    assert names == ({"jupyter-a"} if has_fallen else set())


def ran(first: float, last: float, listed: float | None = None, **more: float | Owner) -> Pod:
    return Pod(UID, "hub", "jupyter-a", first, last, listed or last, **more)  # type: ignore[arg-type]


INTERVALS = [
    ("1: no samples", [], 60.0),
    ("2: one sample tells nothing", [[T]], 60.0),
    ("3: regular", [[T, T + 30, T + 60]], 30.0),
    ("4: jitter is rounded away", [[T, T + 29.99, T + 60.01]], 30.0),
    ("5: a hole does not matter", [[T, T + 30, T + 60, T + 3600, T + 3630]], 30.0),
    ("6: the slowest emitter counts", [[T, T + 30], [T, T + 60]], 60.0),
    ("7: never less than a second", [[T, T + 0.1]], 1.0),
]


@pytest.mark.parametrize(("case", "times", "seconds"), INTERVALS, ids=[c[0] for c in INTERVALS])
def test_the_scrape_interval_is_read_from_the_samples(
    case: str, times: list[list[float]], seconds: float
) -> None:
    series = [[(at, 1.0) for at in line] for line in times]
    assert heartbeat.scrape_interval(series, 60.0) == seconds, case


class Beat(NamedTuple):
    case: str
    times: Sequence[int]
    before: float | None
    spoken: float | None
    gaps: tuple[Gap, ...]
    spoke: bool


BEATS = [
    Beat("1: all the time", range(30, 601, 30), 0, T + 600, (), True),
    Beat("2: never", [], None, None, (), False),
    Beat("3: not in this window", [], -30, T - 30, (), False),
    Beat("4: a hole", [30, 60, 90, 400, 430, 460, 490], 0, T + 490, (Gap(T + 90, T + 400),), True),
    Beat("5: three intervals are none yet", [30, 60, 150, 180, 210], 0, T + 210, (), True),
    Beat("6: since before", [300, 330, 360], -30, T + 360, (Gap(T - 30, T + 300),), True),
    Beat("7: at the very first nothing was missed", [300, 330, 360], None, T + 360, (), True),
    Beat("8: the window's start is of the one before", [0, 30, 60], None, T + 60, (), True),
]


@pytest.mark.parametrize("beat", BEATS, ids=[b.case for b in BEATS])
def test_silences_are_told_from_the_source_s_heartbeat(beat: Beat) -> None:
    series = [[(float(T + at), 1.0) for at in beat.times]]
    before = None if beat.before is None else T + beat.before
    found = heartbeat.pulse(series, Window(T, T + 600), before, 30.0)
    assert found == Pulse(beat.spoken, 30.0, beat.gaps, beat.spoke)


class Ending(NamedTuple):
    case: str
    last_running: int
    last_listed: int
    spoken: int | None
    completed: int | None = None
    orphan: bool = False
    gaps: tuple[Gap, ...] = ()
    ended: bool = True
    end: int | None = None
    in_gap: bool = False


HOLE = (Gap(T + 110, T + 900),)
ENDINGS = [
    Ending("1: still seen", 600, 600, 600, ended=False),
    Ending("2: missing for one interval", 570, 570, 600, ended=False),
    Ending("3: missing for two intervals", 540, 540, 600, ended=False),
    Ending("4: missing for longer", 530, 530, 600, end=530),
    Ending("5: completed, with its time", 300, 600, 600, completed=315, end=315),
    Ending("6: evicted and still listed", 300, 600, 600, end=300),
    Ending("7: a side-car's completion does not end it", 600, 600, 600, completed=50, ended=False),
    Ending("8: a side-car's completion is not its end", 500, 500, 600, completed=50, end=500),
    Ending("9: cAdvisor still sees it", 300, 300, 600, orphan=True, ended=False),
    Ending("10: the source is silent, too", 110, 110, 120, ended=False),
    Ending("11: the source never spoke", 110, 110, None, ended=False),
    Ending("12: gone after a hole", 110, 110, 1000, gaps=HOLE, end=110, in_gap=True),
    Ending("13: gone just before a hole", 60, 60, 1000, gaps=HOLE, end=60, in_gap=True),
    Ending("14: gone well before it", 20, 20, 1000, gaps=HOLE, end=20),
    Ending("15: back after a hole", 990, 990, 1000, gaps=HOLE, ended=False),
    Ending("16: completed in a hole", 110, 950, 1000, completed=500, gaps=HOLE, end=500),
    Ending("17: evicted in a hole", 110, 950, 1000, gaps=HOLE, end=110, in_gap=True),
]


@pytest.mark.parametrize("case", ENDINGS, ids=[e.case for e in ENDINGS])
@pytest.mark.parametrize("before", [False, True])
def test_a_pod_has_ended_when_the_source_speaks_without_it(case: Ending, before: bool) -> None:
    pod = ran(T, T + case.last_running, T + case.last_listed)
    pod.completed_at = None if case.completed is None else float(T + case.completed)
    pod.ended = before and case.spoken is not None  # a pod that comes back was never gone
    beat = Pulse(None if case.spoken is None else T + case.spoken, 30.0, (), spoke=True)
    ends.settle({UID: Account(pod)}, beat, {UID} if case.orphan else set(), case.gaps)
    assert (pod.ended, pod.ended_in_gap) == (case.ended, case.in_gap)
    assert pod.end_at == (None if case.end is None else T + case.end)


def test_only_pods_whose_state_changed_are_named() -> None:
    gone, here = ran(T, T + 10), ran(T, T + 600)
    accounts = {"gone": Account(gone), "here": Account(here)}
    beat = Pulse(T + 600.0, 30.0, (), spoke=True)
    assert ends.settle(accounts, beat, set(), ()) == {"gone"}
    assert ends.settle(accounts, beat, set(), ()) == set()


STARTS = [
    ("1: its start", T + 5.7, T + 1.2, T + 5),
    ("2: its creation", None, T + 1.2, T + 1),
    ("3: its first sample", None, None, T + 30),
]


@pytest.mark.parametrize(
    ("case", "started", "created", "start"), STARTS, ids=[c[0] for c in STARTS]
)
def test_wall_time_starts_at(
    case: str, started: float | None, created: float | None, start: int
) -> None:
    pod = ran(T + 30.5, T + 60)
    pod.started_at, pod.created_at = started, created
    assert pod.start_at == start, case


OWNED = [(T + 100.0, T + 200.0)]
OWNERS = [
    ("1: it has annotations", 0, 50, Owner("a", "", ""), [], True),
    ("2: nobody has any", 100, 150, Owner(), [], False),
    ("3: somebody had some while it ran", 150, 250, Owner(), OWNED, True),
    ("4: somebody had some before", 300, 400, Owner(), OWNED, False),
    ("5: somebody had some afterwards", 0, 50, Owner(), OWNED, False),
    ("6: a group is enough", 0, 50, Owner("", "g", ""), [], True),
    ("7: a flavour alone is not", 0, 50, Owner("", "", "small"), [], False),
]


@pytest.mark.parametrize(
    ("case", "first", "last", "owner", "owned", "known"), OWNERS, ids=[c[0] for c in OWNERS]
)
def test_the_owner_is_known_if_annotations_were_shown_at_all(  # noqa: PLR0917 - the columns
    case: str, first: int, last: int, owner: Owner, owned: list[tuple[float, float]], known: bool
) -> None:
    account = Account(ran(T + first, T + last, owner=owner))
    acknowledge_owners([account], owned)
    assert account.pod.owner_known is known, case
    acknowledge_owners([account], [])
    assert account.pod.owner_known is known, "once known, it stays so"


@pytest.mark.parametrize(
    ("last_listed_at", "end_at"),
    [(1000.0, 1000), (1030.0, 1020)],
    ids=["vanished: the time is a side-car's", "listed on: the pod completed"],
)
def test_a_completion_time_counts_once_the_pod_is_listed_as_not_running(
    last_listed_at: float, end_at: int
) -> None:
    ended = Pod("uid", "hub", "jupyter-a", 500.0, 1000.0, last_listed_at)
    ended.completed_at, ended.ended = 1020.0, True
    assert ended.end_at == end_at
