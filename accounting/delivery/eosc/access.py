"""Puts the sender of hours together."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from accounting.delivery.eosc.api import Api
from accounting.delivery.eosc.ids import Ids, KeptIds, NoIds
from accounting.delivery.eosc.login import Client, Login
from accounting.delivery.eosc.sender import HoursSender
from accounting.delivery.exchange import Bounds, Exchange
from accounting.model.messages import OutletKind, address
from accounting.records.daily import Metric
from accounting.store.engine.database import Database


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach EOSC's accounting.

    Attributes:
        url: the API's base.
        token_url: the provider's token endpoint.
        client: who asks.
        bounds: of each request.
        ca_file: certificate authorities of both; None for those of the system.
    """

    url: str
    token_url: str
    client: Client
    bounds: Bounds
    ca_file: Path | None = None

    def sender(self, database: Database | None, metrics: Iterable[Metric] = ()) -> HoursSender:
        """What tells hours.

        Args:
            database: keeps the ids that the receiver gives; None: it can look only.
            metrics: what ``check`` looks at.
        """
        ids: Ids = NoIds()
        if database is not None:
            ids = KeptIds(database, address(self.url, OutletKind.HOURS))
        login = Login(Exchange(self.token_url, self.bounds, self.ca_file), self.client)
        api = Api(Exchange(self.url, self.bounds, self.ca_file), login)
        return HoursSender(self.url, api, ids, metrics)
