"""Accelerators: what a pod asks for, what its node says of them, and what a record says."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Amounts = tuple[tuple[str, float], ...]
"""(resource, how many of it), by names as kube-state-metrics has them: ``nvidia_com_gpu``."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands beside a pod's requests.

    Attributes:
        labels: those of its node that tell devices' models and in how many parts each is, as
            (name, value); names as kube-state-metrics has them, without ``label_``.
        claims: the pod's resource claims (DRA), by their templates' names, else their own.
    """

    labels: tuple[tuple[str, str], ...] = ()
    claims: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.claims)


ALONE = Surroundings()
"""Nothing is known of a pod's surroundings."""


class UseKey(NamedTuple):
    """Whose use it is: of a UTC day since the epoch, and a MIG profile; empty: whole devices."""

    day: int
    profile: str


class Use(NamedTuple):
    """Use of a pod's devices within a day, all of them added up.

    Attributes:
        active_seconds: in which a device's engines were busy, times how busy they were.
        joules: that they took; None where nothing tells.
        model: as the devices themselves have it.
    """

    active_seconds: float | None
    joules: float | None
    model: str = ""


class Type(StrEnum):
    """APEL's types of accelerators."""

    GPU = "GPU"
    FPGA = "FPGA"
    OTHER = "Other"


class Quality(StrEnum):
    """How far the use of an accelerator is known, beside what was held."""

    MEASURED = "measured"
    UNMEASURED = "not measured"
    SHARED = "not told apart"
    NOT_COUNTABLE = "not countable"
    UNKNOWN = "unknown resource"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What a pod held of one kind of accelerator within a month.

    Attributes:
        resource: its name, such as ``nvidia_com_gpu_shared``; of a claim, its template's.
        type: what APEL calls it; empty where no rule knows the resource.
        model: such as ``NVIDIA-A100-SXM4-40GB-MIG-1g.5gb``; the resource where nothing tells more.
        count: devices: how many of the resource, times ``share``; the mean over time where it
            changed. None: only a claim is known.
        share: of a device that one of the resource is; 0.25 for one of four slices.
        held_seconds: wall time within the month while it was held.
        active_seconds: of those, how long a device was busy, on average; None: unknown.
        joules: that all of its devices took within the month; None: unknown.
        quality: how far its use is known.
    """

    resource: str
    type: str
    model: str
    count: float | None
    share: float
    held_seconds: int
    active_seconds: int | None = None
    joules: float | None = None
    quality: Quality = Quality.UNMEASURED
