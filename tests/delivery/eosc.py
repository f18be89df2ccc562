"""A site that tells its hours to a stand-in of EOSC's accounting."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from accounting.delivery import pusher
from accounting.delivery.eosc.access import Access
from accounting.delivery.eosc.login import Client
from accounting.delivery.eosc.sender import HoursSender
from accounting.delivery.exchange import Bounds
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.hours import Hours
from accounting.model.messages import OutletKind, address
from accounting.records.daily import Metric, Metrics
from accounting.simulation.judges.eosc import SCOPES, Eosc, EoscStandin
from accounting.store.engine.database import Database
from accounting.store.tables import progress

SMALL, LARGE = Metric("site", "small-hours"), Metric("site", "large-hours")
METRICS = Metrics({"small": SMALL, "large": LARGE})
BOUNDS = Bounds(timeout_seconds=5, total_seconds=10, most_bytes=1_000_000)
POLICY = pusher.Policy(
    records_per_message=5, close_after_seconds=2 * 86400.0, at_once=True, settle_seconds=0
)


def sender_to(
    url: str, token_url: str, database: Database, metrics: Iterable[Metric] = (SMALL,)
) -> HoursSender:
    """As the wiring builds it."""
    client = Client("client", lambda: "the-clients-secret", SCOPES)
    return Access(url, token_url, client, BOUNDS).sender(database, metrics)


@dataclass
class Site:
    """Pushes hours; ``measured`` moves the ledger's watermark."""

    database: Database
    eosc: Eosc
    standin: EoscStandin
    metrics: Metrics = METRICS
    at: float = 0.0
    policy: pusher.Policy = field(default_factory=lambda: POLICY)

    @property
    def address(self) -> str:
        return address(self.standin.url, OutletKind.HOURS)

    @property
    def outlet(self) -> Hours:
        return Hours(self.metrics)

    def measured(self, until: int) -> None:
        """As far as polls have come, Unix seconds; it is then, and at the receiver, too."""
        with self.database.begin() as connection:
            connection.execute(progress.update().values(watermark=until))
        self.at = until + 60.0

    def push(self) -> pusher.Report:
        sender = sender_to(self.standin.url, self.standin.token_url, self.database)
        outbox = Outbox(self.database, self.outlet)
        return pusher.Pusher(outbox, sender, self.policy, now=lambda: self.at).push()

    def asked(self, method: str) -> int:
        """How many requests of a method the API answered."""
        return sum(one == method for one, path, _ in self.eosc.log if "/accounting-system/" in path)
