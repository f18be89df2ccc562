"""The questions about the counters of one window, and the answers."""

from collections.abc import Mapping
from functools import partial

from accounting.measure.promql import kubelet
from accounting.measure.promql.kubelet import CPU, RECEIVED, SENT
from accounting.measure.source.querier import Answer, Querier, chunks
from accounting.measure.usage.cgroups import cgroup
from accounting.measure.usage.counters import bounds, doubts, falls, levels, series
from accounting.measure.usage.counters.restarts import OWN
from accounting.measure.usage.podnames import PodNames
from accounting.measure.usage.samples import Samples, Sighting, UsageRow
from accounting.model.pods import Account
from accounting.model.time import Window
from accounting.store.ledger import Ledger

# A notebook server that has started has used some seconds.
_STARTED_SECONDS = 10.0
# Of a window with very many pods, instants that are so far apart are looked at first.
_SAMPLE_SECONDS = 1800


class CounterQuery:
    """Last values of all counters, and all samples of those that fell or lack their cgroup.

    Args:
        querier: whom to ask.
        window: about what.
        previous: the window that was read before, if it is known.
        many_new: many pods are expected to be new: ask at once which counters fell.
    """

    def __init__(
        self, querier: Querier, window: Window, previous: Window | None, *, many_new: bool
    ) -> None:
        self._to = querier
        self._window = window
        self._previous = previous
        self._last = {CPU: querier.ask_usage(kubelet.cpu, window)}
        for metric in (RECEIVED, SENT):
            query = partial(kubelet.network, metric=metric)
            self._last[metric] = querier.ask_usage(query, window)
        self._fell: Answer[UsageRow] | None = None
        self._networks_fell = Answer[UsageRow]()
        # What a month's last sample says stands: it may be a low one.
        is_last = window.end == window.month.end
        if many_new or is_last:
            self._fell = querier.ask_usage(kubelet.resets, window)
        if is_last:
            self._networks_fell = querier.ask_usage(kubelet.network_resets, window)
        self._told_before = Answer[UsageRow]()
        if previous is not None and not doubts.follows_closely(window, previous):
            self._told_before = querier.ask_usage(kubelet.told_shortly_before, window)
        self._lowest = Answer[UsageRow]()
        self._containers = Answer[UsageRow]()
        self._boxes_fell = Answer[UsageRow]()
        self._suspects: set[str] = set()
        self._late: dict[str, int] = {}
        self._with_own: set[str] = set()
        self._without_path = Answer[UsageRow]()
        self._tolerance = 0.0
        self._switched = Answer[str]()
        self._is_sample = False

    def read_since(self, name: str, start: int) -> None:
        """Read all samples of a pod's counters from a time before the window on."""
        self._late[name] = min(start, self._window.start)

    def merge(
        self,
        found: Samples,
        accounts: dict[str, Account],
        ledger: Ledger,
        tolerance_seconds: float,
    ) -> None:
        """Add the last values to ``found``; query again for missing or doubtful counters.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods; those that only cAdvisor sees are added.
            ledger: knows pods that were not running before.
            tolerance_seconds: how long a level of CPU may be silent before the next one counts.
        """
        self._tolerance = tolerance_seconds
        scope, window = self._to.scope, self._window
        is_lacking = scope.has_names
        for metric, answer in self._last.items():
            rows = answer.read()
            series.merge_readings(found, rows, metric)
            is_lacking |= bool(series.pods_without_path(rows))
        if is_lacking:
            self._without_path = self._to.ask_usage(kubelet.without_path, window)
        unknown = found.readings.keys() - accounts.keys() - found.sightings.keys()
        accounts |= ledger.accounts(unknown)
        ask = self._to.named_usage
        with_own = {
            uid
            for uid, readings in found.readings.items()
            if doubts.counts(accounts.get(uid), readings, window, found.sightings.get(uid))
        }
        with_own -= self._still(found, accounts, with_own)
        self._with_own = with_own
        names = doubts.running(found, accounts, but=with_own)
        if scope.has_names or scope.has_otel:
            # Who has no cgroup of its own here may be told of by somebody else.
            self._suspects = names
        else:
            self._suspects = doubts.switched(found, accounts, window, but=with_own)
        self._containers = ask(kubelet.container_cpu, window, names)
        self._boxes_fell = ask(kubelet.box_resets, window, names)
        told = Samples(known_series=found.series)
        series.merge_readings(told, self._told_before.read(), CPU)
        silent, unseen, renewed = doubts.doubtful(
            found, with_own, accounts, window, self._previous, told_before=told.readings
        )
        doubted = doubts.doubted(found, accounts, window, tolerance_seconds, with_own)
        self._suspects |= doubts.back(accounts, with_own)
        if scope.has_names or scope.has_otel:
            doubted |= renewed
        self._ask_others(doubted)
        renewed |= doubts.ending(found, with_own, accounts, window.end - tolerance_seconds)
        self._lowest = ask(kubelet.lowest_cpu, window, unseen)
        if self._fell is None:
            self._fell = ask(kubelet.resets, window, silent | renewed)

    def complete(
        self,
        found: Samples,
        accounts: Mapping[str, Account],
        names: PodNames,
    ) -> None:
        """Wait for the rest of the answers and add them to ``found``.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods.
            names: whose a counter without a cgroup's path is.
        """
        rows = self._containers.read()
        # Asked by name: earlier pods of that name may have a cgroup of their own.
        of_containers = [row for row in rows if cgroup(row.metric.id).uid not in self._with_own]
        series.merge_readings(found, of_containers, CPU)
        suspects = self._suspects | series.pods_without_path(rows) | self._read_others()
        suspects |= {row.pod for row in self._without_path.read()}
        fell = self._boxes_fell.read() + self._networks_fell.read()
        suspects |= {row.pod for row in fell}
        if self._fell is not None:
            suspects |= {row.pod for row in self._fell.read()}
        lowest = Samples(known_series=found.series)
        series.merge_readings(lowest, self._lowest.read(), CPU)
        for readings in (found.readings, lowest.readings):
            suspects |= falls.fallen(accounts, readings, self._window)
        # The last sample of a short pod may lie before the window in which it is seen running.
        suspects |= {
            seen.name
            for uid, seen in found.sightings.items()
            if seen.last_running_at is not None
            and uid not in accounts
            and uid not in found.readings
        }
        suspects |= found.doubted
        suspects |= {
            found.sightings[uid].name
            for uid, readings in found.readings.items()
            if uid not in accounts
            and uid in found.sightings
            and any(
                value > bounds.seldom_more(key.kind, self._window.seconds, found.resources.get(uid))
                for key, value in readings.items()
            )
        }
        self._read_samples(found, suspects, names)
        bounds.set_aside_spikes(found, names.started_at, self._window.start)
        found.silence_seconds = self._tolerance
        levels.keep_one_level(found)

    def _still(
        self, found: Samples, accounts: Mapping[str, Account], with_own: set[str]
    ) -> set[str]:
        """The new pods of which the own cgroup has counted a little and nothing more since.

        The pause container runs in it, and the others do not. No notebook does so little.
        """
        few = {}
        for uid in with_own - accounts.keys():
            seen, value = found.sightings.get(uid), found.readings[uid][OWN]
            if seen and value <= _STARTED_SECONDS and _lasted(seen) > self._tolerance:
                few[uid] = seen.name
        rows = self._to.named_usage(kubelet.lowest_cpu, self._window, few.values()).read()
        lowest = Samples(known_series=found.series)
        series.merge_readings(lowest, rows, CPU)
        return {
            uid
            for uid in few.keys() & lowest.readings.keys()
            if lowest.readings[uid].get(OWN) == found.readings[uid][OWN]
        }

    def _ask_others(self, pods: set[str]) -> None:
        """Ask of which pods others told CPU after their own cgroups had fallen silent.

        If they are too many to be named, look at some instants first: a node that has changed has
        pods at one of them.
        """
        if pods:
            ask, tolerance = self._to.told_by_others, self._tolerance
            self._is_sample = not self._to.can_name(pods)
            named, step = ((), _SAMPLE_SECONDS) if self._is_sample else (pods, tolerance)
            self._switched = ask(self._window, tolerance, named, step)

    def _read_others(self) -> set[str]:
        found = set(self._switched.read())
        if found and self._is_sample:
            tolerance = self._tolerance
            found |= set(self._to.told_by_others(self._window, tolerance, (), tolerance).read())
        return found

    def _read_samples(self, found: Samples, suspects: set[str], names: PodNames) -> None:
        """All samples of the counters of some pods."""
        scope, window = self._to.scope, self._window
        container_of = partial(names.container_of, window.start)
        for name, start in self._late.items():
            raw = self._to.raw_usage(kubelet.raw_counters, Window(start, window.end), [name])
            series.merge_raw(found, raw, names.at, container_of)
        # Some pods at a time: all samples of all of them would be in memory twice.
        for chunk in chunks(suspects - self._late.keys()):
            raw = self._to.raw_usage(kubelet.raw_counters, window, chunk)
            series.merge_raw(found, raw, names.at, container_of)
            if scope.has_otel:
                series.merge_raw(found, self._to.raw_otel(window, chunk), names.at)


def _lasted(seen: Sighting) -> float:
    """How long a pod is seen running."""
    return (seen.last_running_at or 0.0) - (seen.first_running_at or 0.0)
