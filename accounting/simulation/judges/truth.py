"""What really happened: pods, their containers, and what they used at any instant.

All instants are epoch seconds (UTC); durations seconds; sizes bytes; CPU is core-seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from accounting.simulation.world.months import Month, split_by_month

Part = Literal["container", "sidecar", "init"]
Ending = Literal["deleted", "completed", "evicted", "lost"]
"""A pod whose node is lost ends with it, and goes on being listed as Running."""


@dataclass(frozen=True, slots=True)
class Load:
    """A duty cycle: `idle_cores` always, `busy_cores` more for `busy_share` of each `period`."""

    idle_cores: float
    busy_cores: float
    period: float
    busy_share: float
    origin: float

    def total(self, instant: float) -> float:
        """Core-seconds since `origin`; only differences between instants have a meaning."""
        elapsed = instant - self.origin
        whole, part = divmod(elapsed, self.period)
        busy = self.period * self.busy_share
        return elapsed * self.idle_cores + self.busy_cores * (whole * busy + min(part, busy))

    def fraction(self, instant: float) -> float:
        """How far the current period has gone, in [0, 1)."""
        return (instant - self.origin) % self.period / self.period


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One run of a container in [since, until); a restart makes another with a new id."""

    container_id: str
    since: float
    until: float = inf


@dataclass(frozen=True, slots=True)
class Resources:
    """Requests or limits: CPU cores, memory bytes (None: not given), and extended resources."""

    cpu: float | None = None
    memory: int | None = None
    extended: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatedContainer:
    """A container of a pod; memory swings from `memory_floor` by up to `memory_swing` bytes."""

    name: str
    image: str
    incarnations: tuple[Incarnation, ...]
    load: Load
    memory_floor: int
    memory_swing: int = 0
    requests: Resources = Resources()
    limits: Resources = Resources()
    part: Part = "container"
    """Native sidecars and ordinary init containers are written among init containers."""
    finished: float | None = None
    """Set where the container completed before its pod."""

    def cpu_between(self, since: float, until: float) -> float:
        """Core-seconds used in [since, until) over all incarnations."""
        used = 0.0
        for run in self.incarnations:
            begin, end = max(since, run.since), min(until, run.until)
            if begin < end:
                used += self.load.total(end) - self.load.total(begin)
        return used

    def working_set_at(self, instant: float) -> int:
        """Bytes held by the running incarnation; 0 when none runs."""
        if not any(run.since <= instant < run.until for run in self.incarnations):
            return 0
        return self.memory_floor + int(self.memory_swing * self.load.fraction(instant))


@dataclass(frozen=True, slots=True)
class Claim:
    """A persistent volume claim: name, size requested in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a pod belongs to: opaque user name, entitlement URN, and what both stand for."""

    user: str
    primary_group: str | None
    vo: str | None
    fqan: str | None


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedPod:
    """One pod from its creation to the moment the API server forgets it.

    `created`: accepted by the API server. `started`: acknowledged by the kubelet (None: never).
    Phase Running lasts over [running_from, ended); `ended` is None for a pod that outlives the
    simulation. The pod is listed over [created, listed_until).
    """

    uid: str
    namespace: str
    name: str
    node: str
    owner: Owner
    flavor: str
    created: int
    started: int | None
    running_from: float | None
    ended: float | None
    ending: Ending
    listed_until: float
    completion_time: int | None
    containers: tuple[SimulatedContainer, ...]
    sandbox: SimulatedContainer
    claims: tuple[Claim, ...] = ()
    received_rate: float = 0.0
    sent_rate: float = 0.0
    component: str = "singleuser-server"
    annotated: bool = True
    conflicting_annotations: bool = False
    counted: bool = True
    resized_at: float | None = None
    """When the first container's CPU and memory were doubled in place."""
    whole: Resources | None = None
    """What the pod requests as a whole (`spec.resources`); it goes before its containers'."""
    traits: frozenset[str] = frozenset()
    """The features this pod shows, by name of the switch."""

    @property
    def user(self) -> str:
        """The user name as the hub wrote it on the pod."""
        return self.owner.user

    @property
    def primary_group(self) -> str | None:
        """The entitlement URN as the hub wrote it on the pod; None where it wrote none."""
        return self.owner.primary_group if self.annotated else None

    @property
    def vo(self) -> str | None:
        """The VO that the pod's annotations stand for; None where there are none."""
        return self.owner.vo if self.annotated else None

    @property
    def image(self) -> str:
        """The image of the first container, which is the notebook."""
        return self.containers[0].image

    @property
    def gpus(self) -> int:
        """GPUs and GPU slices requested by all containers."""
        return sum(n for box in self.containers for _, n in box.requests.extended)

    @property
    def devices(self) -> dict[str, int]:
        """Extended resources that its containers request, by name."""
        return {name: n for box in self.containers for name, n in box.requests.extended}

    def requested(self, name: Literal["cpu", "memory"], *, limits: bool = False) -> float:
        """What Kubernetes reserves, or limits, as the pod was made; 0 if nothing is given.

        Containers and native sidecars add up; an ordinary init container that asks for more than
        all of these counts alone; the pod's own resources count before any.
        """
        if self.whole is not None and not limits:
            return getattr(self.whole, name) or 0.0
        asked: dict[str, list[float]] = {"container": [], "sidecar": [], "init": []}
        for box in self.containers:
            asked[box.part].append(getattr(box.limits if limits else box.requests, name) or 0.0)
        together = sum(asked["container"]) + sum(asked["sidecar"])
        return max(together, *asked["init"], 0.0)

    def requested_later(self, name: Literal["cpu", "memory"]) -> float:
        """The same after the pod was resized."""
        if self.whole is not None:
            return self.requested(name)
        first, *others = self.containers
        asked = first.requests
        doubled = replace(asked, cpu=2 * (asked.cpu or 0.0), memory=2 * (asked.memory or 0))
        resized = replace(self, containers=(replace(first, requests=doubled), *others))
        return resized.requested(name)

    @property
    def epochs(self) -> tuple[Incarnation, ...]:
        """The lives of the pod's cgroup and sandbox: one, and one more for each node reboot."""
        return self.sandbox.incarnations

    @property
    def run_until(self) -> float:
        """End of phase Running, or infinity."""
        return inf if self.ended is None else self.ended

    def cpu_between(self, since: float, until: float) -> float:
        """Core-seconds of the whole pod, its sandbox included, in [since, until)."""
        used = self.sandbox.cpu_between(since, until)
        return used + sum(box.cpu_between(since, until) for box in self.containers)

    def cpu_at(self, instant: float) -> float:
        """Core-seconds used up to the instant; survives restarts of containers and of the node."""
        return self.cpu_between(-inf, instant)

    def cpu_counter_at(self, instant: float) -> float:
        """The pod cgroup's counter at the instant: core-seconds since the node last booted."""
        return self.cpu_between(self.epoch_at(instant), instant)

    def container_cpu_at(self, container_id: str, instant: float) -> float:
        """The counter of one incarnation of one container (the sandbox included) at the instant."""
        for box in (*self.containers, self.sandbox):
            for run in box.incarnations:
                if run.container_id == container_id:
                    return box.cpu_between(run.since, min(run.until, instant))
        raise KeyError(container_id)

    def epoch_at(self, instant: float) -> float:
        """When the pod's cgroup that exists at the instant was made."""
        begun = [epoch.since for epoch in self.epochs if epoch.since <= instant]
        return begun[-1] if begun else instant

    def network_at(self, instant: float) -> tuple[float, float]:
        """(received, sent) bytes up to the instant, over all lives of the sandbox."""
        alive = sum(max(0.0, min(e.until, instant) - e.since) for e in self.epochs)
        return alive * self.received_rate, alive * self.sent_rate

    def working_set_at(self, instant: float) -> int:
        """Bytes held by all containers and the sandbox at the instant."""
        return sum(box.working_set_at(instant) for box in (*self.containers, self.sandbox))

    def ran_by(self, instant: float) -> bool:
        """Whether phase Running had begun by the instant."""
        return self.running_from is not None and self.running_from < instant

    def cores_between(self, since: float, until: float) -> float:
        """Core-seconds requested in [since, until)."""
        cores = self.requested("cpu")
        seconds = max(0.0, until - since) * cores
        if self.resized_at is not None:
            more = self.requested_later("cpu") - cores
            seconds += max(0.0, until - max(since, self.resized_at)) * more
        return seconds

    def wall_seconds(self, until: float = inf) -> float:
        """Seconds from `started` to the end of Running or `until`; 0 for a pod that has not run."""
        if self.started is None or not self.ran_by(until):
            return 0.0
        return max(0.0, min(self.run_until, until) - self.started)

    def usage_by_month(self, until: float) -> Iterator[tuple[Month, float, float]]:
        """(month, wall seconds, core-seconds) used within each UTC month up to `until`."""
        if self.started is None or not self.ran_by(until):
            return
        for month, since, cut in split_by_month(self.started, min(self.run_until, until)):
            yield month, cut - since, self.cpu_between(since, cut)
