"""A whole cluster over a period: its pods, its nodes, and who is scraped when."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from random import Random
from typing import Self

from accounting.simulation.exporters.emitters import Emitter, Timetable
from accounting.simulation.judges.truth import Claim, Owner, SimulatedPod
from accounting.simulation.judges.volumes import SimulatedVolume, volumes_of
from accounting.simulation.world.features import Features, NodeShape
from accounting.simulation.world.flavors import GIB
from accounting.simulation.world.months import month_ends_between
from accounting.simulation.world.people import make_people, pod_name
from accounting.simulation.world.pods import SERVICE, Draft, PodMaker
from accounting.simulation.world.traits import flavor_of, is_timed, traits_of

NAMESPACE = "jupyterhub"
NOBODY = Owner("", None, None, None)
PODS_PER_USER = 4
SHORTEST_LIFE = 180.0
QUICK_SHARE = 0.35


@dataclass(frozen=True)
class Cluster:
    """What `generate` made. `start` and `end` bound the metrics; pods may be older."""

    seed: int
    start: datetime
    end: datetime
    interval_seconds: float
    features: Features
    shapes: dict[str, NodeShape]
    pods: tuple[SimulatedPod, ...]
    timetable: Timetable
    namespace: str = NAMESPACE

    @classmethod
    def generate(
        cls,
        seed: int,
        start: datetime,
        end: datetime,
        *,
        pods: int = 200,
        mean_life: float = 2700.0,
        features: Features | None = None,
        interval_seconds: float = 60.0,
    ) -> Self:
        """Plan a cluster; the same arguments give the same cluster.

        Args:
            seed: Decides everything random.
            start: Aware; the first instant with metrics.
            end: Aware; the last. Pods that reach it run on.
            pods: Notebook pods, at least; the hub's own come on top.
            mean_life: Seconds that a notebook runs on average; a few run much longer.
            features: What happens; `Features.all()` by default.
            interval_seconds: The scrape interval, which sizes the pods shorter than it.
        """
        if start.tzinfo is None or end.tzinfo is None or start >= end:
            raise ValueError("start and end must be aware datetimes, start before end")
        features = features or Features.all()
        shapes = {f"node-{i}": shape for i, shape in enumerate(features.nodes, 1)}
        timetable = Timetable(start.timestamp(), end.timestamp(), features, tuple(shapes))
        planner = _Planner(seed, timetable, interval_seconds, mean_life)
        planned = tuple(sorted(planner.plan(pods), key=lambda pod: (pod.created, pod.uid)))
        return cls(seed, start, end, interval_seconds, features, shapes, planned, timetable)

    @cached_property
    def emitters(self) -> tuple[Emitter, ...]:
        """All scrape targets of the period."""
        return self.timetable.emitters()

    @cached_property
    def counted_pods(self) -> tuple[SimulatedPod, ...]:
        """The notebooks that ran: what accounting has to find."""
        return tuple(pod for pod in self.pods if pod.counted)

    @cached_property
    def pods_by_uid(self) -> dict[str, SimulatedPod]:
        """Every pod by its uid."""
        return {pod.uid: pod for pod in self.pods}

    @cached_property
    def volumes(self) -> tuple[SimulatedVolume, ...]:
        """The homes of notebooks, where something tells what is in them."""
        return volumes_of(self.counted_pods) if self.features.volumes else ()

    def shape_of(self, pod: SimulatedPod) -> NodeShape:
        """How the pod's node names cgroups."""
        return self.shapes[pod.node]


class _Planner:
    """Decides who starts which notebook when."""

    def __init__(self, seed: int, times: Timetable, interval: float, mean_life: float) -> None:
        self._rng = Random(f"{seed}/plan")  # noqa: S311 - repeatable, not secret
        self._times = times
        self._features = times.features
        self._mean_life = mean_life
        self._maker = PodMaker(seed, interval, times.end, times.reboot, times.loss)
        self._number = 0

    def plan(self, count: int) -> Iterator[SimulatedPod]:
        """At least `count` notebooks and, by feature, the hub's own pods."""
        for name, share_from, share_to in self._services():
            yield self._service(name, share_from, share_to)
        self._number = 0
        owners = iter(make_people(self._rng, count + 200, odd=self._features.odd_users))
        for since, until, node in self._fixed_lives():
            yield self._notebook(next(owners), int(since), until - since, node, timing=False)
        while self._number < count:
            yield from self._sessions(next(owners), min(PODS_PER_USER, count - self._number))

    def _fixed_lives(self) -> Iterator[tuple[float, float, str | None]]:
        """(created, about ended, node) of pods that live across an event."""
        start, end, rng = self._times.start, self._times.end, self._rng
        if self._features.old_pods:
            yield start - rng.uniform(1, 5) * 86400, end + 86400, None
            yield start - rng.uniform(600, 7200), end + 86400, None
        if self._features.month_crossers:
            for cut in month_ends_between(start, end):
                for _ in range(6):
                    yield cut - rng.uniform(600, 5400), cut + rng.uniform(600, 5400), None
        reboot = self._times.reboot
        if reboot:
            for _ in range(4):
                since, until = reboot.at - rng.uniform(600, 3600), reboot.back + 600
                yield since, until + rng.uniform(0, 3600), reboot.node

    def _sessions(self, owner: Owner, count: int) -> Iterator[SimulatedPod]:
        """Notebooks of one user, one after the other, so that the pod's name is free again."""
        rng, start, end = self._rng, self._times.start, self._times.end
        free = 0.0
        early = min(self._mean_life, end - start)
        for wish in sorted(rng.uniform(start - early, end - 60) for _ in range(count)):
            created = max(wish, free + rng.uniform(60, 240))
            if free and self._features.quick_restarts and rng.random() < QUICK_SHARE:
                created = free + rng.uniform(60, 240)
            if created >= end:
                return
            life = max(SHORTEST_LIFE, rng.expovariate(1 / self._mean_life))
            if rng.random() < 0.01:  # noqa: PLR2004 - one in a hundred is left running
                life *= 8
            if created < start and is_timed(self._number, self._features):
                created = start
            elif created < start:
                life += start - created + SHORTEST_LIFE
            pod = self._notebook(owner, int(created), life)
            yield pod
            free = pod.listed_until

    def _notebook(
        self,
        owner: Owner,
        created: int,
        life: float,
        node: str | None = None,
        *,
        timing: bool = True,
    ) -> SimulatedPod:
        number = self._number
        self._number += 1
        nodes = self._times.nodes
        name = pod_name(owner.user)
        claims: tuple[Claim, ...] = ()
        has_home = self._features.volumes or len(name) % 2 == 0
        if self._features.claims and has_home:
            claims = (Claim(f"claim-{name.removeprefix('jupyter-')}", (1 + len(name) % 20) * GIB),)
        node = node or nodes[self._rng.randrange(len(nodes))]
        loss = self._times.loss
        if loss and loss.node == node and created > loss.at - SHORTEST_LIFE:
            node = nodes[0]
        draft = Draft(
            owner=owner,
            namespace=NAMESPACE,
            name=name,
            node=node,
            created=created,
            life=life,
            flavor=flavor_of(number, self._features),
            traits=traits_of(number, self._features, timing=timing),
            claims=claims,
        )
        return self._maker.make(number, draft)

    def _services(self) -> Iterator[tuple[str, float, float]]:
        """(namespace/name, from, to) of pods that are not notebooks; shares of the period."""
        if self._features.other_pods:
            yield f"{NAMESPACE}/hub-7d9c5b6f4-x2x7q", -0.1, 2.0
            yield f"{NAMESPACE}/proxy-5f6d8c9b7-k4k2m", 0.4, 0.6
            yield f"{NAMESPACE}/user-scheduler-6c5b4d3f2-p9p8z", 0.1, 0.3
            yield "other-hub/jupyter-somebody", 0.2, 0.35
            yield "web/frontend-0", 0.5, 0.55

    def _service(self, path: str, share_from: float, share_to: float) -> SimulatedPod:
        namespace, name = path.split("/")
        length = self._times.end - self._times.start
        created = int(self._times.start + length * share_from)
        notebook = name.startswith("jupyter-")
        component = "singleuser-server" if notebook else name.rsplit("-", 2)[0].split("-0")[0]
        self._number -= 1
        draft = Draft(
            owner=Owner("somebody", None, None, None) if notebook else NOBODY,
            namespace=namespace,
            name=name,
            node=self._times.nodes[-1],
            created=created,
            life=length * (share_to - share_from),
            flavor=SERVICE,
            component=component,
            annotated=notebook,
            counted=False,
        )
        return self._maker.make(self._number, draft)
