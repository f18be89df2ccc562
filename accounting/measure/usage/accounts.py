"""From samples to what each pod used: the ledger's pages. Pure.

Safe to repeat: every step takes a maximum, keeps what is there, or is keyed by time, so that the
number and the order of polls change nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

from accounting.measure.usage.counters.counting import count
from accounting.measure.usage.samples import Samples, Sighting, Times
from accounting.model.accelerators import ALONE, Use
from accounting.model.pods import (
    Account,
    Owner,
    Pod,
)
from accounting.model.time import Window

_DAY = 86400


def absorb(
    accounts: dict[str, Account], samples: Samples, window: Window, *, by_day: bool = False
) -> set[str]:
    """Merge a window's samples into the ledger's pages; returns the uids that were touched.

    Pods that never ran get no page: Pending is not used time (M6). ``by_day`` keeps each day's
    totals besides each month's; the window lies within a day then.
    """
    touched = set()
    month = window.month
    day = (window.end - 1) // _DAY if by_day else None
    counted = samples.readings.keys() | samples.raw.keys()
    described = samples.described
    stopped = {
        uid
        for uid in samples.times.keys() & accounts.keys()
        if accounts[uid].pod.last_listed_at > accounts[uid].pod.last_running_at
    }
    # Handle each pod in one pass, so that its data stays in the CPU cache.
    for uid, sighting in samples.sightings.items():
        account = _sight(accounts, sighting)
        if account is not None:
            touched.add(uid)
            if uid in described:
                was_over = uid in stopped and sighting.last_running_at is None
                _describe(account.pod, samples, has_stopped=was_over)
            if uid in counted:
                count(account, samples, window, month, day)
    for uid in counted - samples.sightings.keys():
        account = accounts.get(uid)
        if account is not None:
            touched.add(uid)
            count(account, samples, window, month, day)
    for uid, peak in samples.memory_peaks.items():
        account = accounts.get(uid)
        if account is not None and peak > (account.pod.peak_memory_bytes or 0.0):
            account.pod.peak_memory_bytes = peak
            touched.add(uid)
    return touched | _note_uses(accounts, samples)


def _note_uses(accounts: Mapping[str, Account], samples: Samples) -> set[str]:
    """What accelerators did of a day so far, which only grows; returns whose."""
    of = samples.uses.keys() & accounts.keys()
    for uid in of:
        uses = accounts[uid].uses
        for key, use in samples.uses[uid].items():
            known = uses.get(key, _UNUSED)
            uses[key] = Use(
                _most(known.active_seconds, use.active_seconds),
                _most(known.joules, use.joules),
                known.model or use.model,
            )
    return of


_UNUSED = Use(None, None)


def _most(*values: float | None) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _sight(accounts: dict[str, Account], seen: Sighting) -> Account | None:
    account = accounts.get(seen.uid)
    if account is not None:
        pod = account.pod
        pod.last_listed_at = max(pod.last_listed_at, seen.last_listed_at)
        if seen.first_running_at is not None and seen.last_running_at is not None:
            pod.first_running_at = min(pod.first_running_at, seen.first_running_at)
            pod.last_running_at = max(pod.last_running_at, seen.last_running_at)
        _note_loss(pod, seen)
        return account
    if seen.first_running_at is None or seen.last_running_at is None:
        return None
    pod = Pod(
        seen.uid,
        seen.namespace,
        seen.name,
        seen.first_running_at,
        seen.last_running_at,
        seen.last_listed_at,
    )
    _note_loss(pod, seen)
    account = accounts[seen.uid] = Account(pod)
    return account


def _note_loss(pod: Pod, seen: Sighting) -> None:
    if seen.lost_at is not None:
        pod.lost_at = max(seen.lost_at, pod.lost_at or 0.0)


def _describe(pod: Pod, samples: Samples, *, has_stopped: bool) -> None:
    """Fill in ``pod`` what is not known yet; what was true first stays (apel.md, rule 6)."""
    times = samples.times.get(pod.uid)
    if times is not None:
        seen = None if has_stopped else samples.sightings.get(pod.uid)
        _date(pod, times, seen)
    if not pod.owner:
        pod.owner = samples.owners.get(pod.uid, Owner())
    if pod.resources is None or pod.uid in samples.begun:
        pod.resources = samples.resources.get(pod.uid, pod.resources)
    if (resizes := samples.resizes.get(pod.uid)) is not None:
        until = samples.begun.get(pod.uid, 0.0)
        known = {at: size for at, size in pod.resizes if at > until}
        pod.resizes = tuple(sorted({**known, **dict(resizes)}.items()))
    if not pod.surroundings:
        pod.surroundings = samples.surroundings.get(pod.uid, ALONE)
    pod.image = pod.image or samples.images.get(pod.uid, "")
    if pod.disk_bytes is None:
        pod.disk_bytes = samples.claims.get(pod.uid)


def _date(pod: Pod, times: Times, stopping: Sighting | None) -> None:
    """Add what clocks say.

    Args:
        pod: changed in place.
        times: what they say.
        stopping: of a pod that was not known to have stopped before. The node's clock tells the
            completion; by the store's, it was not after a sample that shows the pod stopped.
    """
    pod.created_at = pod.created_at or times.created_at
    pod.started_at = pod.started_at or times.started_at
    if times.completed_at is None:
        return
    if stopping is None and pod.completed_at:
        return
    completed = times.completed_at
    if stopping and stopping.stopped_at and pod.last_running_at != pod.started_at:
        completed = min(completed, stopping.stopped_at)
    pod.completed_at = max(completed, pod.completed_at or 0.0)


def acknowledge_owners(accounts: Iterable[Account], owned: Sequence[tuple[float, float]]) -> None:
    """Mark whose lack of annotations is their own (M11).

    A pod without annotations while others had them is a single one that nobody wrote on. If none
    had them while it ran, kube-state-metrics did not show any: its owner is unknown.

    Args:
        accounts: the pods to mark.
        owned: (first, last) Running sample of pods that do have annotations.
    """
    for account in accounts:
        pod = account.pod
        pod.owner_known = (
            pod.owner_known
            or bool(pod.owner)
            or any(a <= pod.last_running_at and b >= pod.first_running_at for a, b in owned)
        )
