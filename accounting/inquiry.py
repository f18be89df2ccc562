"""The questions of one window, and the answers in the domain's words."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from accounting import queries, samples, usage
from accounting.identity import VoRules
from accounting.ledger import Ledger
from accounting.model import POD_LEVEL, Account, Kind, Resources, SeriesKey, Window
from accounting.prometheus import Source
from accounting.queries import Scope
from accounting.samples import Labels, RawSeries, Row, Samples, Sighting, label
from accounting.usage import Pulse

# VictoriaMetrics takes queries of at most 16 KiB; a name and its separator are up to 64 bytes.
_NAMED_AT_ONCE = 200
# Above this many pods, asking for all of them costs less than naming each.
_MOST_NAMED = 1000

_CLOCK_SKEW_SECONDS = 3600
V = TypeVar("V")

_CPU = "container_cpu_usage_seconds_total"


class Inquiry:
    """Asks about one window, a few queries at a time.

    Descriptions (owner, requests, image, …) do not change in a pod's life as records see it, so
    they are asked for new pods only; counters and phases for all.
    """

    def __init__(
        self,
        source: Source,
        scope: Scope,
        ledger: Ledger,
        rules: VoRules,
        workers: ThreadPoolExecutor,
    ) -> None:
        self._source = source
        self._scope = scope
        self._ledger = ledger
        self._rules = rules
        self._workers = workers

    def read(
        self, window: Window, beat: Pulse, running: Mapping[str, Account]
    ) -> tuple[Samples, dict[str, Account]]:
        """Everything the window says, and the ledger's pages of the pods it is about.

        Args:
            window: the window.
            beat: when the source spoke.
            running: pages of the pods that had not ended before.
        """
        scope, found = self._scope, Samples()
        seen = self._workers.submit(self._sightings, window)
        cpu = self._ask(queries.cpu(scope, window), window)
        network = self._ask(queries.network(scope, window), window)
        lookback = queries.LOOKBACK_SECONDS
        fell = self._ask(queries.resets(scope, window, lookback), window)
        orphans = self._orphans(beat)
        samples.merge_sightings(found, seen.result())
        self._keep_labelled(found, window)
        accounts = {**running, **self._recalled(found, running)}
        by_name = _Names(found, accounts, beat)
        found.orphans = {u for row in orphans() if (u := _uid(row[0], by_name.latest))}
        accounts |= self._ledger.accounts(found.orphans - accounts.keys())
        self._describe(found, accounts, window)
        self._drop_excluded(found, accounts)
        self._count(
            found, accounts, window, by_name, (cpu.result(), network.result(), fell.result())
        )
        return found, accounts

    def _ask(self, query: str, window: Window) -> Future[list[Row]]:
        return self._workers.submit(self._source.vector, query, window.end)

    def _sightings(self, window: Window) -> list[Sighting]:
        return list(self._source.sightings(queries.running(self._scope, window), window.end))

    def _orphans(self, beat: Pulse) -> Callable[[], list[Row]]:
        if beat.spoken_at is None:
            return list
        query = queries.orphans(self._scope, max(1, round(beat.alive_seconds)))
        return self._workers.submit(self._source.vector, query, beat.spoken_at).result

    def _keep_labelled(self, found: Samples, window: Window) -> None:
        if self._scope.label is None:
            return
        rows = self._source.vector(queries.labelled(self._scope, window), window.end)
        wanted = {labels.get("uid", "") for labels, _ in rows}
        found.sightings = {uid: s for uid, s in found.sightings.items() if uid in wanted}

    def _recalled(self, found: Samples, running: Mapping[str, Account]) -> dict[str, Account]:
        return self._ledger.accounts(found.sightings.keys() - running.keys())

    def _describe(self, found: Samples, accounts: Mapping[str, Account], window: Window) -> None:
        """Ask what the new pods are, and when those that stopped running completed."""
        new, ending = set(), set()
        for uid, seen in found.sightings.items():
            account = accounts.get(uid)
            if seen.last_running_at is not None and (account is None or _is_vague(account)):
                new.add(uid)
            elif account and seen.last_listed_at > (seen.last_running_at or 0.0):
                ending.add(uid)
        times = self._named(queries.times, window, new | ending)
        owners = self._named(queries.owners, window, new)
        resources = self._named(queries.resources, window, new)
        images = self._named(queries.images, window, new)
        claims = self._named(queries.claims, window, new)
        samples.merge_times(found, times(), window.end + _CLOCK_SKEW_SECONDS)
        samples.merge_resources(found, resources())
        samples.merge_claims(found, claims())
        found.owners = self._first_said(
            "kube_pod_annotations", samples.owner_of, owners(), found, window
        )
        found.images = self._first_said(
            "kube_pod_container_info", self._image_of, images(), found, window
        )
        self._measure_memory(found, accounts, window)

    def _named(
        self,
        query: Callable[[Scope, Window, str], str],
        window: Window,
        names: set[str],
        by: str = "uid",
    ) -> Callable[[], list[Row]]:
        """Ask about some pods: by name if they are few, else about all."""
        if len(names) > _MOST_NAMED:
            return self._ask(query(self._scope, window, ""), window).result
        parts = [
            self._ask(query(self._scope, window, queries.one_of(by, chunk)), window)
            for chunk in _chunks(names)
        ]
        return lambda: [row for part in parts for row in part.result()]

    def _image_of(self, labels: Labels) -> str:
        """The image, of the notebook's container only."""
        container = label(labels, "container")  # the aggregated rows do not say
        return labels.get("image", "") if container in {"", self._scope.container} else ""

    def _first_said(
        self,
        metric: str,
        read: Callable[[Labels], V],
        rows: Iterable[Row],
        found: Samples,
        window: Window,
    ) -> dict[str, V]:
        """Per pod what the metric said at its first Running sample."""
        said: dict[str, set[V]] = defaultdict(set)
        for labels, _ in rows:
            if value := read(labels):
                said[labels["uid"]].add(value)
        first = {uid: values.pop() for uid, values in said.items() if len(values) == 1}
        for chunk in _chunks(uid for uid in said if uid not in first):
            query = queries.raw_state(self._scope, window, metric, queries.one_of("uid", chunk))
            first |= _earliest(self._source.raw(query, window.end), read, found)
        return first

    def _measure_memory(
        self, found: Samples, accounts: Mapping[str, Account], window: Window
    ) -> None:
        """Ask for the peak of pods that say nothing about memory themselves.

        It may have come before the first Running sample: the question reaches behind the window.
        """
        bare = {}
        for uid, seen in found.sightings.items():
            if uid not in accounts and not _sizes_memory(found.resources.get(uid)):
                bare[seen.name] = uid
        for uid, account in accounts.items():
            resources = account.pod.resources or found.resources.get(uid)
            if not account.pod.ended and not _sizes_memory(resources):
                bare[account.pod.name] = uid
        if bare:
            rows = self._named(queries.memory_peak, window, set(bare), self._scope.usage("pod"))
            samples.merge_memory_peaks(found, rows(), bare)

    def _drop_excluded(self, found: Samples, accounts: dict[str, Account]) -> None:
        """Forget the users that are not accounted for (M2)."""
        for uid, owner in found.owners.items():
            if owner.user in self._rules.excluded_users:
                found.sightings.pop(uid, None)
                accounts.pop(uid, None)

    def _count(
        self,
        found: Samples,
        accounts: Mapping[str, Account],
        window: Window,
        names: "_Names",
        answers: tuple[list[Row], list[Row], list[Row]],
    ) -> None:
        """Read the counters: last values, and raw samples where one fell or lacks its cgroup."""
        cpu, network, fell = answers
        samples.merge_readings(found, cpu, _CPU)
        samples.merge_readings(found, network)
        containers = self._count_containers(found, accounts, window)
        suspects = {label(labels, "pod") for labels, _ in fell}
        for labels, _ in (*cpu, *network, *containers):
            if not labels.get("id"):
                suspects.add(label(labels, "pod"))
        for uid, readings in found.readings.items():
            account = accounts.get(uid)
            if account and usage.fell(account, readings, window):
                suspects.add(account.pod.name)
        lookback = queries.LOOKBACK_SECONDS
        for chunk in _chunks(suspects):
            only = queries.one_of(self._scope.usage("pod"), chunk)
            query = queries.raw_counters(self._scope, window, lookback, only)
            samples.merge_raw(found, self._source.raw(query, window.end), names.at)

    def _count_containers(
        self, found: Samples, accounts: Mapping[str, Account], window: Window
    ) -> list[Row]:
        """Pods that run without a series of their own cgroup are read per container (M4)."""
        own = SeriesKey(Kind.CPU, POD_LEVEL)
        running = {u: s.name for u, s in found.sightings.items() if s.last_running_at is not None}
        running |= {u: a.pod.name for u, a in accounts.items() if not a.pod.ended}
        without = {n for u, n in running.items() if own not in found.readings.get(u, ())}
        rows = self._named(queries.container_cpu, window, without, self._scope.usage("pod"))()
        samples.merge_readings(found, rows, _CPU)
        return rows


class _Names:
    """Which pod had a name when: names are reused by the same user within minutes (M1, M3)."""

    def __init__(self, found: Samples, accounts: Mapping[str, Account], beat: Pulse) -> None:
        lives: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        for uid, seen in found.sightings.items():
            if uid not in accounts and seen.first_running_at is not None:
                last = (seen.last_running_at or 0.0) + beat.alive_seconds
                lives[seen.name].append((seen.first_running_at - beat.alive_seconds, last, uid))
        for uid, account in accounts.items():
            pod, seen_now = account.pod, found.sightings.get(uid)
            last = max(pod.last_running_at, (seen_now and seen_now.last_running_at) or 0.0)
            start = pod.first_running_at - beat.alive_seconds
            lives[pod.name].append((start, last + beat.alive_seconds, uid))
        self._lives = {name: sorted(spans) for name, spans in lives.items()}
        self.latest = {name: spans[-1][2] for name, spans in self._lives.items()}

    def at(self, name: str, at: float) -> str:
        """The uid of the pod that had ``name`` at a Unix time; empty text if there was none."""
        spans = self._lives.get(name, [])
        for start, last, uid in reversed(spans):
            if start <= at:
                return uid if at <= last else ""
        return ""


def _uid(labels: Labels, by_name: Mapping[str, str]) -> str:
    return samples.usage_uid(labels, by_name)


def _earliest(
    series: Iterable[RawSeries], read: Callable[[Labels], V], found: Samples
) -> dict[str, V]:
    """Of several descriptions of a pod, the one that held when it was first seen running."""
    best: dict[str, tuple[float, str, V]] = {}
    for labels, points in series:
        uid, value = labels["uid"], read(labels)
        seen = found.sightings.get(uid)
        if not value or seen is None or seen.first_running_at is None:
            continue
        start = seen.first_running_at
        if times := [at for at, _ in points if at >= start]:
            candidate = (times[0], repr(value), value)
            best[uid] = min(best.get(uid, candidate), candidate, key=lambda c: c[:2])
    return {uid: value for uid, (_, _, value) in best.items()}


def _sizes_memory(resources: Resources | None) -> bool:
    return bool(resources and (resources.memory_request_bytes or resources.memory_limit_bytes))


def _is_vague(account: Account) -> bool:
    pod = account.pod
    return not (pod.owner and pod.resources and pod.image and pod.started_at)


def _chunks(names: Iterable[str]) -> list[list[str]]:
    ordered = sorted(names)
    return [ordered[i : i + _NAMED_AT_ONCE] for i in range(0, len(ordered), _NAMED_AT_ONCE)]
