"""Which pod had a name when: names are reused by the same user within minutes (M1, M3). Pure."""

import math
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

from accounting.measure.usage.heartbeat import Pulse
from accounting.measure.usage.samples import Points, Samples, Times
from accounting.model.pods import Account

_NO_TIMES = Times()
# So many times as long as a pod may be missing, from when it may have had containers on.
_SOON = 3.0


class PodNames:
    """The names of all pods that a window is about."""

    def __init__(self, found: Samples, accounts: Mapping[str, Account], beat: Pulse) -> None:
        self._found = found
        self._accounts = accounts
        self._tolerance = beat.alive_seconds

    def latest(self, name: str) -> str:
        """The uid of the pod that had ``name`` last; empty text if there was none."""
        return self._latest.get(name, "")

    def asked_by(self, name: str, at: float) -> str:
        """The same, or of the pod that was to have the name and waited to run."""
        for start, last, uid in reversed(self._listed.get(name, [])):
            if start <= at:
                return uid if at <= last else ""
        return ""

    @cached_property
    def _latest(self) -> dict[str, str]:
        latest = {a.pod.name: uid for uid, a in self._accounts.items() if not a.pod.ended}
        seen = self._found.sightings.items()
        in_time = sorted(seen, key=lambda item: item[1].first_running_at or 0.0)
        return latest | {sighting.name: uid for uid, sighting in in_time}

    @cached_property
    def reused(self) -> set[str]:
        """The names that several pods had, be it that one of them has not run yet."""
        uids: dict[str, set[str]] = defaultdict(set)
        for uid, seen in self._found.sightings.items():
            uids[seen.name].add(uid)
        for uid, account in self._accounts.items():
            uids[account.pod.name].add(uid)
        return {name for name, of_name in uids.items() if len(of_name) > 1}

    def at(self, name: str, at: float) -> str:
        """The uid of the pod that had ``name`` at a Unix time; empty text if there was none."""
        for start, last, uid in reversed(self._lives.get(name, [])):
            if start <= at:
                return uid if at <= last else ""
        return ""

    def started_at(self, uid: str) -> float | None:
        """When a pod started or was created, Unix seconds; None where nobody says."""
        account, times = self._accounts.get(uid), self._found.times.get(uid, _NO_TIMES)
        known = account.pod if account else times
        told = (known.started_at, known.created_at, times.started_at, times.created_at)
        return min((at for at in told if at), default=None)

    def container_of(self, since: float, name: str, points: Points) -> str:
        """The uid of the pod whose a container is, which is one pod's alone; empty text for none.

        It may be told of when the next pod has the name already, but no container is older than
        its pod. Soon after a pod was made, earlier windows have read whose what ended then was.

        Args:
            since: the window's start.
            name: its pod's.
            points: its samples, in order of time.
        """
        (first_at, _), (last_at, _) = points[0], points[-1]
        for at, _ in reversed(points):
            uid = self.at(name, at)
            if not uid:
                continue
            born_at = self._born_at(uid)
            is_read = last_at <= min(since, born_at + _SOON * self._tolerance)
            if born_at <= first_at and not (is_read and uid in self._accounts):
                return uid
        return ""

    def _born_at(self, uid: str) -> float:
        """Since when a pod can have had containers, even if its node's clock is ahead."""
        started = self.started_at(uid)
        if started is None:
            return -math.inf
        account, seen = self._accounts.get(uid), self._found.sightings.get(uid)
        running = account.pod.first_running_at if account else seen and seen.first_running_at
        return min(started, running or started) - self._tolerance

    @cached_property
    def _lives(self) -> dict[str, list[tuple[float, float, str]]]:
        lives: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        late = self._tolerance
        for uid, seen in self._found.sightings.items():
            if uid not in self._accounts and seen.first_running_at is not None:
                last = (seen.last_running_at or 0.0) + late
                lives[seen.name].append((self._start(uid, seen.first_running_at), last, uid))
        for uid, account in self._accounts.items():
            pod, now = account.pod, self._found.sightings.get(uid)
            last = max(pod.last_running_at, (now and now.last_running_at) or 0.0) + late
            start = pod.started_at or self._start(uid, pod.first_running_at)
            lives[pod.name].append((start, last, uid))
        return {name: sorted(spans) for name, spans in lives.items()}

    @cached_property
    def _listed(self) -> dict[str, list[tuple[float, float, str]]]:
        """The lives since pods were made, not only since their nodes acknowledged them."""
        return {
            name: sorted(
                (min(start, self._made_at(uid) or start), last, uid) for start, last, uid in spans
            )
            for name, spans in self._lives.items()
        }

    def _made_at(self, uid: str) -> float | None:
        account = self._accounts.get(uid)
        known = account.pod.created_at if account else None
        return known or self._found.times.get(uid, _NO_TIMES).created_at

    def _start(self, uid: str, first_running_at: float) -> float:
        """Since when the pod had its name: it may have run before kube-state-metrics said so."""
        started_at = self._found.times.get(uid, _NO_TIMES).started_at
        return started_at or first_running_at - self._tolerance
