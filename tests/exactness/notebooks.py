"""Small inputs: some notebooks' series, sample by sample, in either engine."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import UUID

import httpx

from accounting.model.time import Month
from accounting.simulation.stores.engines import run_prometheus, run_victoria_metrics
from accounting.simulation.stores.history import backfill
from accounting.simulation.world.cluster import NAMESPACE

START = 1_762_430_400  # 2025-11-06 12:00 UTC
INTERVAL = 30
ENGINES: tuple[Literal["prometheus", "victoria"], ...] = ("prometheus", "victoria")

Points = list[tuple[float, float]]
Seen = dict[str, Points]


def every(since: float, until: float, value: Callable[[float], float], shift: float = 0) -> Points:
    """Samples every ``INTERVAL`` in [since, until], seconds after ``START``."""
    first = -(-since // INTERVAL) * INTERVAL
    times = [first + INTERVAL * n for n in range(int((until - first) // INTERVAL) + 1)]
    return [(START + at + shift, value(at + shift)) for at in times if at + shift <= until]


@dataclass
class Notebook:
    """A pod that runs over [since, until], seconds after ``START``; what is seen of it."""

    number: int = 1
    since: float = 0
    until: float = 3600
    name: str = "jupyter-a"
    seen: Seen = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return str(UUID(int=self.number, version=4))

    @property
    def place(self) -> str:
        return f'namespace="{NAMESPACE}",pod="{self.name}"'

    @property
    def state(self) -> str:
        return f'{self.place},uid="{self.uid}"'

    @property
    def path(self) -> str:
        return f"/kubepods/burstable/pod{self.uid}"

    def say(self, series: str, points: Points) -> None:
        self.seen[series] = [*self.seen.get(series, []), *points]

    def keep(self, metric: str, labels: str, value: float) -> None:
        """A value that kube-state-metrics repeats as long as the pod runs."""
        self.say(
            f"{metric}{{{self.state}{labels}}}", every(self.since, self.until, lambda _: value)
        )

    def run(self) -> None:
        """Phase Running, start time, owner, one core and 2 GiB."""
        self.keep("kube_pod_status_phase", ',phase="Running"', 1)
        self.keep("kube_pod_start_time", "", START + self.since)
        self.keep("kube_pod_annotations", ',annotation_hub_jupyter_org_username="a"', 1)
        self.hold("requests", "cpu", 1)
        self.hold("requests", "memory", 2**31)

    def hold(self, kind: str, resource: str, value: float, container: str = "notebook") -> None:
        labels = f',container="{container}",resource="{resource}"'
        self.keep(f"kube_pod_container_resource_{kind}", labels, value)

    def cgroup(self, since: float, until: float, used: Callable[[float], float]) -> None:
        """The pod's own cgroup, as cAdvisor tells of it."""
        series = f'container_cpu_usage_seconds_total{{{self.place},id="{self.path}"}}'
        self.say(series, every(since, until, used))

    def container(
        self, number: int, since: float, until: float, used: Callable[[float], float]
    ) -> None:
        """A container's cgroup, as cAdvisor tells of it."""
        labels = f'{self.place},container="notebook",image="i",id="{self.path}/{number:064x}"'
        self.say(f"container_cpu_usage_seconds_total{{{labels}}}", every(since, until, used))

    def otel(self, since: float, until: float, used: Callable[[float], float]) -> None:
        """The pod's CPU, as OpenTelemetry's kubelet receiver tells it."""
        labels = f'k8s_namespace_name="{NAMESPACE}",k8s_pod_name="{self.name}"'
        series = f'k8s_pod_cpu_time_seconds_total{{{labels},k8s_pod_uid="{self.uid}"}}'
        self.say(series, every(since, until, used, shift=7))


def heartbeat(until: float) -> Seen:
    """What kube-state-metrics says of the namespace, from ten minutes before ``START`` on."""
    series = f'kube_namespace_created{{namespace="{NAMESPACE}"}}'
    return {series: every(-600, until, lambda _: START - 3600)}


def merged(*parts: Mapping[str, Points]) -> Seen:
    """All series of several notebooks."""
    return {series: points for part in parts for series, points in part.items()}


@contextmanager
def served(
    folder: Path, seen: Mapping[str, Points], engine: str, options: Sequence[str] = ()
) -> Iterator[str]:
    """The URL of an engine that holds these samples."""
    if engine == "prometheus":
        (folder / "metrics").write_text("\n".join([*_openmetrics(seen), "# EOF", ""]))
        backfill([folder / "metrics"], folder / "data")
        with run_prometheus(folder / "data", options=options) as prometheus:
            yield prometheus.url
        return
    with run_victoria_metrics(folder / "victoria", options=options) as victoria:
        lines = [
            f"{series} {value!r} {round(at * 1000)}"
            for series, points in seen.items()
            for at, value in points
        ]
        body = "\n".join([*lines, ""])
        httpx.post(
            f"{victoria.url}/api/v1/import/prometheus", content=body, timeout=60
        ).raise_for_status()
        httpx.get(f"{victoria.url}/internal/force_flush", timeout=60).raise_for_status()
        yield victoria.url


def _openmetrics(seen: Mapping[str, Points]) -> Iterable[str]:
    by_family: dict[str, list[str]] = {}
    for series, points in seen.items():
        lines = by_family.setdefault(series.partition("{")[0], [])
        lines += [f"{series} {value!r} {at!r}" for at, value in points]
    for name, lines in by_family.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        yield f"# TYPE {name.removesuffix('_total')} {kind}"
        yield from lines


def month_end(at: float) -> int:
    """The first second after the UTC month of a time, Unix seconds."""
    return Month.of(at).end
