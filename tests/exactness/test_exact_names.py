"""Two notebooks of one name, one after the other, whatever tells their use (M1, M3)."""

from collections.abc import Callable, Iterator

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.simulation.stores.engines import run_victoria_metrics
from accounting.store.engine.database import Database
from tests.exactness.matrix import combined
from tests.exactness.notebooks import ENGINES
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, imported, served, usual
from tests.exactness.varied import otel, own

EMITTERS: dict[str, Callable[[Case], str]] = {
    "bare ids": lambda case: case.cgroup(f"{case.number:064x}", "notebook"),
    "bare ids that are told on": lambda case: case.cgroup(f"{case.number:064x}", "notebook"),
    "named containers": lambda case: (
        f'container_cpu_usage_seconds_total{{namespace="{case.name}",pod="jupyter-a",container="n"}}'
    ),
    "named pods": lambda case: (
        f'pod_cpu_usage_seconds_total{{namespace="{case.name}",pod="jupyter-a"}}'
    ),
    "opentelemetry": otel,
}


TOLD_ON = 342


def in_turn(number: int, emitter: Callable[[Case], str]) -> list[Case]:
    """A user's second notebook has the name of the first, two minutes later."""
    cases = []
    for one, (since, until) in enumerate(((0, 3000), (3120, LIFE))):
        case = usual(f"in-turn-{number}", number + one)
        del case.seen[own(case)]
        case.say(emitter(case), lambda at, since=since: (at - since) / 2)  # type: ignore[misc]
        case.say(f"kube_pod_start_time{{{case.state}}}", lambda _, at=since: START + at)  # type: ignore[misc]
        for series, points in case.seen.items():
            if "namespace_created" not in series:
                case.seen[series] = [p for p in points if since <= p[0] - START <= until]
        cases.append(case)
    first, second = cases
    if number == TOLD_ON:  # its node has not heard of its end yet
        first.seen[emitter(first)] += [(START + at, 1500.0) for at in range(3060, 3301, 60)]
    for series in first.seen.keys() & second.seen.keys():
        points = second.seen.pop(series)
        if "namespace_created" not in series:
            first.seen[series] = [*first.seen[series], *points]
    return cases


IN_TURN = {
    name: in_turn(340 + 2 * number, emitter)
    for number, (name, emitter) in enumerate(EMITTERS.items())
}


ALL = [case for cases in IN_TURN.values() for case in cases]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("names"), ALL) as url:
        yield url


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_victoria_metrics(tmp_path_factory.mktemp("victoria") / "data") as engine:
        imported(engine.url, ALL)
        yield engine.url


@pytest.mark.parametrize(("name", "engine"), combined(IN_TURN, ENGINES))
def test_of_two_notebooks_of_one_name_each_has_its_own_use_whoever_tells_it(
    request: pytest.FixtureRequest, new_ledger: Callable[[], str], name: str, engine: str
) -> None:
    url, (first, second) = request.getfixturevalue(engine), IN_TURN[name]
    for every in (300, 430, 6 * 3600):
        with Database(new_ledger()) as database, Source(url) as source:
            database.ensure_current()
            one = poller(database, source, scope=Scope(first.name, "jupyter-.*"))
            for until in [*range(START + every, END, every), END]:
                one.poll(until)
            found = written(database).pods
        told = {uid: row["cpu_seconds"] for uid, row in found.items()}
        assert told == {first.uid: 1500, second.uid: (LIFE - 3120) // 2}, every
