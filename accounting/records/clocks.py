"""A page of the ledger that a clock which ran ahead has dated in the future → the same up to now.

Pure. What was counted stays: usage was real, and only its dates were not. Wall time ends now.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from accounting.model.accelerators import Use, UseKey
from accounting.model.pods import Account, Counter, DayReading, Pod, Reading, Resets, Resizes
from accounting.model.time import Month

_DAY = 86400
K = TypeVar("K", int, Month)
R = TypeVar("R", Reading, DayReading)


def brought_back(account: Account, now: float) -> Account:
    """The page, without a time later than ``now`` (Unix seconds)."""
    month, day = Month.of(now), int(now) // _DAY
    return Account(
        _pod(account.pod, now),
        {key: _counter(counter, now) for key, counter in account.counters.items()},
        _kept(account.readings, month, now),
        _uses(account.uses, day),
        _kept(account.days, day, now),
    )


def _past(at: float | None, now: float) -> Any:
    return at if at is None else min(at, now)


def _pod(pod: Pod, now: float) -> Pod:
    names = ("first_running_at", "last_running_at", "last_listed_at", "created_at", "started_at")
    times = {name: _past(getattr(pod, name), now) for name in (*names, "completed_at", "lost_at")}
    return replace(pod, **times, resizes=_resizes(pod.resizes, now))


def _resizes(resizes: Resizes, now: float) -> Resizes:
    """Of several sizes in the future, the last one holds from now on."""
    return tuple({min(at, now): size for at, size in resizes}.items())


def _counter(counter: Counter, now: float) -> Counter:
    first = counter.first
    return Counter(
        min(counter.at, int(now)),
        counter.value,
        _resets(counter.resets, now),
        first and (min(first[0], now), first[1]),
        _past(counter.seen_at, now),
        counter.fell_at if (counter.fell_at or 0.0) < now else None,
    )


def _resets(resets: Resets, now: float) -> Resets:
    """Those of the future become one: a time can have only one."""
    past = tuple(reset for reset in resets if reset[0] < now)
    peaks = [peak for at, peak in resets if at >= now]
    return (*past, (now, sum(peaks))) if peaks else past


def _kept(readings: dict[K, R], current: K, now: float) -> dict[K, R]:
    """Totals only grow: the latest ones are today's."""
    kept = {key: reading for key, reading in readings.items() if key < current}
    rest: Iterable[R] = (reading for key, reading in readings.items() if key >= current)
    last = max(rest, key=lambda reading: reading.at, default=None)
    if last is not None:
        kept[current] = last._replace(at=min(last.at, int(now)))
    return kept


def _uses(uses: dict[UseKey, Use], today: int) -> dict[UseKey, Use]:
    kept: dict[UseKey, Use] = {}
    for key, use in sorted(uses.items()):
        at = key._replace(day=min(key.day, today))
        known = kept.get(at)
        kept[at] = use if known is None else _added(known, use)
    return kept


def _added(one: Use, other: Use) -> Use:
    return Use(
        _sum(one.active_seconds, other.active_seconds),
        _sum(one.joules, other.joules),
        other.model or one.model,
    )


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
