"""What home volumes really hold, at any instant. Epoch seconds (UTC), bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal
from zlib import crc32

from accounting.simulation.judges.truth import Claim, Owner, SimulatedPod

MIB = 2**20
BEFORE_SECONDS = 600.0
"""A claim is made that long before the first pod that uses it."""

Medium = Literal["own", "share", "silent"]
"""A file system of its own; a folder of a share, whose figures the kubelet tells instead, and a
directory-size exporter tells the folder's; one of which nothing tells more than its size."""


@dataclass(frozen=True, slots=True)
class SimulatedVolume:
    """A user's home. It grows while a notebook runs, at a rate of its own, and never otherwise."""

    namespace: str
    claim: Claim
    owner: Owner
    pods: tuple[SimulatedPod, ...]
    medium: Medium
    is_annotated: bool

    @property
    def created(self) -> float:
        """When the claim was made."""
        return min(pod.created for pod in self.pods) - BEFORE_SECONDS

    @property
    def mounts(self) -> list[tuple[SimulatedPod, float, float]]:
        """(pod, since, until) for every pod that ran with it."""
        return [
            (pod, pod.running_from, pod.run_until)
            for pod in self.pods
            if pod.running_from is not None
        ]

    def used_at(self, instant: float) -> int:
        """Bytes in it; at most nine tenths of its size."""
        mounted = sum(max(0.0, min(until, instant) - since) for _, since, until in self.mounts)
        rate = 1000 + self._draw % 40_000
        return min(self.claim.size * 9 // 10, self._draw % (300 * MIB) + int(mounted * rate))

    @property
    def _draw(self) -> int:
        return crc32(self.claim.name.encode())


def volumes_of(pods: Iterable[SimulatedPod]) -> tuple[SimulatedVolume, ...]:
    """The volumes that pods mount, by name; one of five is a share's, one is silent."""
    mounted = sorted(
        ((pod.namespace, claim.name, claim, pod) for pod in pods for claim in pod.claims),
        key=lambda found: (*found[:2], found[3].created, found[3].uid),
    )
    made = []
    for number, (_, found) in enumerate(groupby(mounted, key=lambda found: found[:2])):
        (namespace, _, claim, first), *more = found
        medium: Medium = {3: "share", 4: "silent"}.get(number % 5, "own")  # type: ignore[assignment]
        users = (first, *(pod for *_, pod in more))
        annotated = number % 7 != 1
        made.append(SimulatedVolume(namespace, claim, first.owner, users, medium, annotated))
    return tuple(made)
