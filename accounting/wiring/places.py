"""The destinations that the settings have, and what each takes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accounting.config import Settings
from accounting.config.cim import CimSettings
from accounting.config.delivery import SsmSettings
from accounting.config.eosc import EoscSettings
from accounting.model.energy import EnergyRules

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet


FIRST = "apel"
"""The name of the destination that ``ssm`` has."""
EOSC = "eosc"
"""The name of the destination that ``eosc`` has."""
CIM = "cim"
"""The name of the destination that ``cim`` has."""


@dataclass(frozen=True, slots=True)
class Place:
    """A destination of the settings: its name there, and how to reach it.

    Attributes:
        ssm: how messages are made, sent and tried again.
        eosc: where hours go instead of a broker; None: to the broker or spool of ``ssm``.
        cim: where energy goes instead of a broker; None: to the broker or spool of ``ssm``.
        energy: how that is found out.
    """

    name: str
    ssm: SsmSettings
    eosc: EoscSettings | None = None
    cim: CimSettings | None = None
    energy: EnergyRules = field(default_factory=EnergyRules)

    @property
    def is_signed(self) -> bool:
        """Whether messages go to a broker or spool, and not to a receiver over HTTP."""
        return self.eosc is None and self.cim is None


def places(settings: Settings) -> Iterator[Place]:
    """The destinations of the settings, in their order."""
    yield Place(FIRST, settings.ssm)
    for name, given in settings.destinations.items():
        yield Place(name, given.over(settings.ssm))
    if settings.eosc.url is not None:
        timing = {name: getattr(settings.eosc, name) for name in ("interval", "total_timeout")}
        yield Place(EOSC, settings.ssm.model_copy(update=timing), settings.eosc)
    if settings.cim.url is not None:
        timing = {name: getattr(settings.cim, name) for name in ("interval", "total_timeout")}
        yield Place(
            CIM,
            settings.ssm.model_copy(update=timing),
            cim=settings.cim,
            energy=settings.energy.rules,
        )


def outlet_of(place: Place) -> "Outlet":
    """What a destination takes: its figures, their text and their keys."""
    if eosc := place.eosc:
        from accounting.delivery.outlets.hours import Hours  # noqa: PLC0415 - slow to load, needed here only

        return Hours(eosc.of_flavors(), first_day=eosc.first, delay_seconds=eosc.delay)
    if cim := place.cim:
        from accounting.delivery.outlets.energy import Energy  # noqa: PLC0415 - slow to load, needed here only

        return Energy(place.energy, delay_seconds=cim.delay)
    from accounting.delivery.outlets.accelerators import Accelerators  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.records import CloudRecords  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.storage import Storage  # noqa: PLC0415 - slow to load, needed here only
    from accounting.delivery.outlets.summaries import Summaries  # noqa: PLC0415 - slow to load, needed here only

    match place.ssm.records:
        case "summary":
            return Summaries()
        case "accelerators":
            return Accelerators()
        case "storage":
            return Storage()
        case _:
            return CloudRecords()
