"""What was used in the open month, as the metrics show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Used:
    """What the notebooks of a VO and flavour used in the open month so far; it names nobody.

    Attributes:
        notebooks: how many.
        wall_seconds, cpu_seconds: used.
        core_seconds, gpu_seconds: wall time, times the cores or GPUs that each notebook had.
        memory_mb_seconds: wall time, times the MB of memory that each had.
        joules: energy, as far as it is known; ``joules_estimated`` is the part that is estimated.
    """

    notebooks: int
    wall_seconds: float
    cpu_seconds: float
    core_seconds: float
    memory_mb_seconds: float
    gpu_seconds: float
    joules: float = 0.0
    joules_estimated: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """What a VO's home volumes hold on the last day that was read, in bytes."""

    volumes: int
    used_bytes: int
    allocated_bytes: int


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """What was used in the open month so far.

    Attributes:
        used: by (VO, flavour).
        users: distinct users by VO.
        all_users: distinct users of all VOs.
        stored: home volumes by VO, where they are measured.
    """

    used: Mapping[tuple[str, str], Used] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    all_users: int | None = None
    stored: Mapping[str, Stored] = field(default_factory=dict)
