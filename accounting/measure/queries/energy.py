"""What Kepler says of the energy of pods."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from accounting.measure.promql import kepler
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, one_of
from accounting.measure.source import discovery
from accounting.measure.source.querier import Querier, chunks
from accounting.measure.usage.counters import falls
from accounting.measure.usage.energy import merge_joules, merge_raw_joules
from accounting.measure.usage.samples import Labels, Row, Samples
from accounting.model.pods import Account, CounterKind, SeriesKey
from accounting.model.time import Window
from accounting.store.ledger import Ledger


class EnergyQuery:
    """Asks about the hours that end within a window; nothing where energy is not read.

    Energy is told by the day. Asked with every window of five minutes, it would make a poll of a
    small cluster half as long again (``make bench``).

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._to = querier
        self._hours = window.hours if querier.scope.energy_zones else None
        if self._hours is not None:
            self._last = querier.ask_in_parts(kepler.joules, self._hours)
            self._fell = querier.ask_in_parts(kepler.resets, self._hours)
            self._before = querier.ask_in_parts(kepler.told_shortly_before, self._hours)
            self._others = querier.workers.submit(self._ended_before, window, self._hours)

    def read(self, found: Samples, accounts: dict[str, Account], ledger: Ledger) -> None:
        """Add each counter's last value to ``found``, and all samples of those that fell.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods; those that only Kepler still tells of are added.
            ledger: knows pods that were not running before.
        """
        if self._hours is None:
            return
        told = Samples(metered=self._hours)
        last, shortly_before = self._last.read_parts(), self._before.read_parts()[0]
        self._merge(told, last)
        before, renewed = set(self._uids(shortly_before)), _of_several([shortly_before, *last])
        ended = self._others.result()
        if ended is not None:
            known = ended | accounts.keys() | found.sightings.keys()
            before |= self._merge_others(told, known - told.readings.keys(), self._hours)
        if not told.readings:
            return
        unknown = told.readings.keys() - accounts.keys() - found.sightings.keys()
        accounts |= {
            uid: account
            for uid, account in ledger.accounts(unknown).items()
            if _is_news(account, told.readings[uid], self._hours)
        }
        suspects = renewed | self._fallen(told, accounts, self._hours, before)
        ours = accounts.keys() | found.sightings.keys()
        for uid in told.readings.keys() & ours:
            found.readings.setdefault(uid, {}).update(told.readings[uid])
        for zone in self._to.scope.energy_zones:
            key = SeriesKey(CounterKind.ENERGY, zone)
            fallen = {uid for uid in suspects & ours if key in told.readings.get(uid, {})}
            query = partial(kepler.raw_joules, zone=zone)
            merge_raw_joules(found, self._to.raw(query, self._hours, fallen, by="pod_id"))
        found.metered = self._hours
        found.rejected.update(told.rejected)

    def _ended_before(self, window: Window, hours: Window) -> set[str] | None:
        """The uids of pods that may have ended before the window, and not long before its hours.

        None if no zone but the preferred one is told of: then nobody lacks that one.
        """
        scope, source = self._to.scope, self._to.source
        if len(scope.energy_zones) == 1 or not discovery.has_other_zones(source, scope, hours):
            return None
        shortly = Window(hours.start - RESET_LOOKBACK_SECONDS, window.start)
        return self._to.uids_listed(shortly) - {""}

    def _merge_others(self, told: Samples, lacking: set[str], hours: Window) -> set[str]:
        """Add the joules of pods that lack the preferred zone.

        Returns:
            The uids of those of which ``resets`` sees the last sample before, too.
        """
        others = Samples()
        for some in chunks(lacking) if self._to.can_name(lacking) else [[]]:
            only = one_of("pod_id", some) if some else ""
            query = partial(kepler.other_joules, only=only)
            self._merge(others, self._to.ask_in_parts(query, hours).read_parts())
        told.rejected.update(others.rejected)
        found = {uid: others.readings[uid] for uid in lacking & others.readings.keys()}
        told.readings |= found
        if not found:
            return set()
        before = self._to.ask_in_parts(kepler.told_before_of_others, hours)
        return set(self._uids(before.read_parts()[0])) & found.keys()

    def _fallen(
        self, told: Samples, accounts: Mapping[str, Account], hours: Window, before: set[str]
    ) -> set[str]:
        """The uids of pods of which a counter may have fallen, in these hours or just before."""
        lacking = {
            uid for uid, counters in told.readings.items() if self._preferred not in counters
        }
        others = self._to.named(kepler.resets_of, hours, lacking, by="pod_id")
        silent = {
            uid
            for uid in told.readings.keys() & accounts.keys()
            if _may_be_silent(accounts[uid], told.readings[uid], hours, told_before=uid in before)
        }
        lowest = Samples()
        merge_joules(lowest, self._to.named(kepler.lowest, hours, silent, by="pod_id").read())
        found = set(self._uids(self._fell.read() + others.read()))
        for part in (told, lowest):
            found |= falls.fallen_uids(accounts, part.readings, hours)
        return found

    @property
    def _preferred(self) -> SeriesKey:
        return SeriesKey(CounterKind.ENERGY, self._to.scope.energy_zones[0])

    @staticmethod
    def _merge(told: Samples, answers: Iterable[list[Row]]) -> None:
        """Add last values; those of the later part count."""
        for rows in answers:
            part = Samples()
            merge_joules(part, rows)
            for uid, readings in part.readings.items():
                told.readings.setdefault(uid, {}).update(readings)
            told.rejected.update(part.rejected)

    @staticmethod
    def _uids(rows: Iterable[Row]) -> Iterator[str]:
        return (labels.get("pod_id", "") for labels, _ in rows)


def _of_several(answers: Iterable[list[Row]]) -> set[str]:
    """The uids of pods of which several series of a state tell: another Kepler began one at 0."""
    series: dict[tuple[str, str], Labels] = {}
    return {
        pod
        for rows in answers
        for labels, _ in rows
        if (pod := labels.get("pod_id", ""))
        and series.setdefault((pod, labels.get("state", "")), labels) != labels
    }


def _is_news(account: Account, readings: Mapping[SeriesKey, float], hours: Window) -> bool:
    """Whether the counters of a pod that has ended tell more than is known.

    Of one that ended in these hours they may have fallen meanwhile: less may be more.
    """
    known = account.counters
    return account.pod.last_running_at > hours.start or any(
        key not in known or known[key].value < value for key, value in readings.items()
    )


def _may_be_silent(
    account: Account, told: Iterable[SeriesKey], hours: Window, *, told_before: bool
) -> bool:
    """Whether a counter that is known may have fallen where no look for falls reaches."""
    known = [account.counters[key].at for key in told if key in account.counters]
    return any(at < hours.start or (at == hours.start and not told_before) for at in known)
