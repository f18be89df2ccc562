"""A row of a summary: measured, going out, delivered."""

import msgspec

from accounting.lookup.sums.outgoing import NOTHING, Part
from accounting.model.energy import EnergyQuality

FIGURES = (
    "pods",
    "users",
    "wall_seconds",
    "cpu_seconds",
    "core_seconds",
    "memory_mb_seconds",
    "gpu_seconds",
    "pods_without_cpu",
    "joules",
    "joules_estimated",
    "pods_without_energy",
    "energy_quality",
)
"""What a row says of what was measured, in the order in which answers and files have it."""
PART_FIGURES = ("pods", "wall_seconds", "cpu_seconds")
"""What ``goes_out`` and ``delivered`` say."""


class Usage(msgspec.Struct, frozen=True):
    """A row of a summary: of thousands, a dataclass would take as long as to add them up.

    Attributes:
        key: what it stands for, by the question's ``by``; months and days as ISO 8601.
        pods: notebooks.
        users: distinct users, as records show them.
        wall_seconds, cpu_seconds: used within the row's time.
        core_seconds: wall time, times the cores that each notebook had.
        memory_mb_seconds: wall time, times the MB of memory that each had.
        gpu_seconds: wall time, times the GPUs that each had.
        pods_without_cpu: those whose CPU time is unknown, which counts as nothing here.
        joules: energy, as far as it is known; ``joules_estimated`` is the part that is estimated.
        pods_without_energy: those of which not all energy is known, which counts as nothing here.
        goes_out: what is not held back.
        delivered: what the repository was given so far; None where days are told apart: it is
            given months.
    """

    key: dict[str, str]
    pods: int
    users: int
    wall_seconds: int
    cpu_seconds: int
    core_seconds: float
    memory_mb_seconds: float
    gpu_seconds: float
    pods_without_cpu: int
    joules: float = 0.0
    joules_estimated: float = 0.0
    pods_without_energy: int = 0
    goes_out: Part = NOTHING
    delivered: Part | None = None

    @property
    def energy_quality(self) -> EnergyQuality:
        """How well the energy is known: that of the worst part."""
        if self.joules_estimated:
            return EnergyQuality.ESTIMATED
        if not self.joules:
            return EnergyQuality.NONE
        return EnergyQuality.PARTLY if self.pods_without_energy else EnergyQuality.MEASURED

    @property
    def measured(self) -> Part:
        """The figures that ``goes_out`` and ``delivered`` are parts of."""
        return Part(self.pods, self.wall_seconds, self.cpu_seconds)

    def told(self, goes_out: Part, delivered: Part | None) -> "Usage":
        """The same row with both. Hot loop: ``replace`` takes longer."""
        return Usage(
            self.key,
            self.pods,
            self.users,
            self.wall_seconds,
            self.cpu_seconds,
            self.core_seconds,
            self.memory_mb_seconds,
            self.gpu_seconds,
            self.pods_without_cpu,
            self.joules,
            self.joules_estimated,
            self.pods_without_energy,
            goes_out,
            delivered,
        )

    @property
    def differs(self) -> bool:
        """Whether not all that was measured goes out, or not all was delivered."""
        return {self.goes_out, self.delivered or self.goes_out} != {self.measured}
