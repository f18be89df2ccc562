"""What was delivered of a month, by site and VO, held against what the accounting portal shows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from accounting.delivery.receiver import delivered_rows, split
from accounting.model.messages import OutletKind
from accounting.model.reconciliation import Answer, Reconciliation, Shown, Told, Unit, Used
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.records.reconciliation import Key, Terms, compared, key_of
from accounting.store.engine.database import Database
from accounting.store.reconciliations import Reconciliations

_Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Policy:
    """How the portal's figures are read.

    Attributes:
        tolerance: differences up to this part of a figure are none.
        delay_seconds: the portal may not show yet what was delivered within this time.
        unit: the portal's; None: as the last month said in which both sides agreed.
    """

    tolerance: float = 0.01
    delay_seconds: float = 2 * 86400.0
    unit: Unit | None = None


class Reconciler:
    """Compares one destination's deliveries with the portal, and keeps each comparison.

    Args:
        database: the ledger's.
        destination: whose deliveries, as messages name it.
        kind: what it takes: records or summaries.
        site: the site's name now; deliveries may name earlier ones.
        policy: how to compare.
    """

    def __init__(
        self,
        database: Database,
        destination: str,
        kind: OutletKind,
        site: str,
        policy: Policy,
    ) -> None:
        self.database = database
        self._destination = destination
        self._kind = kind
        self._site = site
        self._policy = policy

    def wanted(self, month: Month) -> Callable[[Shown], bool]:
        """Which of the portal's rows are about this month and our sites."""
        told, _ = self._told(month)
        sites = {self._site.casefold(), *(site for site, _ in told)}
        return lambda row: row.month == month and row.site.casefold() in sites

    def reconcile(
        self, month: Month, answer: Answer, source: str, read_at: float, now: float
    ) -> Reconciliation:
        """Compare, and keep it.

        Args:
            month: the month.
            answer: the portal's rows that are ``wanted``.
            source: where they came from.
            read_at: when the portal said it, Unix seconds.
            now: Unix seconds.
        """
        policy = self._policy
        told, forgotten = self._told(month)
        fresh_from = read_at - policy.delay_seconds
        terms = Terms(policy.tolerance, fresh_from, self._unit(), forgotten)
        unit, lines = compared(answer, told, terms)
        made = Reconciliation(month, self._destination, now, source, unit, answer.is_partial, lines)
        Reconciliations(self.database).keep(made)
        return made

    def _unit(self) -> Unit | None:
        if self._policy.unit is not None:
            return self._policy.unit
        agreed = (
            made.unit
            for made in Reconciliations(self.database).kept(destination=self._destination)
            if any(line.delivered.wall_seconds and not line.cause for line in made.lines)
        )
        return next(agreed, None)

    def _told(self, month: Month) -> tuple[dict[Key, Told], int]:
        """What was delivered; and how many figures of it are forgotten."""
        found: dict[Key, Told] = {}
        forgotten = 0
        for number, at, now, used in self._rows(month):
            if not now:
                forgotten += 1
                continue
            site, vo = now.get("SiteName", ""), _vo(now)
            told = found.setdefault(key_of(site, vo), Told(site, vo))
            told.by_message[number] = told.by_message.get(number, Used()) + used
            told.at[number] = at
            told.services.add(now.get("CloudComputeService", ""))
        return found, forgotten

    def _rows(self, month: Month) -> Iterator[tuple[int, float, _Texts, Used]]:
        """(message, when delivered, what it said, what that adds to the month)."""
        sums = self._kind is OutletKind.SUMMARIES
        with self.database.begin(reading=True) as connection:
            for text, earlier, number, at in delivered_rows(connection, month, self._destination):
                now = apel.parsed(text)
                before = {} if sums else apel.parsed(earlier or "")
                yield number, at, now, _used(now, before)


def _vo(now: _Texts) -> str:
    return now.get("VO") or split(now.get("FQAN", "None"))[0]


def _used(now: _Texts, before: _Texts) -> Used:
    return Used(
        int(now.get("NumberOfVMs", 1)),
        int(now.get("WallDuration", 0)) - int(before.get("WallDuration", 0)),
        int(now.get("CpuDuration", 0)) - int(before.get("CpuDuration", 0)),
    )
