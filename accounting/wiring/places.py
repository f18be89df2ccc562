"""The destinations that the settings have, and what each takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounting.config import Settings
from accounting.config.delivery import SsmSettings
from accounting.wiring.services import Service, services

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet


FIRST = "apel"
"""The name of the destination that ``ssm`` has."""


@dataclass(frozen=True, slots=True)
class Place:
    """A destination of the settings: its name there, and how to reach it.

    Attributes:
        ssm: how messages are made, sent and tried again.
        service: where they go instead of the broker or spool of ``ssm``; None: there.
    """

    name: str
    ssm: SsmSettings
    service: Service | None = None


def places(settings: Settings) -> Iterator[Place]:
    """The destinations of the settings, in their order."""
    yield Place(FIRST, settings.ssm)
    for name, given in settings.destinations.items():
        yield Place(name, given.over(settings.ssm))
    for service in services(settings):
        timing = {"interval": service.interval, "total_timeout": service.total_timeout}
        yield Place(service.name, settings.ssm.model_copy(update=timing), service)


def outlet_of(place: Place) -> "Outlet":
    """What a destination takes: its figures, their text and their keys."""
    if place.service is not None:
        return place.service.outlet()
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
