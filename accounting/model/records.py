"""The record of one pod in one month, its VO, and why it may be held back."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from accounting.model.accelerators import Accelerator
from accounting.model.energy import EnergyQuality
from accounting.model.time import Month


class Status(StrEnum):
    """APEL's states; notebooks are never suspended."""

    STARTED = "started"
    COMPLETED = "completed"


class Held(StrEnum):
    """Why a record does not go out."""

    NO = ""
    OWNER_UNKNOWN = "owner unknown"
    UNMAPPED = "unmapped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Vo:
    """Which VO a pod's usage counts for, and why (I2).

    Attributes:
        name: the VO; empty if none could be found.
        fqan: ``/vo/group/Role=role`` as the repository splits it.
        rule: what decided: ``map``, ``entitlement``, ``fqan``, ``plain``, ``default``, ``none``.
        source: the text it was decided from, or the map's pattern.
    """

    name: str
    fqan: str
    rule: str
    source: str


class Span(NamedTuple):
    """What a pod held for some seconds; None is unknown."""

    seconds: float
    cores: float | None
    memory_mb: float | None
    gpus: float | None


@dataclass(slots=True)
class Record:
    """The APEL cloud record of one pod in one month; durations cumulative since ``start_at``.

    ``core_seconds``, ``memory_mb_seconds`` and ``gpu_seconds`` are integrals over the wall time
    within the month of what the pod held; ``gpu_…`` are devices of known accelerators, which
    ``accelerators`` tells one by one. ``used_…`` is the part within the month: the previous
    month's record is subtracted, as the repository's summariser does (apel.md, rule 3). ``flags``
    says what was estimated or incomplete; ``held`` and ``problem`` why it stays here. ``spans`` are
    the sizes of a pod that was resized within the month, one after another: they fill
    ``used_wall_seconds``. ``joules`` is what the pod took within the month, as far as
    ``energy_quality`` says.
    """

    uid: str
    month: Month
    site: str
    compute_service: str
    cloud_type: str
    machine: str
    user: str
    group: str
    vo: Vo
    status: Status
    created_at: int
    start_at: int
    end_at: int | None
    wall_seconds: int
    cpu_seconds: int | None
    cpu_count: float | None
    received_gb: int | None
    sent_gb: int | None
    memory_mb: int | None
    disk_gb: int | None
    image: str
    flavor: str
    gpu_count: float | None
    gpu_resource: str
    benchmark_type: str
    benchmark: float | None
    flags: tuple[str, ...]
    held: Held = Held.NO
    problem: str = ""
    digest: str = ""
    used_wall_seconds: int = 0
    used_cpu_seconds: int | None = None
    core_seconds: float | None = None
    memory_mb_seconds: float | None = None
    gpu_seconds: float | None = None
    joules: float | None = None
    energy_quality: EnergyQuality = EnergyQuality.NONE
    accelerators: tuple[Accelerator, ...] = ()
    spans: tuple[Span, ...] = ()
