"""Which pod shows which feature: every so many pods, so that small clusters have one of each."""

from dataclasses import dataclass

from accounting.simulation.world.features import Features
from accounting.simulation.world.flavors import (
    DEVICE_FLAVORS,
    GPU_FLAVORS,
    ODD_FLAVORS,
    PLAIN_FLAVORS,
    Flavor,
)


@dataclass(frozen=True, slots=True)
class Trait:
    """A pod shows it when `switch` is on and its number modulo `every` is `at`.

    Traits with `timing` decide when a pod runs and how it ends; a pod has one of those at most, the
    first in the list.
    """

    name: str
    switch: str
    every: int
    at: int
    timing: bool = False


TRAITS = (
    Trait("never-scheduled", "never_running", 80, 11, timing=True),
    Trait("never-pulled", "never_running", 80, 51, timing=True),
    Trait("one-sample", "short_pods", 40, 13, timing=True),
    Trait("no-sample", "short_pods", 40, 27, timing=True),
    Trait("tiny", "short_pods", 40, 33, timing=True),
    Trait("slow-scheduling", "slow_pending", 30, 5, timing=True),
    Trait("slow-pull", "slow_pending", 60, 20, timing=True),
    Trait("completed", "completed", 25, 3, timing=True),
    Trait("evicted", "evicted", 25, 8, timing=True),
    Trait("restarted", "container_restarts", 9, 2),
    Trait("resized", "resized", 5, 1),
    Trait("sidecar", "sidecars", 11, 4),
    Trait("early-sidecar", "sidecars", 22, 15),
    Trait("native-sidecar", "native_sidecars", 7, 3),
    Trait("init", "init_containers", 6, 2),
    Trait("whole", "pod_resources", 8, 5),
    Trait("dipping", "dips", 3, 1),
    Trait("spiking", "spikes", 4, 2),
    Trait("unannotated", "unannotated", 35, 17),
    Trait("conflict", "annotation_conflicts", 20, 9),
)


def traits_of(number: int, features: Features, *, timing: bool = True) -> frozenset[str]:
    """The traits of the pod with this number; `timing=False` leaves its life to the caller."""
    chosen: set[str] = set()
    taken = not timing
    for trait in TRAITS:
        if getattr(features, trait.switch) and number % trait.every == trait.at:
            if trait.timing and taken:
                continue
            taken = taken or trait.timing
            chosen.add(trait.name)
    return frozenset(chosen)


def is_timed(number: int, features: Features) -> bool:
    """Whether a trait decides when the pod with this number runs and how it ends."""
    shown = traits_of(number, features)
    return any(trait.timing and trait.name in shown for trait in TRAITS)


def flavor_of(number: int, features: Features) -> Flavor:
    """The server size of the pod with this number."""
    if features.gpus and number % 16 == 7:  # noqa: PLR2004 - one in sixteen
        return GPU_FLAVORS[number // 16 % len(GPU_FLAVORS)]
    if features.accelerators and number % 5 == 4:  # noqa: PLR2004 - one in five
        return DEVICE_FLAVORS[number // 5 % len(DEVICE_FLAVORS)]
    if features.odd_requests and number % 6 == 1:
        return ODD_FLAVORS[number // 6 % len(ODD_FLAVORS)]
    return PLAIN_FLAVORS[number % len(PLAIN_FLAVORS)]
