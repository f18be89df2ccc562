"""A node reboots while another source tells CPU: nothing is lost or counted twice, in any steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.notebooks import (
    ENGINES,
    INTERVAL,
    START,
    Notebook,
    every,
    heartbeat,
    merged,
    served,
)
from tests.exactness.polling import HOUR, poll

LIFE = 6600
END = 7200
CORES = 0.5
SCHEDULES = {
    "in one window": ([END], 6 * HOUR),
    "in windows of twenty minutes": ([END], 1200),
    "every seven minutes": ([*range(60, END, 420), END], 6 * HOUR),
    "every half an hour": ([*range(1500, END, 1800), END], 6 * HOUR),
}

Told = Callable[[Notebook, float, float, Callable[[float], float]], None]


def endpoint(one: Notebook, since: float, until: float, used: Callable[[float], float]) -> None:
    """The kubelet's resource endpoint."""
    place = f'namespace="{NAMESPACE}",pod="{one.name}"'
    points = every(since, until, used, shift=7)
    one.say(f"pod_cpu_usage_seconds_total{{{place}}}", points)
    one.say(f'container_cpu_usage_seconds_total{{{place},container="notebook"}}', points)


def otel(one: Notebook, since: float, until: float, used: Callable[[float], float]) -> None:
    one.otel(since, until, used)


def runtime(one: Notebook, since: float, until: float, used: Callable[[float], float]) -> None:
    """The runtime's statistics, of containers alone: one that is made anew has another id."""
    place = f'namespace="{NAMESPACE}",pod="{one.name}",container="notebook",image="i"'
    begun, before = 0, 0.0
    for at, value in every(since, until, used, shift=7):
        begun += value < before
        before = value
        path = f"{100 * one.number + begun:064x}"
        one.say(f'container_cpu_usage_seconds_total{{{place},id="{path}"}}', [(at, value)])


@dataclass(frozen=True)
class World:
    """When cAdvisor is silent, and the other source speaks, and when the node reboots.

    Seconds after the start. ``since`` is when cAdvisor begins, ``until`` when it ends.
    ``refreshes`` are when the other source begins at 0 by itself.
    """

    since: float = 30
    silence: tuple[float, float] = (1800, 5400)
    other: tuple[float, float] = (1830, 5370)
    reboots: Sequence[float] = (2700,)
    refreshes: Sequence[float] = field(default=())
    until: float = LIFE

    def used(self, at: float) -> float:
        """The pod's cgroup, made anew when its node reboots."""
        return CORES * (at - max((r for r in self.reboots if r <= at), default=0.0))

    def summed(self, at: float) -> float:
        """What the other source says."""
        since = max((r for r in (*self.reboots, *self.refreshes) if r <= at), default=0.0)
        return CORES * (at - since)


WORLDS = {
    "a reboot": World(),
    "a reboot, and the other source speaks all the time": World(other=(30, LIFE)),
    "the silence ends soon": World(silence=(1800, 3000), other=(1830, 2970)),
    "the silence is short": World(silence=(2520, 2880), other=(2550, 2850)),
    "it begins with the reboot": World(silence=(2700, 4500), other=(2730, 4470), reboots=(2715,)),
    "it ends with the reboot": World(silence=(1800, 3000), other=(1830, 2970), reboots=(2985,)),
    "two reboots": World(reboots=(2700, 4000)),
    "no reboot": World(reboots=()),
    "reboots before and after": World(
        silence=(1800, 3000), other=(1830, 2970), reboots=(900, 4200)
    ),
    "the other source came first": World(1230, (2400, 4200), (30, 1200), ()),
    "the other source came first, and a reboot": World(1230, (2400, 4200), (30, 1200), (600,)),
    "the other source is heard in a silence, and later alone": World(
        silence=(3000, 3270), other=(3240, LIFE), reboots=(900,), until=5000
    ),
    "the other source alone begins anew": World(reboots=(), refreshes=(2700,)),
}
OTHERS: dict[str, Told] = {
    "the resource endpoint": endpoint,
    "OpenTelemetry": otel,
    "the runtime": runtime,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("other", OTHERS)
def test_a_node_that_reboots_while_another_source_speaks_loses_nothing_in_any_steps(
    tmp_path: Path, new_ledger: Callable[[], str], other: str, engine: str
) -> None:
    notebooks = {}
    for number, (name, world) in enumerate(WORLDS.items(), 1):
        one = notebooks[name] = Notebook(number, until=LIFE, name=f"jupyter-{number}")
        one.run()
        silent, spoken = world.silence
        one.cgroup(world.since, silent, world.used)
        one.cgroup(spoken, world.until, world.used)
        OTHERS[other](one, *world.other, world.summed)
    seen = merged(heartbeat(END), *(one.seen for one in notebooks.values()))
    found = []
    with served(tmp_path, seen, engine) as url:
        for cuts, length in SCHEDULES.values():
            found.append(poll(url, new_ledger(), *(START + at for at in cuts), step=length))
    wrong = []
    for name, world in WORLDS.items():
        told = [every_way.pods[notebooks[name].uid]["cpu_seconds"] for every_way in found]
        # What was used since the last sample before a reboot, or a change of source, is lost.
        lost = 2 * INTERVAL * CORES * (1 + len(world.reboots))
        if not all(LIFE * CORES - lost <= cpu <= LIFE * CORES for cpu in told):
            wrong.append((name, told))
        if len(set(told)) > 1:
            wrong.append((name, told))
    assert wrong == []
    assert found[1:] == found[:-1]
