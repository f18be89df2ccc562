"""What is measured: two histories of a simulated cluster in Prometheus data directories.

Only the families that accounting reads are written, with the label sets of real emitters; see
``READ``. Blocks are six hours long. Prometheus is told not to compact them meanwhile, which would
take one of two cores away from what is measured.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree

from accounting.simulation.exporters import kepler, volumes
from accounting.simulation.stores.engines import Engine, run_prometheus
from accounting.simulation.stores.history import populate
from accounting.simulation.world.cluster import NAMESPACE, Cluster
from accounting.simulation.world.features import Endpoints, Features, NodeShape

READ = frozenset(
    {
        "kube_namespace_created",
        "kube_pod_created",
        "kube_pod_start_time",
        "kube_pod_completion_time",
        "kube_pod_status_phase",
        "kube_pod_annotations",
        "kube_pod_container_info",
        "kube_pod_container_resource_requests",
        "kube_pod_container_resource_limits",
        "kube_pod_spec_volumes_persistentvolumeclaims_info",
        "kube_persistentvolumeclaim_resource_requests_storage_bytes",
        "container_cpu_usage_seconds_total",
        "container_network_receive_bytes_total",
        "container_network_transmit_bytes_total",
    }
)
BESIDE = READ | {"pod_cpu_usage_seconds_total"}
OUTLETS = READ | {*volumes.FAMILIES, *kepler.FAMILIES}
POD_PATTERN = "jupyter-.*"
PODS_PER_NODE = 1000
_BLOCK = timedelta(hours=6)
_NO_COMPACTION = ("--storage.tsdb.min-block-duration=6h", "--storage.tsdb.max-block-duration=6h")
_DAY_START = datetime(2026, 11, 10, tzinfo=UTC)
_STEADY_START = datetime(2026, 11, 12, 8, tzinfo=UTC)
_STEADY_LENGTH = timedelta(minutes=70)
# So many sessions are planned for each pod that runs at the same time in the steady history.
_SESSIONS_PER_RUNNING_POD = 1.3


@dataclass(frozen=True)
class Dataset:
    """One history.

    Attributes:
        name: of its folder.
        start, end: of its metrics, Unix seconds.
        pods: notebooks that are planned.
        mean_life_seconds: how long a notebook runs on average.
        namespace: the hub's.
        endpoints: what tells the nodes' CPU.
        families: what is written.
    """

    name: str
    start: int
    end: int
    pods: int
    mean_life_seconds: float
    namespace: str = NAMESPACE
    endpoints: Endpoints = "cadvisor"
    families: frozenset[str] = READ

    def cluster(self) -> Cluster:
        """The cluster it is the history of; the same for every call."""
        return Cluster.generate(
            1,
            datetime.fromtimestamp(self.start, UTC),
            datetime.fromtimestamp(self.end, UTC),
            pods=self.pods,
            mean_life=self.mean_life_seconds,
            features=_features(self.pods, self.endpoints, more=self.families == OUTLETS),
        )

    def build(self, folder: Path) -> Path:
        """Its data directory below ``folder``; written if it is not there yet."""
        data = folder / f"{self.name}-{self.pods}"
        done = folder / f"{self.name}-{self.pods}.json"
        plan = {"start": self.start, "end": self.end, "families": sorted(self.families)}
        if done.exists() and json.loads(done.read_text())["plan"] == plan:
            return data
        rmtree(data, ignore_errors=True)
        samples = populate(self.cluster(), data, families=self.families, chunk=_BLOCK)
        done.write_text(json.dumps({"plan": plan, "samples": samples}))
        return data

    @contextmanager
    def served(self, folder: Path) -> Iterator[Engine]:
        """A Prometheus that serves it."""
        with run_prometheus(self.build(folder), options=_NO_COMPACTION) as engine:
            yield engine


def day(pods: int) -> Dataset:
    """24 h in which ``pods`` notebooks ran for 2.5 h on average."""
    start = int(_DAY_START.timestamp())
    return Dataset("day", start, start + 86400, pods, 2.5 * 3600)


def beside(pods: int) -> Dataset:
    """The same day with the kubelets' ``/metrics/resource`` scraped beside cAdvisor."""
    return replace(day(pods), name="beside", endpoints="cadvisor+resource", families=BESIDE)


def steady(running: int) -> Dataset:
    """70 minutes with ``running`` notebooks at any time; in 5 minutes one in fifty is replaced."""
    start = int(_STEADY_START.timestamp())
    end = start + int(_STEADY_LENGTH.total_seconds())
    return Dataset("steady", start, end, int(running * _SESSIONS_PER_RUNNING_POD), 4 * 3600)


def for_outlets(pods: int) -> Dataset:
    """The day with homes of users, and with Kepler on every node."""
    return replace(day(pods), name="outlets", families=OUTLETS)


def _features(pods: int, endpoints: Endpoints, *, more: bool) -> Features:
    """Sessions as on any day: restarts, evictions, slow starts; claims; the hub's own pods."""
    return Features.none().but(
        quick_restarts=True,
        container_restarts=True,
        completed=True,
        evicted=True,
        slow_pending=True,
        claims=True,
        volumes=more,
        kepler=more,
        other_pods=True,
        nodes=(NodeShape(metrics=(endpoints,)),) * max(2, pods // PODS_PER_NODE),
    )
