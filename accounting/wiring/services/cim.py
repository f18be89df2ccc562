"""GreenDIGIT's CIM: it is told energy."""

from typing import TYPE_CHECKING

from accounting.config import PREFIX, Settings
from accounting.errors import SettingsError
from accounting.store.engine.database import Database

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet
    from ssm.sender import Sender


class GreenDigit:
    """See ``Service``."""

    name = "cim"
    called = "CIM"
    shows = "knows the publisher"

    def __init__(self, settings: Settings) -> None:
        self._given = settings.cim
        self._rules = settings.energy.rules
        self.interval = self._given.interval
        self.total_timeout = self._given.total_timeout

    def outlet(self) -> "Outlet":
        """See ``Service``."""
        from accounting.delivery.outlets.energy import Energy  # noqa: PLC0415 - slow to load, needed here only

        return Energy(self._rules, delay_seconds=self._given.delay)

    def sender(self, database: Database | None) -> "Sender":  # noqa: ARG002 - the protocol's signature
        """See ``Service``."""
        from accounting.delivery.cim.login import Login, Publisher  # noqa: PLC0415 - slow to load, needed here only
        from accounting.delivery.cim.sender import CimSender  # noqa: PLC0415 - slow to load, needed here only
        from accounting.delivery.exchange import Bounds, Exchange  # noqa: PLC0415 - slow to load, needed here only

        given = self._given
        bounds = Bounds(given.timeout, given.total_timeout, given.most_bytes)
        publisher = Publisher(given.email, given.password)
        login = Login(Exchange(given.url or "", bounds, given.ca_file), publisher)
        return CimSender(Exchange(given.url or "", bounds, given.ca_file), login)

    def refuse_wrong(self, settings: Settings) -> None:
        """It is told what somebody measures."""
        if not settings.energy.enabled:
            raise SettingsError(
                f"{PREFIX}CIM__URL is set, but no energy is measured",
                f"set {PREFIX}ENERGY__ENABLED=true",
            )
