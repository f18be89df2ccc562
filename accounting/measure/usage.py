"""From samples to what each pod used.

Pure, and safe to repeat: every step takes a maximum, keeps what is there, or is keyed by time, so
that the number and the order of polls change nothing.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from accounting.measure.heartbeat import Pulse
from accounting.measure.samples import Points, Samples, Sighting, Times
from accounting.measure.series import most_growth
from accounting.model.accelerators import ALONE, Use
from accounting.model.pods import (
    IMPORTED,
    POD_LEVEL,
    Account,
    Counter,
    CounterKind,
    Level,
    Owner,
    Pod,
    Reading,
    Resets,
    SeriesKey,
    level_of,
)
from accounting.model.time import Gap, Month, Window

# A counter restarts at 0. A smaller dip is a late copy from a second emitter.
RESET_BELOW = 0.5


# Two levels differ by the pause container and parts of seconds, which is less than a fiftieth.
_COMPLETE = 0.98
# Doubled emitters are scraped within this of each other.
_SOON_SECONDS = 120.0


def absorb(accounts: dict[str, Account], samples: Samples, window: Window) -> set[str]:
    """Merge a window's samples into the ledger's pages; returns the uids that were touched.

    Pods that never ran get no page: Pending is not used time (M6).
    """
    touched = set()
    month = window.month
    counted = samples.readings.keys() | samples.raw.keys()
    described = samples.described
    # Handle each pod in one pass, so that its data stays in the CPU cache.
    for uid, sighting in samples.sightings.items():
        account = _sight(accounts, sighting)
        if account is not None:
            touched.add(uid)
            if uid in described:
                _describe(account.pod, samples)
            if uid in counted:
                _count(account, samples, window, month)
    for uid in counted - samples.sightings.keys():
        account = accounts.get(uid)
        if account is not None:
            touched.add(uid)
            _count(account, samples, window, month)
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


def _describe(pod: Pod, samples: Samples) -> None:
    """Fill in what is not known yet; what was true first stays (apel.md, rule 6)."""
    times = samples.times.get(pod.uid)
    if times is not None:
        _date(pod, times)
    if not pod.owner:
        pod.owner = samples.owners.get(pod.uid, Owner())
    if pod.resources is None:
        pod.resources = samples.resources.get(pod.uid)
    if resizes := samples.resizes.get(pod.uid):
        pod.resizes = tuple(sorted({**dict(pod.resizes), **dict(resizes)}.items()))
    if not pod.surroundings:
        pod.surroundings = samples.surroundings.get(pod.uid, ALONE)
    pod.image = pod.image or samples.images.get(pod.uid, "")
    if pod.disk_bytes is None:
        pod.disk_bytes = samples.claims.get(pod.uid)


def _date(pod: Pod, times: Times) -> None:
    pod.created_at = pod.created_at or times.created_at
    pod.started_at = pod.started_at or times.started_at
    if times.completed_at is not None:
        pod.completed_at = max(times.completed_at, pod.completed_at or 0.0)


def _count(account: Account, samples: Samples, window: Window, month: Month) -> None:
    """Bring counters and the month's reading up to this window."""
    uid, counters = account.pod.uid, account.counters
    readings = samples.readings.get(uid, _NOTHING)
    end = window.end
    is_replay = any(counter.at > end for counter in counters.values())
    if is_replay or uid in samples.raw:
        counters = _recounted(account, samples, window, is_replay=is_replay)
    else:
        for key, value in readings.items():
            counters[key] = _advanced(counters.get(key), value, window)
    old = account.readings.get(month)
    if old is None or old.at <= end:  # else a later window has noted the month's totals
        account.readings[month] = totals(counters, end)


_NOTHING: Mapping[SeriesKey, float] = {}


def _recounted(
    account: Account, samples: Samples, window: Window, *, is_replay: bool
) -> dict[SeriesKey, Counter]:
    """The counters as they were at the end of a window that is read again, or in which one fell."""
    uid, counters = account.pod.uid, account.counters
    as_of = dict(counters) if is_replay else counters
    raw = samples.raw.get(uid, {})
    for key, points in raw.items():
        if counter := _replayed(counters.get(key), points, window):
            as_of[key] = counter
    for key, value in samples.readings.get(uid, _NOTHING).items():
        if key not in raw:
            as_of[key] = _advanced(counters.get(key), value, window)
    return _reconciled(counters, as_of, window) if is_replay else as_of


def _reconciled(
    counters: dict[SeriesKey, Counter], as_of: dict[SeriesKey, Counter], window: Window
) -> dict[SeriesKey, Counter]:
    """An older window, read again: of what later ones know, only its resets can be news.

    Returns the counters as they were at the window's end.
    """
    for key, counter in as_of.items():
        known = counters.get(key)
        if known is None or known.at <= window.end:
            counters[key] = counter
        elif counter is not known:
            known.resets = _in_order({**dict(known.resets), **dict(counter.resets)})
    return {key: counter for key, counter in as_of.items() if counter.at <= window.end}


def _advanced(known: Counter | None, value: float, window: Window) -> Counter:
    if known is None:
        return Counter(window.end, value)
    if known.at > window.end:
        return Counter(window.end, value, _before(known.resets, window.end), known.first)
    return Counter(window.end, max(value, known.value), known.resets, known.first)


def _before(resets: Resets, at: float) -> Resets:
    return tuple(reset for reset in resets if reset[0] <= at)


def _in_order(resets: Mapping[float, float]) -> Resets:
    return tuple(sorted(resets.items()))


def _replayed(known: Counter | None, points: Points, window: Window) -> Counter | None:
    """Go through every sample of a counter that fell; a fall to under half is a reset (M5)."""
    value: float | None = None
    resets: dict[float, float] = {}
    unseen_from = 0.0
    if known is not None:
        resets = dict(_before(known.resets, window.end))
        unseen_from = max(resets, default=0.0)  # with the first sample after it, which may stay
        if known.at <= window.start:
            value, unseen_from = known.value, math.nextafter(known.at, math.inf)
    for at, sample in points:
        if at < unseen_from:
            continue
        if value is not None and sample < value * RESET_BELOW:
            resets[at] = value
            value = sample
        else:
            value = max(sample, value or 0.0)
    if value is None:
        return None
    seen_at = max((at for at, _ in points), default=None)
    return Counter(window.end, value, _in_order(resets), _first(known, points), seen_at)


def _first(known: Counter | None, points: Points) -> tuple[float, float] | None:
    """The first sample; of a counter known from last values alone it is not known."""
    if known is not None and (known.first is None or not points):
        return known.first
    firsts = [point for point in (known.first if known else None, *points[:1]) if point]
    return min(firsts, default=None)


def totals(counters: Mapping[SeriesKey, Counter], at: int) -> Reading:
    """What all counters of a pod add up to; CPU is of one level (M4)."""
    cpu: float | None = None
    received: float | None = None
    sent: float | None = None
    has_levels = False
    for (kind, series), counter in counters.items():
        total = counter.total if counter.resets else counter.value
        if kind is CounterKind.RECEIVED:
            received = total + (received or 0.0)
        elif kind is CounterKind.SENT:
            sent = total + (sent or 0.0)
        else:
            has_levels |= cpu is not None or series != POD_LEVEL
            cpu = total
    if has_levels:
        cpu = _best_level(counters)
        received = _at_least(counters, CounterKind.RECEIVED, received)
        sent = _at_least(counters, CounterKind.SENT, sent)
    return Reading(at, cpu, received, sent)


def _at_least(
    counters: Mapping[SeriesKey, Counter], kind: CounterKind, total: float | None
) -> float | None:
    """A total without what an earlier tool had counted; that, if it is more."""
    earlier = counters.get(SeriesKey(kind, IMPORTED))
    if earlier is None or total is None:
        return total
    return max(earlier.total, total - earlier.total)


def _best_level(counters: Mapping[SeriesKey, Counter]) -> float:
    """CPU seconds where several levels are known: the highest figure is the complete one.

    Each level is a lower bound of what the pod used. So is a level up to its last sample, plus what
    another one, read only after that, has grown by since its own first sample: containers that
    restarted before the change are only in the former, what followed only in the latter. Where the
    latter began with all that was known, it is complete.
    """
    levels: dict[Level, list[Counter]] = defaultdict(list)
    for (kind, series), counter in counters.items():
        if kind is CounterKind.CPU:
            levels[level_of(series)].append(counter)
    best: list[tuple[float, float]] = []  # (last sample, CPU seconds up to then)
    in_time = sorted(levels.values(), key=lambda group: min(_first_at(c) for c in group))
    for group in in_time:
        total = sum(counter.total for counter in group)
        for last, before in best:
            later = _later(group, last)
            if later and sum(first for _, first in later) < before * _COMPLETE:
                total = max(total, before + sum(c.total - first for c, first in later))
        best.append((max(_last_at(c) for c in group), total))
    return max(total for _, total in best)


def _later(group: Sequence[Counter], last: float) -> list[tuple[Counter, float]]:
    """The counters that were read only after ``last``, with what they had counted by then.

    Those that were not there at once began later: all of theirs is new.
    """
    firsts = [c.first for c in group if c.first and c.first[0] > last]
    taken_over = min((at for at, _ in firsts), default=0.0) + _SOON_SECONDS
    return [
        (c, c.first[1] if c.first[0] <= taken_over else 0.0)
        for c in group
        if c.first and c.first[0] > last
    ]


def _first_at(counter: Counter) -> float:
    return counter.first[0] if counter.first else -math.inf


def _last_at(counter: Counter) -> float:
    return counter.at if counter.seen_at is None else counter.seen_at


def fallen(
    accounts: Mapping[str, Account],
    found: Mapping[str, Mapping[SeriesKey, float]],
    window: Window,
) -> set[str]:
    """The names of pods of which a counter is lower than the ledger knows it: it fell unseen.

    And of those of which CPU grew by more than a node can use: one sample may be a spike. Their raw
    samples must be read.
    """
    names = set()
    leap = most_growth(window.seconds)
    for uid, readings in found.items():
        account = accounts.get(uid)
        if account is None:
            continue
        counters = account.counters
        for key, value in readings.items():
            known = counters.get(key)
            if (known and value < known.value * RESET_BELOW and known.at <= window.start) or (
                value > leap
                and key.kind is CounterKind.CPU
                and value - (known.value if known else 0.0) > leap
            ):
                names.add(account.pod.name)
    return names


def settle(
    accounts: Mapping[str, Account], beat: Pulse, orphans: set[str], gaps: Sequence[Gap]
) -> set[str]:
    """Decide for every pod on hand whether it has ended (M7); returns the uids that changed.

    Args:
        accounts: pods that were touched or were running before.
        beat: when the source spoke, up to the window's end.
        orphans: pods that cAdvisor sees although kube-state-metrics does not.
        gaps: silences of the source around these pods' ends.
    """
    if beat.spoken_at is None:
        return set()
    changed = set()
    for uid, account in accounts.items():
        pod = account.pod
        ended = _has_ended(pod, beat, uid in orphans)
        in_gap = ended and _fell_silent(pod, gaps, beat.alive_seconds)
        if (ended, in_gap) != (pod.ended, pod.ended_in_gap):
            pod.ended, pod.ended_in_gap = ended, in_gap
            changed.add(uid)
    return changed


def is_listed_since(pod: Pod, seen: Sighting | None, at: float) -> bool:
    """Whether the phase of a pod says all there is: running after ``at``, or not any more."""
    running, listed = pod.last_running_at, pod.last_listed_at
    if seen is not None:
        running = max(running, seen.last_running_at or 0.0)
        listed = max(listed, seen.last_listed_at)
    return running > at or listed > running


def _has_ended(pod: Pod, beat: Pulse, is_orphan: bool) -> bool:
    if pod.last_listed_at > pod.last_running_at:
        return True
    if is_orphan or beat.spoken_at is None:
        return False
    return beat.spoken_at - pod.last_running_at > beat.alive_seconds


def _fell_silent(pod: Pod, gaps: Sequence[Gap], tolerance_seconds: float) -> bool:
    if (pod.completion_at or 0.0) > pod.last_running_at:
        return False
    return any(abs(gap.start_at - pod.last_running_at) <= tolerance_seconds for gap in gaps)


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
