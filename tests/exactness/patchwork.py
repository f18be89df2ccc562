"""Random small worlds: notebooks on nodes whose sources of CPU come, change, fall silent and go.

Unlike the simulated cluster, they are put together of what sources say, whether or not a kubelet
has said just that: which source speaks when, beside which, and through which restarts.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.notebooks import INTERVAL, START, Notebook

LIFE = 7200
END = LIFE + 300
NOTEBOOKS = 8
MOST_CORES = 2.0
_RATES = (0.0, 0.01, 0.2, 0.5, 1.0, 1.9)
_SOURCES = ("pods", "pods", "containers", "endpoint", "runtime")
"""Of which one speaks at any time: cAdvisor with pods' cgroups or without, and so on."""


@dataclass(frozen=True)
class Node:
    """What tells CPU of its pods, in seconds after the start.

    Attributes:
        spans: since when, until when, and which sources.
        silence: nobody speaks from when to when.
        reboot_at: its pods' cgroups begin at 0 again, and their containers with them.
        is_elsewhere: processes are in other cgroups than their pod's own, which stands still.
        phase: of its scrapes, by source.
    """

    spans: Sequence[tuple[float, float, frozenset[str]]]
    silence: tuple[float, float]
    reboot_at: float
    is_elsewhere: bool
    phase: dict[str, float]


@dataclass
class Patch(Notebook):
    """A notebook, what its containers use, and since when each of them has run."""

    node: Node = Node((), (0, 0), math.inf, is_elsewhere=False, phase={})
    rates: Sequence[tuple[float, float]] = ()
    restarts: Sequence[float] = ()

    def used(self, at: float) -> float:
        """Core-seconds since its begin."""
        ends = [*(since for since, _ in self.rates[1:]), self.until]
        return sum(
            rate * (min(at, end) - since)
            for (since, rate), end in zip(self.rates, ends, strict=True)
            if since < at
        )

    def since_reboot(self, at: float) -> float:
        """What the pod's own cgroup has counted."""
        again = self.node.reboot_at
        return self.used(at) - (self.used(again) if self.since < again <= at else 0.0)

    def spoken(self, source: str) -> Iterator[float]:
        """When a source speaks of it."""
        phase = self.node.phase[source]
        for since, until, sources in self.node.spans:
            if source in sources:
                for at in times(max(since, self.since), min(until, self.until), phase):
                    if not self.node.silence[0] <= at < self.node.silence[1]:
                        yield at

    def tell(self) -> None:
        """What all sources say of its CPU."""
        place, box = self.place, ',container="notebook",image="i"'
        cpu, own = "container_cpu_usage_seconds_total", 0 if self.node.is_elsewhere else 1
        for at in self.spoken("pods"):
            self.note(f'{cpu}{{{place},id="{self.path}"}}', at, self.since_reboot(at) * own)
        for source in ("pods", "containers", "runtime"):
            for at in self.spoken(source):
                number, begun_at = self.running(at)
                name = f"{number + 100 * self.number:064x}"
                path = name if source == "runtime" else f"{self.path}/{name}"
                used = self.used(at) - self.used(begun_at)
                used = math.floor(used) if source == "runtime" else used
                self.note(f'{cpu}{{{place}{box},id="{path}"}}', at, used)
        for at in self.spoken("endpoint"):
            _, begun_at = self.running(at)
            self.note(f"pod_cpu_usage_seconds_total{{{place}}}", at, self.since_reboot(at))
            of_box = f'{cpu}{{{place},container="notebook"}}'
            self.note(of_box, at, self.used(at) - self.used(begun_at))
        for at in self.spoken("otel"):
            of_pod = f'k8s_namespace_name="{NAMESPACE}",k8s_pod_name="{self.name}"'
            series = f'k8s_pod_cpu_time_seconds_total{{{of_pod},k8s_pod_uid="{self.uid}"}}'
            self.note(series, at, self.since_reboot(at))
        self.seen = {name: sorted(points) for name, points in self.seen.items()}

    def running(self, at: float) -> tuple[int, float]:
        """Which of its containers runs at a time, and since when."""
        begins = [self.since, *self.restarts]
        number = sum(begin <= at for begin in begins) - 1
        return number, begins[number]

    def note(self, series: str, at: float, value: float) -> None:
        """Add a sample."""
        self.seen.setdefault(series, []).append((START + at, value))

    @property
    def lost(self) -> float:
        """What may be lost at most: around each change, in silences, and to whole seconds."""
        changes = len(self.restarts) + len(self.node.spans)
        silent = max(0.0, min(self.node.silence[1], self.until) - self.node.silence[0])
        return MOST_CORES * (2 * INTERVAL * (1 + changes) + 2 * silent) + changes


def times(since: float, until: float, phase: float) -> Iterator[float]:
    """Scrapes in [since, until]."""
    first = math.ceil((since - phase) / INTERVAL)
    last = math.floor((until - phase) / INTERVAL)
    return (phase + INTERVAL * number for number in range(first, last + 1))


def drawn(seed: int) -> list[Patch]:
    """The notebooks of a world."""
    rng = Random(f"patchwork/{seed}")  # noqa: S311 - repeatable, not secret
    nodes = [_node(rng) for _ in range(3)]
    return [_notebook(rng, number, rng.choice(nodes)) for number in range(1, NOTEBOOKS + 1)]


def _node(rng: Random) -> Node:
    changes = sorted(rng.uniform(0, LIFE) for _ in range(rng.choice((0, 0, 1, 1, 2))))
    spans = []
    for since, until in zip([-math.inf, *changes], [*changes, math.inf], strict=True):
        sources = {rng.choice(_SOURCES)}
        sources |= {
            more for more, part in (("endpoint", 0.35), ("otel", 0.2)) if rng.random() < part
        }
        spans.append((since, until, frozenset(sources)))
    silent = rng.uniform(0, LIFE) if rng.random() < 0.3 else 0.0
    return Node(
        spans,
        (silent, silent + rng.choice((60, 120, 240, 700)) * (silent > 0)),
        rng.uniform(600, LIFE - 300) if rng.random() < 0.15 else math.inf,
        is_elsewhere=rng.random() < 0.3,
        phase={name: rng.uniform(0, INTERVAL) for name in (*_SOURCES, "otel")},
    )


def _notebook(rng: Random, number: int, node: Node) -> Patch:
    since = INTERVAL * rng.randrange(LIFE * 4 // 5 // INTERVAL)
    until = min(since + rng.uniform(200, LIFE), LIFE)
    rates = []
    at: float = since
    while at < until:
        rates.append((at, rng.choice(_RATES)))
        at += rng.uniform(100, 1500)
    restarts = [rng.uniform(since, until) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    if since < node.reboot_at < until:
        restarts.append(node.reboot_at)
    one = Patch(number, since, until, f"jupyter-{number}", {}, node, rates, sorted(restarts))
    one.run()
    one.tell()
    return one
