"""The receivers that have settings of their own, a module each: an outlet to another adds one."""

from collections.abc import Iterator

from accounting.config import Settings
from accounting.wiring.services.cim import GreenDigit
from accounting.wiring.services.eosc import EoscAccounting
from accounting.wiring.services.service import Service

__all__ = ["Service", "services"]


def services(settings: Settings) -> Iterator[Service]:
    """Those that the settings have, in the order in which they are told."""
    if settings.eosc.url is not None:
        yield EoscAccounting(settings)
    if settings.cim.url is not None:
        yield GreenDigit(settings)
