"""Counters that leap for a sample: what no node can have used is set aside (cases.md, 1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.notebooks import month_end
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, served, usual

SPIKE = 1.73e9
TO_MONTH_END = month_end(START) - START - 3600


@dataclass
class Expected:
    """The right CPU seconds of a case; ``shift`` is how much later all of it happens, seconds."""

    case: Case
    cpu: int | None = LIFE // 2
    shift: int = 0


def own(case: Case) -> str:
    return case.cgroup(f"/kubepods/burstable/pod{case.uid}")


def leaping(number: int, *samples: int, value: float = SPIKE) -> Case:
    """A notebook of which some samples of its own cgroup leap, by their number."""
    case = usual(f"leaping-{number}", number)
    points = case.seen[own(case)]
    for sample in samples:
        points[sample] = (points[sample][0], value)
    return case


def at_the_first_sample() -> Expected:
    return Expected(leaping(200, 0))


def at_the_first_sample_of_two_jobs() -> Expected:
    """An HA pair: the same twice, some seconds later."""
    case = leaping(201, 0)
    twin = own(case).replace("{", '{job="b",', 1)
    case.seen[twin] = [(at + 7, value) for at, value in case.seen[own(case)][:-1]]
    return Expected(case)


def twice_one_after_the_other() -> Expected:
    return Expected(leaping(202, 40, 41))


def twice_apart() -> Expected:
    return Expected(leaping(203, 20, 90))


def at_the_last_sample() -> Expected:
    return Expected(leaping(204, -1), LIFE // 2 - 30)


def at_the_last_sample_by_less() -> Expected:
    """Less than a large node could use in a window of six hours, but not in a minute."""
    return Expected(leaping(205, -1, value=1e6), LIFE // 2 - 30)


def at_the_last_sample_beyond_all_measure() -> Expected:
    return Expected(leaping(206, -1, value=1.8e19), LIFE // 2 - 30)


def at_the_last_sample_without_a_number() -> Expected:
    return Expected(leaping(207, -1, value=float("nan")), LIFE // 2 - 30)


def at_a_month_s_end() -> Expected:
    """The last sample of the month is the spike."""
    return Expected(leaping(208, 60), shift=TO_MONTH_END)


def just_after_a_month_s_end() -> Expected:
    return Expected(leaping(209, 61), shift=TO_MONTH_END)


def of_a_container_at_its_first_sample() -> Expected:
    case = usual("leaping-210", 210)
    points = case.seen.pop(own(case))
    path = f"/kubepods/burstable/pod{case.uid}/{'ab' * 32}"
    case.seen[case.cgroup(path, "notebook")] = [(points[0][0], SPIKE), *points[1:]]
    return Expected(case)


def of_a_container_at_its_last_sample() -> Expected:
    case = usual("leaping-211", 211)
    points = case.seen.pop(own(case))
    path = f"/kubepods/burstable/pod{case.uid}/{'ab' * 32}"
    case.seen[case.cgroup(path, "notebook")] = [*points[:-1], (points[-1][0], SPIKE)]
    return Expected(case, LIFE // 2 - 30)


def of_the_resource_endpoint() -> Expected:
    case = usual("leaping-212", 212)
    points = case.seen.pop(own(case))
    points[30] = (points[30][0], SPIKE)
    points[-1] = (points[-1][0], SPIKE)
    place = f'namespace="{case.name}",pod="jupyter-a"'
    case.seen[f"pod_cpu_usage_seconds_total{{{place}}}"] = points
    return Expected(case, LIFE // 2 - 30)


def of_all_samples() -> Expected:
    """A counter that nothing true is known of."""
    return Expected(leaping(213, *range(121)), None)


MADE = (
    at_the_first_sample,
    at_the_first_sample_of_two_jobs,
    twice_one_after_the_other,
    twice_apart,
    at_the_last_sample,
    at_the_last_sample_by_less,
    at_the_last_sample_beyond_all_measure,
    at_the_last_sample_without_a_number,
    at_a_month_s_end,
    just_after_a_month_s_end,
    of_a_container_at_its_first_sample,
    of_a_container_at_its_last_sample,
    of_the_resource_endpoint,
    of_all_samples,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE}
TOGETHER = "leaping"


def moved(expected: Expected) -> Case:
    """In one namespace with the others that happen at the same time, and as much later."""
    case, seconds = expected.case, expected.shift
    place, name = f'namespace="{case.name}"', f'pod="jupyter-{case.number}"'
    case.seen = {
        series.replace(place, f'namespace="{TOGETHER}-{seconds}"').replace(
            'pod="jupyter-a"', name
        ): [
            (at + seconds, value + seconds if "_time{" in series else value) for at, value in points
        ]
        for series, points in case.seen.items()
    }
    return case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cases = [moved(expected) for expected in CASES.values()]
    with served(tmp_path_factory.mktemp("spikes"), cases) as url:
        yield url


@pytest.mark.parametrize("shift", [0, TO_MONTH_END])
@pytest.mark.parametrize("every", [300, 600, 6 * 3600])
def test_a_leap_is_set_aside_and_counted_in_any_steps(
    store: str, new_ledger: Callable[[], str], shift: int, every: int
) -> None:
    rejected = 0
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(f"{TOGETHER}-{shift}", "jupyter-.*"))
        start, end = START + shift, END + shift
        for until in [*range(start + every, end, every), end]:
            rejected += one.poll(until).rejected.total()
        found = written(database)
    right = {name: one for name, one in CASES.items() if one.shift == shift}
    told = {name: found.pods[one.case.uid]["cpu_seconds"] for name, one in right.items()}
    assert told == {name: one.cpu for name, one in right.items()}
    assert rejected > 0
    for (uid, *_), row in found.records.items():
        assert row["wall_seconds"] <= LIFE
        parts = [r["used_cpu_seconds"] for k, r in sorted(found.records.items()) if k[0] == uid]
        if shift:
            assert parts in ([1770, 1830], [1800, 1800])
