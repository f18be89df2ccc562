"""What Kepler says of the energy of pods."""

from collections.abc import Mapping

from accounting.measure.promql import kepler
from accounting.measure.source.querier import Answer, Querier
from accounting.measure.usage import counting
from accounting.measure.usage.energy import merge_joules, merge_raw_joules
from accounting.measure.usage.samples import Row, Samples
from accounting.model.pods import Account, SeriesKey
from accounting.model.time import Window
from accounting.store.ledger import Ledger


class EnergyQuery:
    """Asks nothing where energy is not read, or Kepler is not there.

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._to = querier
        self._window = window
        self._last, self._fell, self._lowest = Answer[Row](), Answer[Row](), Answer[Row]()
        if querier.scope.energy_zones:
            self._last = querier.ask(kepler.joules, window)
            self._fell = querier.ask(kepler.resets, window)
            self._lowest = querier.ask(kepler.lowest, window)

    def read(self, found: Samples, accounts: dict[str, Account], ledger: Ledger) -> None:
        """Add each counter's last value to ``found``, and all samples of those that fell.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods; those that only Kepler still tells of are added.
            ledger: knows pods that were not running before.
        """
        told = Samples()
        merge_joules(told, self._last.read())
        if not told.readings:
            return
        unknown = told.readings.keys() - accounts.keys() - found.sightings.keys()
        accounts |= {
            uid: account
            for uid, account in ledger.accounts(unknown).items()
            if _is_news(account, told.readings[uid])
        }
        lowest = Samples()
        merge_joules(lowest, self._lowest.read())
        suspects = {labels.get("pod_id", "") for labels, _ in self._fell.read()}
        for readings in (told.readings, lowest.readings):
            suspects |= counting.fallen_uids(accounts, readings, self._window)
        ours = accounts.keys() | found.sightings.keys()
        for uid in told.readings.keys() & ours:
            found.readings.setdefault(uid, {}).update(told.readings[uid])
        raw = self._to.raw(kepler.raw_joules, self._window, suspects & ours, by="pod_id")
        merge_raw_joules(found, raw)
        found.rejected.update(told.rejected)


def _is_news(account: Account, readings: Mapping[SeriesKey, float]) -> bool:
    """Whether the counters of a pod that has ended tell more than is known."""
    known = account.counters
    return any(key not in known or known[key].value < value for key, value in readings.items())
