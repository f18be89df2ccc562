"""The questions about what pods hold, and the answers: from all who say something of it (M10)."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from accounting.measure.promql import ksm, kubelet, scheduler
from accounting.measure.promql.scope import RESET_LOOKBACK_SECONDS, Scope
from accounting.measure.source.querier import Answer, Querier, Query, chunks
from accounting.measure.usage import sizes
from accounting.measure.usage.podnames import PodNames
from accounting.measure.usage.samples import Labels, Row, Samples, label
from accounting.model.pods import Account, Resources
from accounting.model.time import Window


class HoldingQuery:
    """Requests and limits of new pods, and of those that were resized.

    kube-state-metrics says what each container asks for; kube-scheduler, where it is scraped, what
    follows for the pod; the pod's cgroup what it is limited to.

    Args:
        querier: whom to ask.
        window: about what.
        found: what the window says so far.
    """

    def __init__(self, querier: Querier, window: Window, found: Samples) -> None:
        self._to = querier
        self._window = window
        self._found = found
        self._resized = Answer[Row]()
        self._rescheduled = Answer[Row]()
        self._first_scheduled = Answer[Row]()
        self._lookback_seconds = 0
        self._thorough = False

    def ask_resizes(self, since: float, *, thorough: bool) -> None:
        """Ask which pods were resized, by what counts first: requests, or limits.

        Args:
            since: the source may have been silent since then.
            thorough: after a silence or a restart of the source.
        """
        scope, window = self._to.scope, self._window
        silence = max(0, window.start - int(since))
        self._lookback_seconds = back = RESET_LOOKBACK_SECONDS + silence
        self._thorough = thorough
        changed = self._changed(limits=scope.limits_first)
        self._resized = self._to.ask(lambda form, over: changed(form, over, ""), window)
        if scope.has_scheduling:
            again = partial(scheduler.rescheduled, lookback_seconds=back)
            self._rescheduled = self._to.ask_scheduled(again, window)
            first = partial(scheduler.first_scheduled, lookback_seconds=back)
            self._first_scheduled = self._to.ask_scheduled(first, window)

    def _changed(self, *, limits: bool) -> Query:
        back, thorough = self._lookback_seconds, self._thorough
        return partial(ksm.resized, limits=limits, lookback_seconds=back, thorough=thorough)

    def read(
        self,
        rows: Iterable[Row],
        new: set[str],
        accounts: Mapping[str, Account],
        names: PodNames,
    ) -> None:
        """Add what the new pods ask for, and what the others have been resized to.

        Args:
            rows: requests of the containers, or limits, whichever come first.
            new: the uids of the new pods.
            accounts: the pages of the others.
            names: which pod had a name when.
        """
        found, window, ask = self._found, self._window, self._to.named
        sizes.merge_resources(found, rows)
        inits = ask(ksm.init_resources, window, new).read()
        sizes.merge_resources(found, inits, self._sidecars(labels for labels, _ in inits))
        partial = {uid for uid in new if not _is_complete(found.resources.get(uid))}
        sizes.merge_resources(found, ask(ksm.other_resources, window, partial).read())
        pods = {found.sightings[uid].name for uid in new if uid in found.sightings}
        unsized = {uid for uid in new if _size_of(accounts.get(uid)) is None}
        doubtful = set[str]()
        parts = {uid: found.resources.get(uid) for uid in unsized}
        if self._to.scope.has_scheduling:
            self._read_scheduled(pods, names)
            doubtful = {uid for uid, said in parts.items() if self._is_more(uid, said)}
            doubtful |= self._newly_scheduled(accounts, names) - unsized
        for query, resource in ((kubelet.cpu_limit, "cpu"), (kubelet.memory_limit, "memory")):
            limits = self._to.named_usage(query, window, pods).read()
            sizes.merge_cgroup_limits(found, limits, resource)
        doubtful |= self._resized_by_second(accounts)
        doubtful |= self._waited(parts, accounts)
        self._read_resizes(doubtful, accounts, names)

    def _waited(
        self, parts: Mapping[str, Resources | None], accounts: Mapping[str, Account]
    ) -> set[str]:
        """Of new pods, those that waited to run, and may have been told of only meanwhile.

        It may be before the window, or so long before they ran that it does not count.

        Args:
            parts: what the containers of each new pod ask for.
            accounts: the pages of those that are known.
        """
        found, start, scope = self._found, self._window.start, self._to.scope
        waited = set()
        for uid in parts.keys() & found.sightings.keys():
            running = _running_at(found, accounts, uid)
            if uid in accounts and running < start:
                continue  # an earlier window has looked
            if not scope.has_scheduling and _gives(parts[uid], limits=scope.limits_first):
                continue  # nobody knows better
            times = found.times.get(uid)
            listed = found.sightings[uid].first_listed_at - sizes.SOON_SECONDS
            made = (times and times.created_at) or listed
            if made < max(running - sizes.SOON_SECONDS, start):
                waited.add(uid)
        return waited

    def _is_more(self, uid: str, parts: Resources | None) -> bool:
        """Whether kube-scheduler's figures differ from those of the containers together."""
        found, limits = self._found.resources.get(uid), self._to.scope.limits_first
        if not (found and parts and _gives(parts, limits=limits)):
            return found != parts
        if limits:
            return _limits(found) != _limits(parts)
        return _requests(found) != _requests(parts)

    def _newly_scheduled(self, accounts: Mapping[str, Account], names: PodNames) -> set[str]:
        """Pods that kube-scheduler has values of for the first time."""
        told = {label(labels, "pod") for labels, _ in self._first_scheduled.read()}
        # Its values name pods only: an earlier pod's of the same name may hide that these are new.
        return {
            uid
            for uid, seen in self._found.sightings.items()
            if seen.name in told
            or (seen.name in names.reused and self._is_young(accounts.get(uid)))
        }

    def _is_young(self, account: Account | None) -> bool:
        """Whether the pod first ran so shortly before the window that some scrapes were to come."""
        since = self._window.start - sizes.SOON_SECONDS
        return account is not None and account.pod.first_running_at > since

    def _resized_by_second(self, accounts: Mapping[str, Account]) -> set[str]:
        """Pods that were resized by what counts second, where the first is not given."""
        found, limits_first = self._found, self._to.scope.limits_first
        lacking = set()
        for uid in found.sightings:
            account = accounts.get(uid)
            known = account.pod.resources if account else None
            if not _gives(known or found.resources.get(uid), limits=limits_first):
                lacking.add(uid)
        rows = self._to.named(self._changed(limits=not limits_first), self._window, lacking).read()
        # Limits that come first may be those of the cgroup.
        doubtful = found.sightings.keys() if limits_first else lacking
        again = self._relimited({found.sightings[uid].name for uid in doubtful})
        resized = {uid for uid in doubtful if found.sightings[uid].name in again}
        return resized | {labels.get("uid", "") for labels, _ in rows}

    def _relimited(self, pods: Iterable[str]) -> set[str]:
        """Of some pods, those of which the own cgroup's limits changed, by name."""
        query = _in(kubelet.relimited, self._lookback_seconds)
        return {row.pod for row in self._to.named_usage(query, self._window, pods).read()}

    def _sidecars(self, inits: Iterable[Labels]) -> set[tuple[str, str]]:
        """Which of some init containers are native sidecars."""
        uids = {labels["uid"] for labels in inits if "uid" in labels}
        rows = self._to.named(ksm.sidecars, self._window, uids).read()
        return {(labels.get("uid", ""), label(labels, "container")) for labels, _ in rows}

    def _read_scheduled(self, pods: set[str], names: PodNames) -> None:
        """What kube-scheduler reserves; it names pods only: of a name used twice, time decides."""
        found, window = self._found, self._window
        twice = names.reused & pods
        query = scheduler.scheduled_resources
        rows = self._to.named_scheduled(query, window, pods - twice).read()

        def uid_of(labels: Labels) -> str:
            name = label(labels, "pod")
            return "" if name in twice else names.latest(name)

        sizes.merge_resources(found, rows, uid_of=uid_of)
        for labels, points in self._to.raw_scheduled(
            _in(scheduler.raw_scheduled, 0), window, twice
        ):
            by_uid = {names.asked_by(label(labels, "pod"), at): value for at, value in points}
            for uid, value in by_uid.items():
                sizes.merge_resources(found, [({**labels, "uid": uid}, value)])

    def _read_resizes(
        self, uids: set[str], accounts: Mapping[str, Account], names: PodNames
    ) -> None:
        """All samples of what resized pods ask for, so that each size has its time.

        Args:
            uids: pods that are known to be resized; others are added.
            accounts: the pages of those that are not new.
            names: which pod had a name when.
        """
        found, scope, window = self._found, self._to.scope, self._window
        again = {label(labels, "pod") for labels, _ in self._rescheduled.read()}
        uids |= {labels.get("uid", "") for labels, _ in self._resized.read()}
        uids |= {uid for uid, seen in found.sightings.items() if seen.name in again}
        uids &= found.sightings.keys()
        young = [uid for uid in uids if self._is_young(accounts.get(uid))]
        found.begun |= dict.fromkeys(young, float(window.end))
        for chunk in chunks(uids):
            back, pods = self._lookback_seconds, {found.sightings[uid].name for uid in chunk}
            series = self._to.raw(_in(ksm.raw_resources, back), window, chunk)
            if scope.has_scheduling:
                # Whether it was silent before a change that a look back just reaches.
                query = _in(scheduler.raw_scheduled, back + int(sizes.SOON_SECONDS))
                series += self._to.raw_scheduled(query, window, pods)
            limits = self._to.raw_usage(_in(kubelet.raw_limits, back), window, pods)
            series += [one for one in sizes.cgroup_limits(limits, series) if one[0]["uid"] in chunk]
            inits = (labels for labels, _ in series if "_init_" in labels["__name__"])
            running = {uid: _running_at(found, accounts, uid) for uid in chunk}
            sidecars, since = self._sidecars(inits), window.start - back
            sizes.merge_resizes(found, series, running, sidecars, names.asked_by, since=since)


def _in(query: Callable[[Scope, Window, int, str], str], lookback_seconds: int) -> Query:
    return lambda form, window, only: query(form, window, lookback_seconds, only)


def _running_at(found: Samples, accounts: Mapping[str, Account], uid: str) -> float:
    """When a pod was first seen running."""
    account, seen = accounts.get(uid), found.sightings[uid].first_running_at
    known = (account.pod.first_running_at if account else None, seen)
    return min((at for at in known if at is not None), default=0.0)


def _size_of(account: Account | None) -> Resources | None:
    return account.pod.resources if account else None


def _requests(of: Resources) -> tuple[float | None, float | None]:
    return of.cpu_request, of.memory_request_bytes


def _limits(of: Resources) -> tuple[float | None, float | None]:
    return of.cpu_limit, of.memory_limit_bytes


def _is_complete(resources: Resources | None) -> bool:
    return _gives(resources, limits=False) or _gives(resources, limits=True)


def _gives(resources: Resources | None, *, limits: bool) -> bool:
    """Whether both cores and memory are requested, or limited."""
    if resources is None:
        return False
    return all(_limits(resources) if limits else _requests(resources))
