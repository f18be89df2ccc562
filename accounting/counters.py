"""The questions about the counters of one window, and the answers."""

from collections.abc import Iterable, Mapping

from accounting import queries, samples, usage
from accounting.ledger import Ledger
from accounting.model import POD_LEVEL, Account, Kind, SeriesKey, Window
from accounting.names import Names
from accounting.queries import Scope
from accounting.questioner import Answer, Questioner, chunks
from accounting.samples import Line, Row, Samples, label

# In a window of up to this length all samples of a counter cost less than two questions about them.
_FEW_SAMPLES_SECONDS = 600

_CPU = "container_cpu_usage_seconds_total"
_OWN = SeriesKey(Kind.CPU, POD_LEVEL)


class Counters:
    """Last values of all counters, and all samples of those that fell or lack their cgroup.

    Args:
        questioner: whom to ask.
        window: about what.
    """

    def __init__(self, questioner: Questioner, window: Window) -> None:
        self._to = questioner
        self._window = window
        scope, end = questioner.scope, window.end
        self._cpu: Answer[Row] | None = None
        self._fell: Answer[Row] | None = None
        self._cpu_samples: Answer[Line] | None = None
        if window.seconds <= _FEW_SAMPLES_SECONDS:
            ask = questioner.source.lines
            lines = questioner.workers.submit(ask, queries.cpu_samples(scope, window), end)
            self._cpu_samples = Answer([lines])
        else:
            self._cpu = questioner.ask(queries.cpu(scope, window), end)
            self._fell = questioner.ask(_resets(scope, window), end)
        self._network = questioner.ask(queries.network(scope, window), end)

    def read(
        self, found: Samples, accounts: dict[str, Account], names: Names, ledger: Ledger
    ) -> None:
        """Wait for the answers and add them to ``found``.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods; those that only cAdvisor sees are added.
            names: whose a counter without ``id`` is.
            ledger: knows pods that were not running before.
        """
        suspects = self._read_cpu(found, accounts)
        rows = self._network.read()
        samples.merge_readings(found, rows)
        suspects |= self._without_id(rows)
        suspects |= samples.pods_without_id(self._read_containers(found, accounts))
        unknown = found.readings.keys() - accounts.keys() - found.sightings.keys()
        accounts |= ledger.accounts(unknown)
        for values in (found.readings, found.firsts):
            for uid, readings in values.items():
                account = accounts.get(uid)
                if account and usage.fell(account, readings, self._window):
                    suspects.add(account.pod.name)
        self._read_samples(found, suspects, names)

    def _read_cpu(self, found: Samples, accounts: Mapping[str, Account]) -> set[str]:
        """Read the pods' own cgroups; the names of pods whose samples must all be looked at."""
        if self._cpu is not None and self._fell is not None:
            suspects = _pods(self._fell.read())
            rows = self._cpu.read()
            samples.merge_readings(found, rows, _CPU)
            return suspects | self._without_id(rows)
        suspects = set()
        if self._cpu_samples is not None:
            suspects = samples.merge_lines(found, self._cpu_samples.read(), _CPU)
        # Between an earlier window and this one, the ledger tells. It does not know new pods.
        new = {
            seen.name
            for uid, seen in found.sightings.items()
            if uid not in accounts and seen.last_running_at is not None
        }
        by = self._to.scope.usage("pod")
        return suspects | _pods(self._to.named(_resets, self._window, new, by).read())

    def _without_id(self, rows: Iterable[Row]) -> set[str]:
        """The pods whose counters lack ``id``, if there are any among these."""
        if all(labels.get("id") for labels, _ in rows):
            return set()
        query = queries.without_id(self._to.scope, self._window)
        return _pods(self._to.source.vector(query, self._window.end))

    def _read_containers(self, found: Samples, accounts: Mapping[str, Account]) -> list[Row]:
        """Pods that run without a series of their own cgroup are read per container (M4)."""
        running = {u: s.name for u, s in found.sightings.items() if s.last_running_at is not None}
        running |= {u: a.pod.name for u, a in accounts.items() if not a.pod.ended}
        without = {n for u, n in running.items() if _OWN not in found.readings.get(u, ())}
        by = self._to.scope.usage("pod")
        rows = self._to.named(queries.container_cpu, self._window, without, by).read()
        samples.merge_readings(found, rows, _CPU)
        return rows

    def _read_samples(self, found: Samples, suspects: set[str], names: Names) -> None:
        """All samples of the counters of some pods."""
        scope, window, lookback = self._to.scope, self._window, queries.RESET_LOOKBACK_SECONDS
        for chunk in chunks(suspects):
            only = queries.one_of(scope.usage("pod"), chunk)
            query = queries.raw_counters(scope, window, lookback, only)
            samples.merge_raw(found, self._to.source.raw(query, window.end), names.at)


def _resets(scope: Scope, window: Window, only: str = "") -> str:
    return queries.resets(scope, window, queries.RESET_LOOKBACK_SECONDS, only)


def _pods(rows: Iterable[Row]) -> set[str]:
    return {label(labels, "pod") for labels, _ in rows}
