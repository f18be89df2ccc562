"""Who is scraped, when it speaks, and which labels Prometheus adds to what it says."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal
from zlib import crc32

from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series
from accounting.simulation.world.features import Features
from accounting.simulation.world.months import month_ends_between

Spans = tuple[tuple[float, float], ...]
Kind = Literal["kube-state-metrics", "cadvisor", "kepler"]

MINUTE = 60.0
REBOOT_SECONDS = 90.0
GRACE_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Emitter:
    """One scrape target. `phase` is its offset within the scrape interval, as a share of it."""

    kind: Kind
    instance: str
    phase: float
    spans: Spans
    node: str = ""
    shard: tuple[int, int] | None = None
    """(index, of how many) for a kube-state-metrics that speaks of a share of the objects."""
    honors: bool = True
    """Whether its scrape honours labels, where the cluster's do."""

    def speaks_at(self, instant: float) -> bool:
        """Whether a scrape at the instant (epoch seconds) succeeds."""
        return any(since <= instant < until for since, until in self.spans)

    def speaks_of(self, series: Series) -> bool:
        """Whether the series is this emitter's to expose."""
        if self.kind != "kube-state-metrics":
            return series.source == self.node
        return self.covers(series.source)

    def covers(self, uid: str) -> bool:
        """Whether the object with this uid is in this kube-state-metrics' shard."""
        if self.shard is None:
            return True
        index, count = self.shard
        return crc32(uid.encode()) % count == index

    def scrapes(self, since: float, until: float, interval_seconds: float) -> list[int]:
        """Scrape times in [since, until) at which it speaks, in milliseconds, ascending."""
        step = round(interval_seconds * 1000)
        offset = round(step * self.phase)
        times: list[int] = []
        for begin, end in self.spans:
            first, last = max(begin, since), min(end, until)
            if first < last:
                at = ceil((first * 1000 - offset) / step) * step + offset
                times.extend(range(at, ceil(last * 1000), step))
        return times

    def target_labels(self, *, honor: bool) -> Labels:
        """What the scrape configuration adds to every series of this target.

        A kube-state-metrics target has its own namespace, pod, container and (without
        honor_labels, as a job that discovers endpoints sets it) node; they clash with those of the
        pods it speaks of.
        """
        if self.kind == "cadvisor":
            return (
                ("job", "kubelet"),
                ("instance", self.instance),
                ("metrics_path", "/metrics/cadvisor"),
                ("node", self.node),
            )
        if self.kind == "kepler":
            return (("job", "kepler"), ("instance", self.instance))
        suffix = f"{crc32(self.instance.encode()):08x}"
        own: Labels = (
            ("namespace", "monitoring"),
            ("pod", f"kube-state-metrics-{suffix}"),
            ("container", "kube-state-metrics"),
        )
        if not honor:
            own = (*own, ("node", "monitoring-1"))
        added: Labels = (("job", "kube-state-metrics"), ("instance", self.instance))
        return (*added, *own)


@dataclass(frozen=True, slots=True)
class Reboot:
    """A node that goes down at `at` and is back at `back`; all cgroups on it start anew."""

    node: str
    at: float
    back: float


@dataclass(frozen=True, slots=True)
class Loss:
    """A node that dies at `at`. The control plane notices at `noticed_at`."""

    node: str
    at: float

    @property
    def noticed_at(self) -> float:
        """When the node counts as not ready (the controller's grace period)."""
        return self.at + GRACE_SECONDS


def without(spans: Spans, gaps: Iterable[tuple[float, float]]) -> Spans:
    """The spans with the gaps cut out; both as (since, until)."""
    left = list(spans)
    for gap_since, gap_until in gaps:
        cut: list[tuple[float, float]] = []
        for since, until in left:
            cut += [(since, min(until, gap_since)), (max(since, gap_until), until)]
        left = [(since, until) for since, until in cut if since < until]
    return tuple(sorted(left))


@dataclass(frozen=True, slots=True)
class Timetable:
    """When the sources of a cluster speak in [start, end), decided by the features."""

    start: float
    end: float
    features: Features
    nodes: tuple[str, ...]

    @property
    def reboot(self) -> Reboot | None:
        """The one node reboot, if there is one."""
        if not self.features.node_reboot:
            return None
        at = self._at(0.66)
        return Reboot(self.nodes[0], at, at + min(REBOOT_SECONDS, (self.end - self.start) / 50))

    @property
    def loss(self) -> Loss | None:
        """The one node that dies, if there is one; another one than reboots."""
        return Loss(self.nodes[-1], self._at(0.55)) if self.features.node_lost else None

    def is_ready(self, node: str, at: float) -> bool:
        """Whether the control plane takes a node for ready."""
        if self.loss and self.loss.node == node and at >= self.loss.noticed_at:
            return False
        reboot = self.reboot
        is_down = reboot and reboot.node == node and reboot.at + GRACE_SECONDS <= at < reboot.back
        return not is_down

    @property
    def hole(self) -> tuple[float, float] | None:
        """40 minutes without any metrics."""
        return self._gap(0.35, 40 * MINUTE) if self.features.hole else None

    @property
    def ksm_silence(self) -> tuple[float, float] | None:
        """20 minutes without kube-state-metrics, while the kubelets speak."""
        return self._gap(0.52, 20 * MINUTE) if self.features.ksm_silent else None

    @property
    def cadvisor_silence(self) -> tuple[float, float] | None:
        """20 minutes without the kubelets, while kube-state-metrics speaks."""
        return self._gap(0.78, 20 * MINUTE) if self.features.cadvisor_silent else None

    def emitters(self) -> tuple[Emitter, ...]:
        """All scrape targets, kube-state-metrics first."""
        count = len(self.nodes)
        keplers = [one for i in range(count) for one in self._keplers(i)]
        return (*self._state_metrics(), *(self._kubelet(i) for i in range(count)), *keplers)

    def kepler_lives(self) -> Spans:
        """When Kepler runs: it is restarted once, on all nodes; on every second as another pod."""
        at = self._at(0.47)
        return (self.start, at), (at + MINUTE, self.end)

    def _at(self, share: float) -> float:
        return float(round(self.start + (self.end - self.start) * share))

    def _gap(self, share: float, length: float) -> tuple[float, float]:
        """A gap that keeps clear of months' ends, which have an hour of samples on either side."""
        length = min(length, (self.end - self.start) / 20)
        since = self._at(share)
        clear = min(60 * MINUTE, length)
        for cut in month_ends_between(self.start, self.end):
            if since - clear < cut < since + length + clear:
                since = cut + clear
        return since, since + length

    def _state_metrics(self) -> list[Emitter]:
        """In turn: base, restarted, sharded, base, restarted; and a double for a while."""
        overlap = min(4 * MINUTE, (self.end - self.start) / 100)
        begin, found = self.start, list[Emitter]()
        if self.features.ksm_restarted:  # "10.42.1.7" sorts after "10.42.1.20"
            cut = self._at(0.42)
            found.append(self._ksm("10.42.1.20:8080", 0.241, begin, cut + overlap))
            begin = cut
        if self.features.ksm_sharded:
            first, last = self._at(0.60), self._at(0.72)
            found.append(self._ksm("10.42.1.7:8080", 0.263, begin, first))
            for index in (0, 1):
                instance, phase = f"10.42.2.{31 + index}:8080", 0.245 + index * 0.011
                found.append(self._ksm(instance, phase, first, last, (index, 2)))
            begin = last
        if self.features.ksm_restarted:  # "10.42.1.11" sorts before "10.42.1.9"
            cut = self._at(0.86)
            found.append(self._ksm("10.42.1.9:8080", 0.252, begin, cut + overlap))
            begin = cut
        found.append(self._ksm("10.42.1.11:8080", 0.222, begin, self.end))
        if self.features.ksm_doubled:
            since, until = self._at(0.15), self._at(0.30)
            found.append(self._ksm("10.42.3.9:8080", 0.741, since, until))
        if self.features.second_job:
            second = self._ksm("10.42.1.50:8080", 0.583, self._at(0.25), self._at(0.5))
            found.append(replace(second, honors=False))
        return found

    def _ksm(
        self,
        instance: str,
        phase: float,
        since: float,
        until: float,
        shard: tuple[int, int] | None = None,
    ) -> Emitter:
        gaps = [gap for gap in (self.hole, self.ksm_silence) if gap]
        spans = without(((since, until),), gaps)
        return Emitter("kube-state-metrics", instance, phase, spans, shard=shard)

    def _keplers(self, index: int) -> Iterator[Emitter]:
        if not self.features.kepler:
            return
        lives, gaps = self.kepler_lives(), [gap for gap in (self.hole,) if gap]
        made_anew = lives[1][0] if index % 2 else self.end
        others = (made_anew, self.end), (self.start, made_anew)
        for pod, other in enumerate(others, 1):
            if spans := without(lives, [*gaps, other]):
                instance = f"10.42.{pod}.{11 + index}:28282"
                yield Emitter("kepler", instance, 0.61 + 0.03 * index, spans, self.nodes[index])

    def _kubelet(self, index: int) -> Emitter:
        gaps = [gap for gap in (self.hole, self.cadvisor_silence) if gap]
        node = self.nodes[index]
        if self.reboot and self.reboot.node == node:
            gaps.append((self.reboot.at, self.reboot.back))
        if self.loss and self.loss.node == node:
            gaps.append((self.loss.at, self.end))
        spans = without(((self.start, self.end),), gaps)
        return Emitter(
            "cadvisor", f"10.0.0.{11 + index}:10250", 0.4 + 0.0371 * index, spans, node=node
        )
