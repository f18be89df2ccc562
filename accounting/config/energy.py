"""Settings of energy: what is measured of it, and what it stands for."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from accounting.config.values import Group, Text
from accounting.model.energy import ZONES, EnergyRules
from notebooks_settings.values import listed

Zones = Annotated[tuple[Text, ...], BeforeValidator(listed)]


class EnergySettings(Group):
    """What notebooks take of energy. Off by default."""

    enabled: bool = Field(
        default=False,
        description="Read each notebook's energy from Kepler (0.10 or newer), and that of whole "
        "GPUs from DCGM.",
        examples=[True],
    )
    zones: Zones = Field(
        default=ZONES,
        min_length=1,
        description="Kepler's zones, the preferred one first; in the environment a JSON list, or "
        "names with commas between them. They overlap, so they are never added up: of each "
        "notebook, the first one that Kepler tells of it is taken.",
        examples=["package,psys"],
    )
    watts_per_core: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Watts of a busy core, to estimate notebooks that nothing measures, as most "
        "virtual machines show no energy; unknown if not given. Such figures are marked as "
        "estimated.",
        examples=[7.5],
    )
    grams_per_kwh: float | None = Field(
        default=None,
        ge=0,
        le=5000,
        description="Grams of CO2 for each kWh at the site, its cooling included: pages and API "
        "then say the CO2 of what was used. Not said if not given.",
        examples=[210],
    )

    @property
    def rules(self) -> EnergyRules:
        """How energy is found out."""
        return EnergyRules(self.zones, self.watts_per_core)
