"""A site that tells its energy to a stand-in of GreenDIGIT's CIM."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from accounting.delivery import pusher
from accounting.delivery.cim.login import Login, Publisher
from accounting.delivery.cim.sender import CimSender
from accounting.delivery.exchange import Bounds, Exchange
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.energy import Energy
from accounting.model.energy import EnergyRules
from accounting.model.messages import OutletKind, address
from accounting.model.pods import Account, DayReading
from accounting.records import builder
from accounting.simulation.judges.cim import Cim, CimStandin
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.rows import RECORD_COLUMNS, record_row
from accounting.store.tables import progress, records
from tests.delivery.books import RULES, SITE, account, write

BOUNDS = Bounds(timeout_seconds=5, total_seconds=10, most_bytes=1_000_000)
ENERGY = EnergyRules()
DAY = 86400
POLICY = pusher.Policy(
    records_per_message=5, close_after_seconds=2 * 86400.0, at_once=True, settle_seconds=0
)


PASSWORD = Cim().publisher[1]


def sender_to(base: str, password: str = PASSWORD) -> CimSender:
    """As the wiring builds it."""
    login = Login(Exchange(base, BOUNDS), Publisher("site@example.org", lambda: password))
    return CimSender(Exchange(base, BOUNDS), login)


def measured(page: Account, *days: tuple[int, float, float]) -> Account:
    """With each (day of its month from 0, CPU seconds so far, joules so far)."""
    first = page.pod.start_at // DAY
    for day, cpu, joules in days:
        at = (first + day + 1) * DAY
        page.days[first + day] = DayReading(at, cpu, (("package", joules), ("psys", 2 * joules)))
    return page


@dataclass
class EnergySite:
    """Pushes energy; ``poll`` moves the ledger's watermark."""

    database: Database
    cim: Cim
    standin: CimStandin
    at: float = 0.0
    password: str = PASSWORD
    policy: pusher.Policy = field(default_factory=lambda: POLICY)

    @property
    def address(self) -> str:
        return address(self.standin.base, OutletKind.ENERGY)

    @property
    def outlet(self) -> Energy:
        return Energy(ENERGY)

    def poll(self, pages: list[Account], until: int) -> None:
        """Write pages as a poll that measures energy would; it is ``until`` then."""
        write(self.database, pages)
        site = replace(SITE, energy=ENERGY)
        found = [r for page in pages for r in builder.records(page, site, RULES)]
        with self.database.begin() as connection:
            rows = [record_row(record) for record in found]
            self.database.write(connection, records, RECORD_COLUMNS, rows)
            note_change(connection, {record.month for record in found})
        self.measured(until)

    def measured(self, until: int) -> None:
        """As far as polls have come, Unix seconds."""
        with self.database.begin() as connection:
            connection.execute(progress.update().values(watermark=until))
        self.at = until + 60.0

    def push(self) -> pusher.Report:
        outbox = Outbox(self.database, self.outlet)
        sender = sender_to(self.standin.base, self.password)
        return pusher.Pusher(outbox, sender, self.policy, now=lambda: self.at).push()


def notebook(number: int) -> Account:
    """It runs from 01:00 of the month's first day on."""
    return account(number)


@contextmanager
def telling(database: Database) -> Iterator[EnergySite]:
    cim = Cim()
    with CimStandin(cim) as standin:
        made = EnergySite(database, cim, standin)
        cim.now = lambda: made.at
        yield made
