"""EOSC's accounting: it is told hours."""

from typing import TYPE_CHECKING

from accounting.config import Settings
from accounting.store.engine.database import Database

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet
    from ssm.sender import Sender


class EoscAccounting:
    """See ``Service``."""

    name = "eosc"
    called = "EOSC"
    shows = "lets the client read its metrics"

    def __init__(self, settings: Settings) -> None:
        self._given = settings.eosc
        self.interval = self._given.interval
        self.total_timeout = self._given.total_timeout

    def outlet(self) -> "Outlet":
        """See ``Service``."""
        from accounting.delivery.outlets.hours import Hours  # noqa: PLC0415 - slow to load, needed here only

        given = self._given
        return Hours(given.of_flavors(), first_day=given.first, delay_seconds=given.delay)

    def sender(self, database: Database | None) -> "Sender":
        """See ``Service``."""
        from accounting.delivery.eosc.access import Access as Api  # noqa: PLC0415 - slow to load, needed here only
        from accounting.delivery.eosc.login import Client  # noqa: PLC0415 - slow to load, needed here only
        from accounting.delivery.exchange import Bounds  # noqa: PLC0415 - slow to load, needed here only

        given = self._given
        client = Client(given.client_id, given.client_secret, given.scope)
        bounds = Bounds(given.timeout, given.total_timeout, given.most_bytes)
        api = Api(given.url or "", given.token_url or "", client, bounds, given.ca_file)
        return api.sender(database, filter(None, given.of_flavors().of_flavors.values()))

    def refuse_wrong(self, settings: Settings) -> None:
        """There is none."""
