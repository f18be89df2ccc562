"""The questions of one window, and the answers in the domain's words."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from accounting.measure.promql import ksm, kubelet
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope
from accounting.measure.queries.counters import CounterQuery
from accounting.measure.queries.devices import DeviceQuery
from accounting.measure.queries.energy import EnergyQuery
from accounting.measure.queries.holdings import HoldingQuery
from accounting.measure.queries.nodes import LostNodes
from accounting.measure.queries.volumes import VolumeQuery
from accounting.measure.source.querier import Answer, Querier, Query
from accounting.measure.usage import ends, samples
from accounting.measure.usage.counters import bounds, falls, series
from accounting.measure.usage.heartbeat import Pulse
from accounting.measure.usage.podnames import PodNames
from accounting.measure.usage.samples import (
    CLOCK_SKEW_SECONDS,
    Labels,
    Points,
    RawSeries,
    Row,
    Samples,
    SeriesNames,
    Times,
    UsageRow,
)
from accounting.model.pods import Account, Resources
from accounting.model.time import Window
from accounting.store.ledger import Ledger

V = TypeVar("V")


class _Description(Protocol):
    def __call__(self, scope: Scope, window: Window, only: str = "") -> str: ...


_NO_TIMES = Times()
_DESCRIPTIONS: tuple[_Description, ...] = (
    ksm.times,
    ksm.owners,
    ksm.resources,
    ksm.images,
    ksm.mounts,
)


class WindowQuery:
    """All questions about one window.

    Asking and reading are apart: while one window is merged and written, the next one's questions
    are with the server. Descriptions (owner, requests, image, …) do not change in a pod's life as
    records see it, so they are asked for new pods only; counters and phases for all.

    Args:
        querier: whom to ask.
        window: about what.
        previous: the window that was read before, if it is known.
        series: whose a counter is, as far as the window before knew it; see ``Samples``.
        many_new: many pods are expected to be new: ask for all descriptions at once.
    """

    def __init__(
        self,
        querier: Querier,
        window: Window,
        previous: Window | None,
        series: SeriesNames,
        *,
        many_new: bool,
    ) -> None:
        self.window = window
        self.found = Samples(known_series=series)
        self.new_pods = 0
        self._to = querier
        self._holdings = HoldingQuery(querier, window, self.found)
        workers = querier.workers
        self._beats = workers.submit(querier.beats, window)
        self._seen = Answer([workers.submit(querier.sightings, window)])
        self._lost = LostNodes(querier, window)
        self._devices = DeviceQuery(querier, window)
        self._energy = EnergyQuery(querier, window)
        self._volumes = VolumeQuery(querier, window)
        self._counters = CounterQuery(querier, window, previous, many_new=many_new)
        self._described: dict[_Description, Answer[Row]] = {}
        if self._volumes.tells_mounts:
            self._described[ksm.mounts] = Answer()
        for query in _DESCRIPTIONS if many_new else ():
            if query not in self._described:
                about_all = partial(query, only="")
                self._described[query] = querier.ask(about_all, window)

    @property
    def beats(self) -> list[Points]:
        """Heartbeats of the source in the window and the hour before."""
        return self._beats.result()

    def read(
        self,
        beat: Pulse,
        ledger: Ledger,
        running: Mapping[str, Account],
        excluded_users: frozenset[str],
    ) -> dict[str, Account]:
        """Wait for the answers; afterwards ``found`` is everything the window says.

        Args:
            beat: when the source spoke.
            ledger: knows pods that were not running before.
            running: pages of the pods that were.
            excluded_users: users whose pods are not accounted for (M2).

        Returns:
            The ledger's pages of all known pods that the window is about.
        """
        found = self.found
        since = min((gap.start_at for gap in beat.gaps), default=self.window.start)
        is_doubtful = bool(beat.gaps) or len(self.beats) > 1
        self._holdings.ask_resizes(since, thorough=is_doubtful)
        samples.merge_sightings(found, self._seen.read())
        self._lost.end_pods(found, beat.alive_seconds)
        self._keep_labelled()
        accounts = {**running, **ledger.accounts(found.sightings.keys() - running.keys())}
        self._lost.keep_lost(found, accounts)
        self._recognise_finished(accounts)
        new = self._ask_descriptions(accounts)
        vanished = self._vanished(accounts, beat)
        seen = self._ask_for_vanished(vanished, beat)
        # The answers at hand are merged while those are on their way.
        self._counters.merge(found, accounts, ledger, beat.alive_seconds)
        self._describe(accounts)
        for uid, owner in found.owners.items():
            if owner.user in excluded_users:
                found.sightings.pop(uid, None)
                accounts.pop(uid, None)
        names = PodNames(found, accounts, beat)
        rows = self._described[ksm.resources].read()
        self._holdings.read(rows, new, accounts, names)
        self._measure_memory(accounts, names)
        self._devices.read(found, accounts, names)
        self._counters.complete(found, accounts, names)
        self._energy.read(found, accounts, ledger)
        self._ask_limits(accounts)
        found.volumes = self._volumes.read(found, accounts, ledger)
        # Where they are many, all pods were asked for.
        orphans = (row for row in seen.read() if row.pod in vanished)
        found.orphans = {series.usage_uid(row, names.latest) for row in orphans} - {""}
        return accounts

    def _ask_limits(self, accounts: Mapping[str, Account]) -> None:
        """What pods can use of which a counter fell: what is more than that tells a dip (M5)."""
        fell = falls.falling(accounts, self.found)
        # Energy is read by whole hours, which began earlier: a pod may have ended in them.
        since = min(self.window.start, (self.found.metered or self.window).start)
        since -= RESET_LOOKBACK_SECONDS  # samples before it are looked at again
        span = Window(since, self.window.end)
        if fell:
            told = self._to.raw(ksm.raw_cpu_limits, span, fell)
            self.found.limits = bounds.cores_limited(told)

    def _vanished(self, accounts: Mapping[str, Account], beat: Pulse) -> set[str]:
        """The names of pods that kube-state-metrics shows no more."""
        if beat.spoken_at is None:
            return set()
        sightings = self.found.sightings
        long_ago = beat.spoken_at - beat.alive_seconds
        return {
            account.pod.name
            for uid, account in accounts.items()
            if not ends.is_listed_since(account.pod, sightings.get(uid), long_ago)
        } | {
            seen.name
            for uid, seen in sightings.items()
            if uid not in accounts and seen.last_running_at == seen.last_listed_at <= long_ago
        }

    def _ask_for_vanished(self, pods: set[str], beat: Pulse) -> Answer[UsageRow]:
        """Does cAdvisor still see them?"""
        spoken = int(beat.spoken_at or 0) + 1
        shortly = Window(spoken - max(1, round(beat.alive_seconds)), spoken)
        return self._to.named_usage(kubelet.seen_by_cadvisor, shortly, pods)

    def _keep_labelled(self) -> None:
        found = self.found
        if self._to.scope.label is None:
            return
        rows = self._to.ask(ksm.labelled, self.window).read()
        wanted = {labels.get("uid", "") for labels, _ in rows}
        found.sightings = {uid: s for uid, s in found.sightings.items() if uid in wanted}

    def _recognise_finished(self, accounts: Mapping[str, Account]) -> None:
        """Pods that are listed only after their end did run, if both its times are known (M6).

        They ran wholly within a silence, or between two scrapes.
        """
        found, window = self.found, self.window
        unseen = {
            uid
            for uid, seen in found.sightings.items()
            if seen.last_running_at is None and uid not in accounts
        }
        if not unseen:
            return
        ended = self._to.named(ksm.finished, window, unseen)
        times = self._to.named(ksm.times, window, unseen)
        samples.merge_times(found, times.read(), window.end + CLOCK_SKEW_SECONDS)
        for uid in {labels.get("uid", "") for labels, _ in ended.read()} & unseen:
            known = found.times.get(uid, _NO_TIMES)
            if known.started_at and (known.completed_at or 0.0) > known.started_at:
                found.sightings[uid] = found.sightings[uid]._replace(
                    first_running_at=known.started_at, last_running_at=known.started_at
                )
                self._counters.read_since(found.sightings[uid].name, int(known.started_at))

    def _ask_descriptions(self, accounts: Mapping[str, Account]) -> set[str]:
        """Ask what the new pods are, and when those that stopped running completed.

        Returns:
            The uids of the new ones.
        """
        new, ending = set(), set()
        for uid, seen in self.found.sightings.items():
            account = accounts.get(uid)
            if seen.last_running_at is not None and (account is None or _is_vague(account)):
                new.add(uid)
            elif account and seen.last_listed_at > (seen.last_running_at or 0.0):
                ending.add(uid)
        self.new_pods = len(new)
        for query in _DESCRIPTIONS:
            if query not in self._described:
                uids = new | ending if query is ksm.times else new
                self._described[query] = self._to.named(query, self.window, uids)
        return new

    def _bound_starts(self, accounts: Mapping[str, Account]) -> None:
        beats = [point for points in self.beats for point in points]
        first = {
            uid: seen.first_running_at
            for uid, seen in self.found.sightings.items()
            if seen.first_running_at is not None and uid not in accounts
        }
        samples.bound_starts(self.found, first, beats)
        known = {uid: a.pod.first_running_at for uid, a in accounts.items()}
        samples.bound_starts(self.found, known, ())

    def _describe(self, accounts: Mapping[str, Account]) -> None:
        """Read what they are."""
        found = self.found
        answer = self._described
        samples.merge_times(found, answer[ksm.times].read(), self.window.end + CLOCK_SKEW_SECONDS)
        self._bound_starts(accounts)
        self._measure_disks(answer[ksm.mounts].read())
        owners, images = answer[ksm.owners].read(), answer[ksm.images].read()
        found.owners = self._first_said("kube_pod_annotations", samples.owner_of, owners)
        found.images = self._first_said("kube_pod_container_info", self._to.images_in, images)

    def _measure_disks(self, mounts: list[Row]) -> None:
        if self._volumes.tells_mounts:
            samples.merge_claims(self.found, *self._volumes.mounts())
            return
        claims = {labels["persistentvolumeclaim"] for labels, _ in mounts}
        sizes = self._to.named(ksm.claim_sizes, self.window, claims, "persistentvolumeclaim")
        samples.merge_claims(self.found, mounts, sizes.read())

    def _first_said(
        self, metric: str, read: Callable[[Labels], V], rows: Iterable[Row]
    ) -> dict[str, V]:
        """Per pod what the metric said at its first Running sample."""
        first: dict[str, V] = {}
        disputed: set[str] = set()
        for labels, _ in rows:
            if value := read(labels):
                uid = labels.get("uid", "")
                if first.setdefault(uid, value) != value:
                    disputed.add(uid)
        series = self._to.raw(_said_by(metric), self.window, disputed)
        return first | _earliest(series, read, self.found)

    def _measure_memory(self, accounts: Mapping[str, Account], names: PodNames) -> None:
        """Ask for the peak of pods that say nothing about memory themselves.

        It may have come before the first Running sample: the question reaches behind the window.
        """
        found = self.found
        bare = set()
        for uid, seen in found.sightings.items():
            if uid not in accounts and not _sizes_memory(found.resources.get(uid)):
                bare.add(seen.name)
        for uid, account in accounts.items():
            resources = account.pod.resources or found.resources.get(uid)
            if not account.pod.ended and not _sizes_memory(resources):
                bare.add(account.pod.name)
        rows = self._to.named_usage(kubelet.memory_peak, self.window, bare).read()
        series.merge_memory_peaks(found, rows)
        lacking = series.pods_without_path(rows) & bare
        raw = self._to.raw_usage(kubelet.raw_memory, self.window, lacking)
        series.merge_raw_memory(found, raw, names.at)


def _said_by(metric: str) -> Query:
    return lambda form, window, only: ksm.raw_state(form, window, metric, only)


def _earliest(
    series: Iterable[RawSeries], read: Callable[[Labels], V], found: Samples
) -> dict[str, V]:
    """Of several descriptions of a pod, the one that held when it was first seen running."""
    best: dict[str, tuple[float, str, V]] = {}
    for labels, points in series:
        uid, value = labels.get("uid", ""), read(labels)
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
