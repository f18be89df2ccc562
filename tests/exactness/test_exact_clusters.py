"""Two clusters in one store, both with a namespace of that name (cases.md, 3)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounting.config import load
from accounting.doctor.examination import examine
from accounting.errors import SeveralClusters
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.service.outcome import of_error
from accounting.store.engine.database import Database
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, served, usual

CLUSTERS = {
    # The same second, told apart by the usual label; by an unusual one, made at other times.
    "labelled": ("cluster", 0),
    "unusual": ("environment", 86400),
    "named": ("clusterName", 0),
    "without-namespaces": ("k8s_cluster_name", 0),
}


def beside(name: str, label: str, other_age: int) -> list[Case]:
    """The same namespace twice."""
    cases = []
    for number, cluster in enumerate(("production", "staging")):
        case = usual(name, 30 + number, cpu=LIFE // 2)
        case.seen = {
            series.replace("{", f'{{{label}="{cluster}",', 1): [
                (at, value - number * other_age if "namespace_created" in series else value)
                for at, value in points
            ]
            for series, points in case.seen.items()
            if not (name == "without-namespaces" and "namespace_created" in series)
        }
        # The hub's own pod: one that is no notebook.
        hub = f'{label}="{cluster}",namespace="{name}",pod="hub-{cluster}",uid="hub-{cluster}"'
        case.seen[f"kube_pod_created{{{hub}}}"] = [
            (at, START - 3600) for at in range(START - 600, END, 60)
        ]
        cases.append(case)
    return cases


def made_anew(name: str) -> Case:
    """A namespace that was deleted and made anew: one after the other, so one cluster."""
    case = usual(name, 40)
    series = f'kube_namespace_created{{namespace="{name}"}}'
    points = case.seen[series]
    case.seen[series.replace("{", '{job="x",')] = [
        (at, value + 3600) for at, value in points if at >= START + 3600
    ]
    case.seen[series] = [point for point in points if point[0] < START + 3600]
    return case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("clusters")
    cases = [case for name, how in CLUSTERS.items() for case in beside(name, *how)]
    with served(folder, [*cases, made_anew("anew")]) as url:
        yield url


@pytest.mark.parametrize("name", CLUSTERS)
def test_with_a_matcher_one_cluster_is_measured_and_without_none(
    store: str, new_ledger: Callable[[], str], name: str
) -> None:
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        with pytest.raises(
            SeveralClusters, match=f"several clusters with a namespace '{name}'"
        ) as no:
            poller(database, source, scope=Scope(name, "jupyter-.*")).poll(END)
        assert of_error(no.value).exit_code == 3
        assert "ACCOUNTING_PROMETHEUS__MATCHERS" in no.value.cure
        assert written(database).records == {}
        label, _ = CLUSTERS[name]
        one = Scope(name, "jupyter-.*", matchers=f'{label}="staging"')
        poller(database, source, scope=one).poll(END)
        rows = list(written(database).records.values())
    assert [(row["uid"][-2:], row["cpu_seconds"]) for row in rows] == [("1f", LIFE // 2)]


@pytest.mark.parametrize("every", [600, 6 * 3600])
def test_a_namespace_that_was_made_anew_is_one_cluster_s(
    store: str, new_ledger: Callable[[], str], every: int
) -> None:
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope("anew", "jupyter-.*"))
        for until in [*range(START + every, END, every), END]:
            one.poll(until)
        (row,) = written(database).records.values()
    assert row["cpu_seconds"] == LIFE // 2


@pytest.mark.parametrize(("matchers", "state"), [("", "failed"), ('cluster="staging"', "ok")])
def test_the_doctor_says_whether_one_cluster_has_the_namespace(
    store: str, tmp_path: Path, matchers: str, state: str
) -> None:
    prometheus = {"url": store, "namespace": "labelled", "matchers": matchers}
    file = tmp_path / "settings.yaml"
    text = {
        "site_name": "SITE",
        "database_url": f"sqlite:///{tmp_path}/a.db",
        "prometheus": prometheus,
    }
    file.write_text(json.dumps(text))
    found = [f for f in examine(load(file), START + LIFE) if f.name == "clusters"]
    assert [one.state for one in found] == [state]
    if state == "failed":
        assert "ACCOUNTING_PROMETHEUS__MATCHERS" in found[0].cure
