"""What a perfect reader of the scraped samples would report, pod by pod.

Everything here follows from the samples that exist, which is what a poller can be held to; `truth`
has what really happened. The rules: wall time runs from kube_pod_start_time to
kube_pod_completion_time of a completed pod, else to the last sample with phase Running; CPU and
network are the last counter values, with what came before a reset added; figures come from
requests, else limits, else a default.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf

from accounting.simulation.exporters.emitters import Emitter
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.months import Month, month_end, month_ends_between, month_of

MEGABYTE = 2**20
GIGABYTE = 2**30


@dataclass(frozen=True, slots=True)
class ExpectedPod:
    """One pod as its samples show it; None where no sample shows the figure."""

    pod: SimulatedPod
    first_running: float | None
    """Time of the first sample with phase Running, epoch seconds."""
    last_running: float | None
    completed_at: int | None
    """kube_pod_completion_time of a pod seen in phase Succeeded."""
    wall_seconds: float | None
    cpu_seconds: float | None
    network_received: int | None
    """Bytes."""
    network_sent: int | None
    cpu_count: float
    memory_bytes: int
    gpus: int
    disk_bytes: int

    @property
    def has_running_sample(self) -> bool:
        """Whether kube-state-metrics was ever scraped while the pod ran."""
        return self.last_running is not None

    @property
    def memory_mb(self) -> int:
        """Memory in megabytes (2^20 bytes), rounded."""
        return round(self.memory_bytes / MEGABYTE)

    @property
    def disk_gb(self) -> int:
        """Claims in gigabytes (2^30 bytes), rounded up."""
        return ceil(self.disk_bytes / GIGABYTE)


@dataclass(frozen=True, slots=True)
class Defaults:
    """Figures for a pod that asks for nothing."""

    cpu_count: float = 1.0
    memory_bytes: int = 1024**3


class Reader:
    """Reads a cluster's samples without an engine: the scrape times decide what is seen."""

    def __init__(
        self,
        cluster: Cluster,
        interval_seconds: float | None = None,
        defaults: Defaults | None = None,
    ) -> None:
        self._cluster = cluster
        self._defaults = defaults or Defaults()
        interval = interval_seconds or cluster.interval_seconds
        period = (cluster.timetable.start, cluster.timetable.end)
        self._scrapes = [(e, e.scrapes(*period, interval)) for e in cluster.emitters]

    def pods(self, until: float = inf) -> list[ExpectedPod]:
        """All counted pods that ran before `until`, from the samples at or before it."""
        return [self.pod(pod, until) for pod in self._cluster.counted_pods if pod.ran_by(until)]

    def pod(self, pod: SimulatedPod, until: float = inf) -> ExpectedPod:
        """One pod from the samples at or before `until` (epoch seconds)."""
        first, last = self._running(pod, until)
        completed = self._completed(pod, until)
        wall = None
        if last is not None and pod.started is not None:
            wall = max(0.0, (last if completed is None else completed) - pod.started)
        network = self._network(pod, until)
        return ExpectedPod(
            pod=pod,
            first_running=first,
            last_running=last,
            completed_at=completed,
            wall_seconds=wall,
            cpu_seconds=self._cpu(pod, until),
            network_received=network[0] if network else None,
            network_sent=network[1] if network else None,
            cpu_count=self._cpu_count(pod),
            memory_bytes=self._memory(pod),
            gpus=pod.gpus,
            disk_bytes=sum(claim.size for claim in pod.claims),
        )

    def by_month(self, pod: SimulatedPod, until: float = inf) -> dict[Month, ExpectedPod]:
        """The pod at the last second of every UTC month that it lived in, and at `until`."""
        if pod.started is None:
            return {}
        stop = min(pod.run_until, until, self._cluster.timetable.end)
        closed = [month_of(cut - 1) for cut in month_ends_between(pod.started, stop)]
        found = {month: self.pod(pod, month_end(month) - 1) for month in closed}
        return {**found, month_of(max(stop - 0.001, pod.started)): self.pod(pod, until)}

    def _running(self, pod: SimulatedPod, until: float) -> tuple[float | None, float | None]:
        if pod.running_from is None:
            return None, None
        seen = [
            extremes
            for _, times in self._speaking_of(pod)
            if (extremes := _extremes(times, pod.running_from, pod.run_until, until))
        ]
        if not seen:
            return None, None
        return min(first for first, _ in seen), max(last for _, last in seen)

    def _completed(self, pod: SimulatedPod, until: float) -> int | None:
        if pod.completion_time is None:
            return None
        listed = (
            _extremes(times, pod.run_until, pod.listed_until, until)
            for _, times in self._speaking_of(pod)
        )
        return pod.completion_time if any(listed) else None

    def _speaking_of(self, pod: SimulatedPod) -> Iterable[tuple[Emitter, list[int]]]:
        for emitter, times in self._scrapes:
            if emitter.kind == "kube-state-metrics" and emitter.covers(pod.uid):
                yield emitter, times

    def _last_read(self, pod: SimulatedPod, since: float, end: float, until: float) -> float | None:
        """When the pod's kubelet was last scraped within [since, end), at or before `until`."""
        seen = [
            extremes[1]
            for emitter, times in self._scrapes
            if emitter.kind == "cadvisor"
            and emitter.node == pod.node
            and (extremes := _extremes(times, since, end, until))
        ]
        return max(seen, default=None)

    def _cpu(self, pod: SimulatedPod, until: float) -> float | None:
        """Of the pod's cgroup, reset by reset; of its containers where that series is dropped."""
        if self._cluster.features.pod_level_dropped:
            lives = [(box.cpu_between, run) for box in pod.containers for run in box.incarnations]
        else:
            lives = [(pod.cpu_between, epoch) for epoch in pod.epochs]
        values = [
            round(used(life.since, at), 6)
            for used, life in lives
            if (at := self._last_read(pod, life.since, life.until, until)) is not None
        ]
        return sum(values) if values else None

    def _network(self, pod: SimulatedPod, until: float) -> tuple[int, int] | None:
        read = [
            (at - life.since)
            for life in pod.epochs
            if (at := self._last_read(pod, life.since, life.until, until)) is not None
        ]
        if not read:
            return None
        received = sum(int(seconds * pod.received_rate) for seconds in read)
        return received, sum(int(seconds * pod.sent_rate) for seconds in read)

    def _cpu_count(self, pod: SimulatedPod) -> float:
        requests, limits = pod.requested("cpu"), pod.requested("cpu", limits=True)
        return round(requests or limits or self._defaults.cpu_count, 6)

    def _memory(self, pod: SimulatedPod) -> int:
        requests, limits = pod.requested("memory"), pod.requested("memory", limits=True)
        return int(requests or limits or self._defaults.memory_bytes)


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """What the pods of a VO used within a month: seconds, core-seconds, number of pods."""

    pods: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


def truth_by_month_and_vo(
    cluster: Cluster, until: float, default_vo: str = "None"
) -> dict[tuple[Month, str], MonthUsage]:
    """What really was used up to `until` (epoch seconds), by ((year, month), VO).

    Pods whose annotations name no VO count for `default_vo`, as do all where the allowlist is
    missing.
    """
    totals: dict[tuple[Month, str], MonthUsage] = {}
    for pod in cluster.counted_pods:
        known = None if cluster.features.allowlist_missing else pod.vo
        for month, wall, cpu in pod.usage_by_month(until):
            key = (month, known or default_vo)
            so_far = totals.get(key, MonthUsage())
            totals[key] = MonthUsage(
                so_far.pods + 1, so_far.wall_seconds + wall, so_far.cpu_seconds + cpu
            )
    return totals


def _extremes(
    times: list[int], since: float, end: float, until: float
) -> tuple[float, float] | None:
    """First and last of the times (ms) within [since, end) and at or before `until`, in seconds."""
    first = bisect_left(times, since * 1000)
    last = len(times) if end == inf else bisect_left(times, end * 1000)
    if until != inf:
        last = min(last, bisect_right(times, until * 1000))
    return (times[first] / 1000, times[last - 1] / 1000) if first < last else None
