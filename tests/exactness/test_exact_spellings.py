"""Scrapes that honour labels beside others that do not: both spellings are read (cases.md, 2)."""

from collections.abc import Callable, Iterator

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, served, usual

OTHERS = 'namespace="monitoring",pod="exporter-0"'


def renamed(series: str, *, job: str = "other", container: bool = False) -> str:
    """As a scrape without honor_labels stores it."""
    metric, _, labels = series.partition("{")
    for name in ("namespace", "pod", *(["container"] if container else [])):
        labels = labels.replace(f'{name}="', f'exported_{name}="').replace("exported_exported", "")
    target = ',container="exporter"' if container else ""
    return f'{metric}{{job="{job}",{OTHERS}{target},{labels}'


def split(case: Case, since: int, *, first: bool = False, metrics: str = "") -> Case:
    """From a time on, or until then, the series of some metrics are spelled in the other way."""
    for series in [name for name in case.seen if name.startswith(metrics)]:
        points = case.seen.pop(series)
        early = [point for point in points if point[0] - START < since]
        late = [point for point in points if point[0] - START >= since]
        case.seen[series] = late if first else early
        case.seen[renamed(series)] = early if first else late
    return case


def switched_off() -> Case:
    """honor_labels is taken away while the notebook runs."""
    return split(usual("off", 220), 3000)


def switched_on() -> Case:
    return split(usual("on", 221), 4000, first=True)


def of_the_kubelets_alone() -> Case:
    return split(usual("kubelets", 222), 3000, metrics="container_")


def of_state_alone_and_before_the_notebook() -> Case:
    """An earlier notebook of another user is known in the other spelling only."""
    return split(usual("state", 223), 60, first=True, metrics="kube_")


def both_all_the_time() -> Case:
    case = usual("both", 224)
    case.seen |= {
        renamed(series, container=True): list(points) for series, points in case.seen.items()
    }
    return case


def of_another_namespace() -> Case:
    """A foreign series with such labels says nothing of ours."""
    case = usual("foreign", 225)
    foreign = renamed(case.cgroup("/kubepods/podx")).replace('"foreign"', '"elsewhere"')
    case.seen[foreign] = [(START + at, 1) for at in range(0, LIFE, 60)]
    return case


def of_another_namespace_by_an_exporter_in_ours() -> Case:
    """A second job's kube-state-metrics runs in our namespace, and tells of others' pods, too."""
    case = usual("ours", 226)
    own = 'namespace="ours",pod="ksm-0",job="second"'
    for series in [name for name in case.seen if name.startswith("kube_")]:
        theirs = series.replace("namespace=", "exported_namespace=", 1)
        theirs = theirs.replace(',pod="', ',exported_pod="').replace("{", f"{{{own},", 1)
        theirs = theirs.replace('exported_namespace="ours"', 'exported_namespace="theirs"')
        points = case.seen[series]
        case.seen[theirs.replace(case.uid, case.uid[:-2] + "ff")] = [
            (at, value - 777 if "namespace_created" in series else value) for at, value in points
        ]
    return case


MADE = (
    of_another_namespace_by_an_exporter_in_ours,
    switched_off,
    switched_on,
    of_the_kubelets_alone,
    of_state_alone_and_before_the_notebook,
    both_all_the_time,
    of_another_namespace,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("spellings"), CASES.values()) as url:
        yield url


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_is_measured_as_if_all_scrapes_were_alike(
    store: str, new_ledger: Callable[[], str], name: str
) -> None:
    case, digests = CASES[name], set()
    for every in (900, 6 * 3600):
        with Database(new_ledger()) as database, Source(store) as source:
            database.ensure_current()
            one = poller(database, source, scope=Scope(case.name, "jupyter-.*"))
            for until in [*range(START + every, END, every), END]:
                assert one.poll(until).is_complete
            (row,) = written(database).records.values()
        assert (row["user"], row["held"], row["cpu_count"]) == ("a@example.org", "", 2.0)
        assert row["cpu_seconds"] == LIFE // 2
        assert LIFE - 120 <= row["wall_seconds"] <= LIFE
        digests.add(row["digest"])
    assert len(digests) == 1
