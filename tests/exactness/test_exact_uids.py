"""A scrape that drops the label ``uid``: cgroups tell whose series are (cases.md, 4)."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from accounting.config import load
from accounting.doctor.examination import examine
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.polling import poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, served, usual

WORKED = 3000


def dropped(case: Case, since: int = 0) -> Case:
    """The label is dropped from a time on, in all that kube-state-metrics says."""
    for series in [name for name in case.seen if ",uid=" in name]:
        points = case.seen.pop(series)
        without = re.sub(r',uid="[^"]*"', "", series)
        case.seen[series] = [point for point in points if point[0] - START < since]
        case.seen[without] = [point for point in points if point[0] - START >= since]
    return case


def cut(case: Case, since: int, until: int) -> Case:
    """The notebook runs in a part of the time only."""
    case.seen = {
        series: [
            (at, (at - START - since) / 2 if "cpu_usage" in series else value)
            for at, value in points
            if "namespace_created" in series or since <= at - START <= until
        ]
        for series, points in case.seen.items()
    }
    for series, points in case.seen.items():
        if "start_time" in series:
            case.seen[series] = [(at, START + since) for at, _ in points]
    return case


def reused() -> list[Case]:
    """A user's second notebook has the name of the first, as JupyterHub gives it."""
    first = cut(usual("uid-reused", 250), 0, WORKED)
    second = cut(usual("uid-reused", 251), WORKED + 600, LIFE)
    second.hold(f'{second.state},container="notebook",resource="cpu"', 4)
    cut(second, WORKED + 600, LIFE)
    for case in (first, second):
        dropped(case)
    for series in first.seen.keys() & second.seen.keys():
        if "namespace_created" not in series:
            first.seen[series] = [*first.seen[series], *second.seen[series]]
            second.seen[series] = []
    second.seen = {name: points for name, points in second.seen.items() if points}
    del second.seen['kube_namespace_created{namespace="uid-reused"}']
    return [first, second]


def made() -> Case:
    """When it was made is told."""
    case = usual("uid-made", 254)
    case.say(f"kube_pod_created{{{case.state}}}", lambda _: START)
    return dropped(case)


CASES = {
    "all the time": dropped(usual("uid-always", 252)),
    "from a time on": dropped(usual("uid-later", 253), WORKED),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("uids"), [*CASES.values(), made(), *reused()]) as url:
        yield url


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_without_the_label_is_its_cgroup_s(
    store: str, new_ledger: Callable[[], str], name: str
) -> None:
    case, digests = CASES[name], set()
    for every in (900, 6 * 3600):
        (row,) = polled(store, new_ledger(), case.name, every)
        assert (row["uid"], row["user"], row["held"]) == (case.uid, "a@example.org", "")
        assert (row["cpu_seconds"], row["cpu_count"]) == (LIFE // 2, 2.0)
        assert LIFE - 120 <= row["wall_seconds"] <= LIFE
        digests.add(row["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize("every", [600, 6 * 3600])
def test_two_notebooks_of_one_name_are_told_apart(
    store: str, new_ledger: Callable[[], str], every: int
) -> None:
    rows = polled(store, new_ledger(), "uid-reused", every)
    starts = [START, START + WORKED + 600]
    assert [(row["start_at"], row["flags"]) for row in rows] == [
        (at, '["default VO"]') for at in starts
    ]
    assert [row["cpu_seconds"] for row in rows] == [WORKED // 2, (LIFE - WORKED - 600) // 2]
    for row, wall, cores in zip(rows, (WORKED, LIFE - WORKED - 600), (2.0, 4.0), strict=True):
        assert (row["user"], row["held"], row["cpu_count"]) == ("a@example.org", "", cores)
        assert wall - 120 <= row["wall_seconds"] <= wall


def test_a_poll_says_that_nothing_tells_when_a_name_changed_hands(
    store: str, new_ledger: Callable[[], str]
) -> None:
    for namespace, names in (("uid-reused", {1}), ("uid-always", set())):
        with capture_logs() as logs:
            polled(store, new_ledger(), namespace, 6 * 3600)
        said = [line for line in logs if "drops kube_pod_created" in line["event"]]
        assert {line["names"] for line in said} == names
        assert all("keep the label uid" in line["cure"] for line in said)


def test_the_doctor_says_what_else_is_lacking_where_uid_is_dropped(
    store: str, tmp_path: Path
) -> None:
    for namespace, is_lacking in (("uid-reused", True), ("uid-made", False)):
        settings = {
            "site_name": "SITE",
            "database_url": f"sqlite:///{tmp_path}/a.db",
            "prometheus": {"url": store, "namespace": namespace},
        }
        (tmp_path / "settings.yaml").write_text(json.dumps(settings))
        findings = examine(load(tmp_path / "settings.yaml"), END)
        (said,) = (one for one in findings if one.name == "labels")
        assert (said.state, "drops the label uid" in said.what) == ("warning", True)
        assert ("kube_pod_created is not told either" in said.what) is is_lacking


def polled(store: str, database_url: str, namespace: str, every: int) -> list[dict[str, Any]]:
    with Database(database_url) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(namespace, "jupyter-.*"))
        for until in [*range(START + every, END, every), END]:
            one.poll(until)
        return sorted(written(database).records.values(), key=lambda row: row["uid"])
