"""Energy: how well it is known, and how a site wants it told."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

ZONES = ("package", "psys", "core")
"""Kepler's zones that hold the processor, the preferred one first. They overlap."""
PLATFORM = "psys"
"""The zone that may hold the accelerators as well."""
JOULES_PER_WH = 3600.0
JOULES_PER_KWH = 3.6e6


class EnergyQuality(StrEnum):
    """How well a record's energy is known.

    Kepler gives pods their share of a node's ACTIVE energy; what an idle node takes is in no pod.
    """

    NONE = ""
    MEASURED = "measured active energy"
    PARTLY = "measured in part"
    """A day, or an accelerator, is missing: less than it was."""
    ESTIMATED = "estimated"
    """Processor time, times the site's watts for a core."""


@dataclass(frozen=True, slots=True)
class EnergyRules:
    """How energy is found out.

    Attributes:
        zones: Kepler's zones, the preferred one first; of each day, one is taken.
        watts_per_core: of a busy core, where nothing measures; None: unknown stays unknown.
    """

    zones: tuple[str, ...] = ZONES
    watts_per_core: float | None = None


class Taken(NamedTuple):
    """What a pod took in some time.

    Attributes:
        joules: None is unknown, never 0.
        quality: how well that is known.
        cpu_seconds: used meanwhile; None: unknown.
    """

    joules: float | None
    quality: EnergyQuality
    cpu_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Emission:
    """A site's grams of CO2 for each kWh that its notebooks take; None: not said."""

    grams_per_kwh: float | None = None

    def of(self, joules: float | None, quality: EnergyQuality) -> float | None:
        """CO2 of some energy, grams; None where that, or the factor, is not known."""
        if joules is None or self.grams_per_kwh is None or not quality:
            return None
        return round(joules / JOULES_PER_KWH * self.grams_per_kwh, 3)
