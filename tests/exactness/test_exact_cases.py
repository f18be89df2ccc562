"""Small inputs that operators met elsewhere: one notebook, two hours at half a core.

Each case has a namespace of its own in one Prometheus, so each must also stand what the others do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import backfill
from accounting.store.engine.database import Database
from tests.exactness.polling import poller, written

START = 1_762_430_400  # 2025-11-06 12:00 UTC
LIFE = 7200
END = START + LIFE + 1800
Points = list[tuple[float, float]]


@dataclass
class Case:
    """One notebook's series; ``changed`` makes the input what it is."""

    name: str
    number: int
    wall: int = LIFE
    cpu: int | None = LIFE // 2
    seen: dict[str, Points] = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return str(UUID(int=self.number, version=4))

    @property
    def state(self) -> str:
        return f'namespace="{self.name}",pod="jupyter-a",uid="{self.uid}"'

    def cgroup(self, path: str, container: str = "") -> str:
        image = "img" if container else ""
        labels = f'namespace="{self.name}",pod="jupyter-a",container="{container}",image="{image}"'
        return f'container_cpu_usage_seconds_total{{{labels},id="{path}"}}'

    def hold(self, labels: str, amount: float) -> None:
        self.say(f"kube_pod_container_resource_requests{{{labels}}}", lambda _: amount)

    def say(self, series: str, value: Callable[[float], float], since: int = 0) -> None:
        self.seen[series] = [
            (START + at, value(at)) for at in range(since, LIFE + 1, 60) if value(at) >= 0
        ]


def usual(name: str, number: int, annotation: str = "", **changes: Any) -> Case:
    case = Case(name, number, **changes)
    state, user = case.state, f"annotation_hub_jupyter_org_username{annotation}"
    case.seen[f'kube_namespace_created{{namespace="{name}"}}'] = [
        (at, START - 60) for at in range(START - 600, END, 60)
    ]
    case.say(f'kube_pod_status_phase{{{state},phase="Running"}}', lambda _: 1)
    case.say(f"kube_pod_start_time{{{state}}}", lambda _: START)
    case.say(f'kube_pod_annotations{{{state},{user}="a@example.org"}}', lambda _: 1)
    for resource, amount in (("cpu", 2), ("memory", 2**31)):
        labels = f'{state},container="notebook",resource="{resource}"'
        case.hold(labels, amount)
    case.say(case.cgroup(f"/kubepods/burstable/pod{case.uid}"), lambda at: at / 2)
    return case


def spike() -> Case:
    case = usual("spike", 1)
    points = case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    points[60] = (points[60][0], 1.73e9)
    return case


def spike_at_a_window_s_end() -> Case:
    case = usual("spike-last", 2)
    points = case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    points[10] = (points[10][0], 1.73e9)
    return case


def second_job() -> Case:
    """The same kube-state-metrics, scraped by a second job that honours no labels, half an hour."""
    case = usual("second-job", 3)
    for series in [name for name in case.seen if name.startswith("kube_")]:
        exported = series.replace("namespace=", "exported_namespace=", 1).replace(
            "{exported", '{job="other",namespace="monitoring",pod="ksm-0",exported', 1
        )
        exported = exported.replace(',pod="jupyter', ',exported_pod="jupyter')
        case.seen[exported] = [
            point for point in case.seen[series] if START + 1800 <= point[0] <= START + 3600
        ]
    return case


def conflict() -> Case:
    return usual("conflict", 4, annotation="_conflict12")


def still_cgroup() -> Case:
    """containerd with cgroupfs under a systemd kubelet: the pod's own cgroup stays as it is."""
    case = usual("still", 5)
    own = case.cgroup(f"/kubepods/burstable/pod{case.uid}")
    case.say(own, lambda _: 0)
    name = f"kubepods-burstable-pod{case.uid.replace('-', '_')}.slice:cri-containerd:{'ab' * 32}"
    path = f"/system.slice/containerd.service/{name}"
    case.say(case.cgroup(path, "notebook"), lambda at: at / 2)
    return case


def nearly_still_cgroup() -> Case:
    """The same, with the pause container in the pod's own cgroup."""
    case = usual("nearly-still", 9)
    case.say(case.cgroup(f"/kubepods/burstable/pod{case.uid}"), lambda at: at / 2000)
    name = f"kubepods-burstable-pod{case.uid.replace('-', '_')}.slice:cri-containerd:{'ab' * 32}"
    path = f"/system.slice/containerd.service/{name}"
    case.say(case.cgroup(path, "notebook"), lambda at: at / 2)
    return case


def ids_with_and_without_a_prefix() -> Case:
    """One container, named in two ways one after the other."""
    case = usual("prefixed", 10)
    del case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    bare, prefixed = (case.cgroup(f"{before}{'ab' * 32}", "notebook") for before in ("", "cri://"))
    case.say(bare, lambda at: int(at / 2) if at < 3000 else -1)
    case.say(prefixed, lambda at: int(at / 2), 3000)
    return case


def bare_ids_and_then_names() -> Case:
    """CRI-O's statistics, then cAdvisor, of which the scrape drops ``id``."""
    case = usual("named", 11)
    del case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    case.say(case.cgroup("ab" * 32, "notebook"), lambda at: at / 2 if at < 3000 else -1)
    name = f"k8s_notebook_jupyter-a_named_{case.uid}_0"
    case.say(
        case.cgroup("", "notebook").replace("id=", f'name="{name}",id='), lambda at: at / 2, 3000
    )
    return case


def node_of_bare_ids() -> Case:
    case = usual("bare", 6)
    del case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    case.say(case.cgroup("ab" * 32, "notebook"), lambda at: int(at / 2))
    return case


def known_after_its_end() -> Case:
    """It ran for 455 s in which nobody was scraped, and stays listed."""
    case = usual("after-its-end", 8, wall=455, cpu=None)
    since = START + 1200
    for series in list(case.seen):
        if series.startswith("kube_pod"):
            case.seen[series] = [point for point in case.seen[series] if point[0] >= since]
        elif not series.startswith("kube_namespace"):
            case.seen[series] = []
    running = f'kube_pod_status_phase{{{case.state},phase="Running"}}'
    case.seen[running] = [(at, 0) for at, _ in case.seen[running]]
    case.say(f'kube_pod_status_phase{{{case.state},phase="Succeeded"}}', lambda _: 1, 1200)
    case.say(f"kube_pod_completion_time{{{case.state}}}", lambda _: START + 455, 1200)
    return case


def side_by_side() -> Case:
    """cAdvisor with containers only, and the kubelet's resource endpoint."""
    case = usual("beside", 7)
    del case.seen[case.cgroup(f"/kubepods/burstable/pod{case.uid}")]
    path = f"/kubepods/burstable/pod{case.uid}/{'ab' * 32}"
    case.say(case.cgroup(path, "notebook"), lambda at: at / 2)
    place = 'namespace="beside",pod="jupyter-a",container="notebook"'
    case.say(f"container_cpu_usage_seconds_total{{{place}}}", lambda at: at / 2)
    return case


MADE = (
    spike,
    spike_at_a_window_s_end,
    second_job,
    conflict,
    still_cgroup,
    nearly_still_cgroup,
    ids_with_and_without_a_prefix,
    bare_ids_and_then_names,
    node_of_bare_ids,
    known_after_its_end,
    side_by_side,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE}


def imported(url: str, cases: Iterable[Case]) -> None:
    """Put all of the cases' series into a VictoriaMetrics."""
    lines = [
        f"{series} {value} {int(at * 1000)}"
        for case in cases
        for series, points in case.seen.items()
        for at, value in points
    ]
    answer = httpx.post(
        f"{url}/api/v1/import/prometheus", content="\n".join(lines).encode(), timeout=60
    )
    answer.raise_for_status()
    httpx.get(f"{url}/internal/force_flush", timeout=60).raise_for_status()


@contextmanager
def served(
    folder: Path, cases: Iterable[Case], also: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of a Prometheus with all of the cases' series, and some lines more by metric."""
    families: dict[str, list[str]] = {}
    for case in cases:
        for series, points in case.seen.items():
            lines = families.setdefault(series.partition("{")[0], [])
            lines += [f"{series} {value} {at}" for at, value in points]
    for name, line in (also or {}).items():
        families[name].append(line)
    text = []
    for name, lines in families.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        text += [f"# TYPE {name.removesuffix('_total')} {kind}", *lines]
    (folder / "metrics").write_text("\n".join([*text, "# EOF", ""]))
    backfill([folder / "metrics"], folder / "data")
    with run_prometheus(folder / "data") as engine:
        yield engine.url


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = 'namespace="no-uid",pod="jupyter-a"'
    no_uid = {
        "kube_pod_status_phase": f'kube_pod_status_phase{{{place},phase="Running"}} 1 {START}',
        "kube_pod_start_time": f"kube_pod_start_time{{{place}}} {START} {START}",
    }
    with served(tmp_path_factory.mktemp("cases"), CASES.values(), no_uid) as url:
        yield url


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("every", [600, 6 * 3600])
def test_the_case_is_measured_right_in_any_steps(
    store: str, new_ledger: Callable[[], str], name: str, every: int
) -> None:
    case = CASES[name]
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope(case.name, "jupyter-.*"))
        # Of 600 s: a window ends at the sample that is a spike.
        for until in [*range(START + every, END, every), END]:
            one.poll(until)
        rows = list(written(database).records.values())
    assert [(row["user"], row["held"]) for row in rows] == [("a@example.org", "")]
    assert rows[0]["cpu_seconds"] == case.cpu
    assert case.wall - 120 <= rows[0]["wall_seconds"] <= case.wall


def test_series_without_a_uid_are_counted_with_the_label_as_the_cause(
    store: str, new_ledger: Callable[[], str]
) -> None:
    with Database(new_ledger()) as database, Source(store) as source:
        database.ensure_current()
        one = poller(database, source, scope=Scope("no-uid", "jupyter-.*"))
        report = one.poll(END, START - 60)
    assert {rejected.reason for rejected in report.rejected} == {"no uid label"}
    assert not report.is_complete
