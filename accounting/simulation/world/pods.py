"""How one pod is made from a draft: its life, its containers and what they use."""

from dataclasses import dataclass
from math import inf
from random import Random
from uuid import UUID

from accounting.simulation.exporters.emitters import Loss, Reboot
from accounting.simulation.judges.truth import (
    Claim,
    Ending,
    Incarnation,
    Load,
    Owner,
    Resources,
    SimulatedContainer,
    SimulatedPod,
)
from accounting.simulation.world.flavors import (
    INIT_REQUESTS,
    MIB,
    NATIVE_LIMITS,
    NATIVE_REQUESTS,
    SIDECAR_LIMITS,
    SIDECAR_REQUESTS,
    WHOLE_REQUESTS,
    Flavor,
)

NOTEBOOK_IMAGE = "registry.example.org/notebooks/{flavor}:2026.1"
SIDECAR_IMAGE = "registry.example.org/notebooks/sync:1.4"
PAUSE_IMAGE = "registry.k8s.io/pause:3.9"

SLOW_SECONDS = 20 * 60
RESTART_SECONDS = 5.0
LISTED_SECONDS = 400.0
"""Pods of a node that died are listed for so long at least."""
RESTARTABLE_SECONDS = 300.0
"""A life shorter than this has no container restart."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What is decided about a pod before its details: who, where, when, how long (seconds)."""

    owner: Owner
    namespace: str
    name: str
    node: str
    created: int
    life: float
    flavor: Flavor
    traits: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    component: str = "singleuser-server"
    annotated: bool = True
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Life:
    """The instants of a pod's life (epoch seconds), as in `SimulatedPod`."""

    started: int | None
    running_from: float | None
    ended: float | None
    ending: Ending
    listed_until: float

    @property
    def running_until(self) -> float:
        """End of phase Running, or infinity."""
        return inf if self.ended is None else self.ended


def live(rng: Random, draft: Draft, interval: float, horizon: float) -> Life:
    """When the draft runs; a life that reaches past the horizon has no end."""
    begun = draft.created + 1
    if "never-scheduled" in draft.traits:
        return Life(None, None, None, "deleted", draft.created + min(draft.life, 1800.0))
    if "never-pulled" in draft.traits:
        return Life(begun, None, None, "deleted", draft.created + min(draft.life, 1800.0))
    if "slow-scheduling" in draft.traits:
        begun += SLOW_SECONDS
    pull = SLOW_SECONDS if "slow-pull" in draft.traits else 0
    running = round(begun + pull + rng.uniform(2, 20), 3)
    ended = round(running + draft.life, 3)
    aligned = {"one-sample": (0.20, 0.29), "no-sample": (0.30, 0.70)}
    for trait in draft.traits & aligned.keys():
        base = (running // interval + 1) * interval
        running, ended = (base + share * interval for share in aligned[trait])
    if "tiny" in draft.traits:
        ended = round(running + interval * rng.uniform(0.4, 1.8), 3)
    if ended >= horizon:
        return Life(begun, running, None, "deleted", inf)
    ending: Ending = "deleted"
    listed = ended
    if "completed" in draft.traits or "evicted" in draft.traits:
        ending = "completed" if "completed" in draft.traits else "evicted"
        listed = ended + rng.uniform(1, 4) * 3600
    return Life(begun, running, ended, ending, listed)


def bereft(life: Life, draft: Draft, loss: Loss | None) -> Life:
    """The same life, which ends with its node if that dies; nobody else notices for a while."""
    if loss is None or draft.node != loss.node or life.running_from is None:
        return life
    if life.running_until <= loss.at:
        return life
    kept = max(life.listed_until, loss.at + LISTED_SECONDS)
    if life.running_from < loss.at:
        return Life(life.started, life.running_from, loss.at, "lost", kept)
    is_acknowledged = life.started is not None and life.started < loss.at
    return Life(life.started if is_acknowledged else None, None, None, "deleted", kept)


class PodMaker:
    """Makes pods of drafts. `interval` (seconds) sizes the pods that are shorter than a scrape."""

    def __init__(
        self,
        seed: int,
        interval: float,
        horizon: float,
        reboot: Reboot | None,
        loss: Loss | None = None,
    ) -> None:
        self._seed = seed
        self._interval = interval
        self._horizon = horizon
        self._reboot = reboot
        self._loss = loss

    def make(self, number: int, draft: Draft) -> SimulatedPod:
        """The pod of this draft; the number seeds everything random about it."""
        rng = Random(f"{self._seed}/{number}")  # noqa: S311 - repeatable, not secret
        uid = str(UUID(int=rng.getrandbits(128), version=4))
        life = bereft(live(rng, draft, self._interval, self._horizon), draft, self._loss)
        containers = self._containers(rng, draft, life) + self._among_inits(number, draft, life)
        completion = None
        if life.ended is not None and life.ending == "completed":
            completion = int(life.ended)
        return SimulatedPod(
            uid=uid,
            namespace=draft.namespace,
            name=draft.name,
            node=draft.node,
            owner=draft.owner,
            flavor=draft.flavor.name,
            created=draft.created,
            started=life.started,
            running_from=life.running_from,
            ended=life.ended,
            ending=life.ending,
            listed_until=life.listed_until,
            completion_time=completion,
            containers=containers,
            sandbox=self._sandbox(rng, draft.node, life),
            claims=draft.claims,
            received_rate=rng.uniform(1e3, 5e6),
            sent_rate=rng.uniform(1e3, 1e6),
            component=draft.component,
            annotated=draft.annotated and "unannotated" not in draft.traits,
            conflicting_annotations="conflict" in draft.traits,
            counted=draft.counted and life.running_from is not None,
            resized_at=self._resized_at(rng, draft, life),
            whole=WHOLE_REQUESTS if "whole" in draft.traits else None,
            traits=draft.traits,
        )

    def _among_inits(self, number: int, draft: Draft, life: Life) -> tuple[SimulatedContainer, ...]:
        """A native sidecar, which runs with the pod; an init container, which ran before."""
        rng = Random(f"{self._seed}/{number}/inits")  # noqa: S311 - repeatable, not secret
        found: tuple[SimulatedContainer, ...] = ()
        if "native-sidecar" in draft.traits:
            runs = self._uninterrupted(rng, draft.node, life.running_from, life.running_until)
            found = (
                SimulatedContainer(
                    name="mount",
                    image=SIDECAR_IMAGE,
                    incarnations=runs,
                    load=_load(rng, 0.2, life),
                    memory_floor=20 * MIB,
                    requests=NATIVE_REQUESTS,
                    limits=NATIVE_LIMITS,
                    part="sidecar",
                ),
            )
        if "init" not in draft.traits:
            return found
        idle = Load(0.0, 0.0, 60.0, 0.0, 0.0)
        ordinary = SimulatedContainer(
            "prepare", SIDECAR_IMAGE, (), idle, memory_floor=0, requests=INIT_REQUESTS, part="init"
        )
        return (*found, ordinary)

    def _resized_at(self, rng: Random, draft: Draft, life: Life) -> float | None:
        if "resized" not in draft.traits or life.running_from is None:
            return None
        length = min(life.running_until, self._horizon) - life.running_from
        return round(life.running_from + max(0.0, length) * rng.uniform(0.2, 0.8), 3)

    def _containers(self, rng: Random, draft: Draft, life: Life) -> tuple[SimulatedContainer, ...]:
        flavor = draft.flavor
        main = SimulatedContainer(
            name="notebook" if draft.component == "singleuser-server" else draft.component,
            image=NOTEBOOK_IMAGE.format(flavor=flavor.name),
            incarnations=self._runs(rng, draft, life),
            load=_load(rng, flavor.requests.cpu or flavor.limits.cpu or 1.0, life),
            memory_floor=rng.randint(80, 250) * MIB,
            memory_swing=rng.randint(10, 200) * MIB,
            requests=flavor.requests,
            limits=flavor.limits,
        )
        if not draft.traits & {"sidecar", "early-sidecar"}:
            return (main,)
        finished = None
        if "early-sidecar" in draft.traits and life.running_from is not None:
            finished = round(life.running_from + min(draft.life * 0.4, 1200.0), 3)
        until = min(life.running_until, finished or inf)
        sidecar = SimulatedContainer(
            name="sync",
            image=SIDECAR_IMAGE,
            incarnations=self._uninterrupted(rng, draft.node, life.running_from, until),
            load=_load(rng, 0.1, life),
            memory_floor=20 * MIB,
            memory_swing=5 * MIB,
            requests=SIDECAR_REQUESTS,
            limits=SIDECAR_LIMITS,
            finished=finished if until == finished else None,
        )
        return (main, sidecar)

    def _sandbox(self, rng: Random, node: str, life: Life) -> SimulatedContainer:
        runs = self._uninterrupted(rng, node, life.running_from, life.running_until)
        load = Load(0.0, 0.02, 60.0, 0.01, life.running_from or 0.0)
        return SimulatedContainer("POD", PAUSE_IMAGE, runs, load, memory_floor=400 * 1024)

    def _runs(self, rng: Random, draft: Draft, life: Life) -> tuple[Incarnation, ...]:
        """The main container's runs, interrupted by its own restarts and the node's."""
        begin, end = life.running_from, life.running_until
        if begin is None or "restarted" not in draft.traits:
            return self._uninterrupted(rng, draft.node, begin, end)
        length = min(end, self._horizon) - begin
        if length < RESTARTABLE_SECONDS:
            return self._uninterrupted(rng, draft.node, begin, end)
        runs: tuple[Incarnation, ...] = ()
        for share in (0.3, 0.7):
            cut = round(begin + length * share, 3) if length else end
            runs += self._uninterrupted(rng, draft.node, begin, cut)
            begin = max(cut, runs[-1].until) + RESTART_SECONDS
            length = min(end, self._horizon) - begin
        return runs + self._uninterrupted(rng, draft.node, begin, end)

    def _uninterrupted(
        self, rng: Random, node: str, since: float | None, until: float
    ) -> tuple[Incarnation, ...]:
        """One run over [since, until), or two where the node reboots in between."""
        if since is None:
            return ()
        reboot = self._reboot if self._reboot and self._reboot.node == node else None
        if reboot and reboot.at <= since:  # nothing starts while its node is down
            since = max(since, reboot.back)
        if since >= until:
            return ()
        if not reboot or not since < reboot.at < until:
            return (Incarnation(_container_id(rng), since, until),)
        first = Incarnation(_container_id(rng), since, reboot.at)
        if reboot.back >= until:
            return (first,)
        return (first, Incarnation(_container_id(rng), reboot.back, until))


def _container_id(rng: Random) -> str:
    return f"{rng.getrandbits(256):064x}"


def _load(rng: Random, cores: float, life: Life) -> Load:
    return Load(
        idle_cores=rng.uniform(0.004, 0.02) * min(1.0, cores),
        busy_cores=cores * rng.uniform(0.3, 0.9),
        period=rng.uniform(240, 1800),
        busy_share=rng.uniform(0.1, 0.7),
        origin=life.running_from or 0.0,
    )


SERVICE_REQUESTS = Resources(0.2, 512 * MIB)
SERVICE = Flavor("service", SERVICE_REQUESTS, Resources())
"""What the hub's own pods ask for."""
