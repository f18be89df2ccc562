"""What a notebook's records rest on: samples, counters, windows, gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select

from accounting.lookup import windows
from accounting.model.pods import (
    IMPORTED,
    Account,
    Counter,
    CounterKind,
    Level,
    Pod,
    SeriesKey,
    level_of,
)
from accounting.model.time import Gap
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.tables import windows as windows_table

_LEVELS: Mapping[Level, str] = {
    Level.POD: "the pod's cgroup (cAdvisor)",
    Level.NAMED_POD: "the pod (kubelet's /metrics/resource)",
    Level.OTEL_POD: "the pod (OpenTelemetry)",
    Level.CONTAINER: "a container (cAdvisor)",
    Level.ALIAS: "a container (cAdvisor, by name)",
    Level.NAMED_CONTAINER: "a container (kubelet's /metrics/resource)",
    Level.OTEL_CONTAINER: "a container (OpenTelemetry)",
}
_UNITS: Mapping[CounterKind, str] = {
    CounterKind.CPU: "s",
    CounterKind.RECEIVED: "B",
    CounterKind.SENT: "B",
    CounterKind.ENERGY: "J",
}


@dataclass(frozen=True, slots=True)
class CounterSeen:
    """A counter as it was read last; times are Unix seconds.

    Attributes:
        kind: what it counts.
        told_by: what it is of, and who tells it; for network, the interface; for energy, the zone.
        unit: of ``value`` and ``total``: s, B or J.
        value: what the series said last.
        total: with what it had counted before it was reset.
        resets: how often that happened.
        read_at: end of the last window that read it.
        first_at, seen_at: times of its first and last sample; None: only the last value was asked
            for, as of ``read_at``.
    """

    kind: CounterKind
    told_by: str
    unit: str
    value: float
    total: float
    resets: int
    read_at: int
    first_at: float | None
    seen_at: float | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one notebook's records rest on.

    Attributes:
        pod: as the ledger knows it.
        account: its page: readings by month.
        counters: as they were read last.
        windows: how many windows cover its life; ``silent``: in how many of them the source said
            nothing; ``rejected``: values in them, of any notebook, that could not be true.
        polled_at: when the last of them was read, Unix seconds.
        gaps: the source's silences in its life, or at its end.
    """

    pod: Pod
    account: Account
    counters: Sequence[CounterSeen]
    windows: int
    silent: int
    rejected: int
    polled_at: float | None
    gaps: Sequence[Gap]


def evidence(database: Database, uid: str, now: float) -> Evidence | None:
    """What a notebook's records rest on; None if the ledger has no page of it.

    Args:
        database: the ledger's.
        uid: of a notebook that the viewer may see.
        now: Unix seconds.
    """
    account = Ledger(database).accounts([uid]).get(uid)
    if account is None:
        return None
    pod = account.pod
    start, end = pod.start_at, int(max(pod.last_listed_at, pod.last_running_at)) + 1
    c = windows_table.c
    query = select(
        func.count(),
        func.coalesce(func.sum(case((c.spoke, 0), else_=1)), 0),
        func.coalesce(func.sum(c.rejected), 0),
        func.max(c.polled_at),
    ).where(c.end > start, c.start < end)
    with database.asking() as connection:
        count, silent, rejected, polled_at = connection.execute(query).one()
    return Evidence(
        pod,
        account,
        [_seen(key, counter) for key, counter in sorted(account.counters.items())],
        count,
        int(silent),
        int(rejected),
        polled_at,
        windows.silences(database, now, since=start, until=end + 1),
    )


def _seen(key: SeriesKey, counter: Counter) -> CounterSeen:
    return CounterSeen(
        key.kind,
        _told_by(key),
        _UNITS[key.kind],
        counter.value,
        counter.total,
        len(counter.resets),
        counter.at,
        counter.first[0] if counter.first else None,
        counter.seen_at,
    )


def _told_by(key: SeriesKey) -> str:
    if key.series == IMPORTED:
        return "an earlier tool's records"
    return _LEVELS[level_of(key.series)] if key.kind is CounterKind.CPU else key.series
