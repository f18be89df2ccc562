"""What the receiver holds of ours, beside what our records say: record by record, and monthly sums.

``delivered`` is our copy of the receiver's table: the same key, and the last delivery wins.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from accounting.delivery.differences import Chosen, Difference, Kind
from accounting.delivery.outlets import queue
from accounting.model.messages import OutletKind
from accounting.model.records import Held
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.store.engine.database import Database
from accounting.store.rows import record_of
from accounting.store.tables import delivered, outlets, queued, records

_AT_ONCE = 1000
_KEY = ("uid", "year", "month")


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used within a month: pods, seconds, core-seconds, GB."""

    pods: int = 0
    wall_seconds: int = 0
    cpu_seconds: int = 0
    received_gb: int = 0
    sent_gb: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One group of a month.

    Attributes:
        delivered: what the receiver shows now.
        due: what it shows when all that goes out is delivered.
        measured: the same, and what is held back.
    """

    month: Month
    group: Mapping[str, str]
    delivered: Usage
    due: Usage
    measured: Usage


GROUPINGS: Mapping[str, Sequence[str]] = {
    "vo": ("VO",),
    "user": ("VO", "GlobalUserName"),
    "summary": (
        "SiteName",
        "CloudComputeService",
        "VO",
        "VOGroup",
        "VORole",
        "GlobalUserName",
        "Status",
        "CpuCount",
        "CloudType",
        "ImageId",
        "BenchmarkType",
        "Benchmark",
    ),
}
"""By what can be added up; ``summary`` is the key of the repository's own summaries."""

_MERGED = frozenset({"VO", "GlobalUserName"})
"""The repository's names that do not tell upper from lower case."""


class Receiver:
    """Reads both tables side by side.

    Args:
        database: the ledger's.
        destination: which receiver; by default the first in the settings that takes records.
    """

    def __init__(self, database: Database, destination: str = "") -> None:
        self.database = database
        self._destination = destination

    def _at(self, connection: Connection) -> str:
        """The destination; empty if none takes records yet, where nothing was delivered."""
        if self._destination:
            return self._destination
        first = (
            select(outlets.c.destination)
            .where(outlets.c.kind == OutletKind.RECORDS.value)
            .order_by(outlets.c.position, outlets.c.destination)
        )
        return connection.execute(first.limit(1)).scalar() or ""

    def differences(self, chosen: Chosen) -> Iterator[Difference]:
        """The chosen records that may go out, by pod, streamed."""
        query = select(records, delivered.c.text, delivered.c.digest.label("delivered_digest"))
        with self.database.begin(reading=True) as connection:
            query = (
                query.outerjoin_from(records, delivered, _same_key(self._at(connection)))
                .where(*_is_chosen(chosen))
                .order_by(records.c.uid)
            )
            yield from map(_difference, _streamed(connection, query))

    def held(self, chosen: Chosen) -> int:
        """How many of the chosen records were delivered, and are held back now."""
        query = select(func.count()).where(*_in_month(chosen), records.c.held != Held.NO)
        with self.database.begin(reading=True) as connection:
            joined = records.join(delivered, _same_key(self._at(connection)))
            return connection.execute(query.select_from(joined)).scalar_one()

    def republish(self, chosen: Chosen) -> int:
        """Let the chosen records go out again, as they are when the next push builds messages.

        Returns:
            How many.
        """
        with self.database.begin() as connection:
            destination = self._at(connection)
            joined = records.outerjoin(delivered, _same_key(destination))
            count = select(func.count()).select_from(joined).where(*_is_chosen(chosen))
            uids = select(records.c.uid).select_from(joined).where(*_is_chosen(chosen))
            queue.forget(
                connection,
                and_(
                    queued.c.year == chosen.month.year,
                    queued.c.month == chosen.month.month,
                    queued.c.destination == destination,
                    queued.c.uid.in_(uids.scalar_subquery()),
                ),
            )
            return connection.execute(count).scalar_one()

    def months(self) -> list[Month]:
        """The months that there are records of."""
        query = select(records.c.year, records.c.month).distinct()
        with self.database.begin(reading=True) as connection:
            return sorted(Month(*row) for row in connection.execute(query))

    def summary(self, month: Month, by: str = "vo") -> list[Line]:
        """The month as the repository's summariser adds it up, from both tables.

        Args:
            month: the month.
            by: one of ``GROUPINGS``.
        """
        names = GROUPINGS[by]
        with self.database.begin(reading=True) as connection:
            theirs = summarise(_pairs_delivered(connection, month, self._at(connection)), names)
            ours = summarise(pairs_due(connection, month), names)
            measured = summarise(pairs_measured(connection, month), names)
        shown = {key: group for key, (group, _) in (measured | theirs | ours).items()}
        nothing: tuple[dict[str, str], Usage] = ({}, Usage())
        return [
            Line(
                month, shown[key], *(sums.get(key, nothing)[1] for sums in (theirs, ours, measured))
            )
            for key in sorted(shown)
        ]


_Texts = Mapping[str, str]
_Pairs = Iterable[tuple[_Texts, _Texts]]


def summarise(
    pairs: _Pairs, names: Sequence[str]
) -> dict[tuple[str, ...], tuple[dict[str, str], Usage]]:
    """Add up as the repository does (apel.md, rules 3 and 9). Pure.

    Args:
        pairs: (a record's keys and values, those of the same VMUUID in the month before), values
            as they are written, which are cumulative.
        names: by what to group.

    Returns:
        The group's key → (its names and values as first seen, what was used within the month).
    """
    sums: dict[tuple[str, ...], tuple[dict[str, str], Usage]] = {}
    for now, before in pairs:
        group = _group(now, names)
        key = tuple(v.casefold() if name in _MERGED else v for name, v in group.items())
        shown, so_far = sums.get(key) or (group, Usage())
        sums[key] = shown, _added(so_far, now, before)
    return sums


def _group(now: _Texts, names: Sequence[str]) -> dict[str, str]:
    parts = dict(zip(("VO", "VOGroup", "VORole"), split(now.get("FQAN", "None")), strict=True))
    return {name: parts[name] if name in parts else now.get(name, "None") for name in names}


def split(fqan: str) -> tuple[str, str, str]:
    """VO, group and role, as the repository reads an FQAN: the whole text unless it has a slash."""
    first = fqan.split(";", 1)[0].strip()
    if not first.startswith("/"):
        return first, "None", "None"
    group, _, role = first.partition("/Role=")
    return first.split("/")[1], group, f"Role={role}" if role else "None"


def _added(so_far: Usage, now: _Texts, before: _Texts) -> Usage:
    def used(name: str) -> int:
        return int(now.get(name, 0)) - int(before.get(name, 0))

    return Usage(
        so_far.pods + 1,
        so_far.wall_seconds + used("WallDuration"),
        so_far.cpu_seconds + used("CpuDuration"),
        so_far.received_gb + used("NetworkInbound"),
        so_far.sent_gb + used("NetworkOutbound"),
    )


def delivered_rows(
    connection: Connection, month: Month, destination: str
) -> Iterator[tuple[str, str | None, int, float]]:
    """What was delivered of a month, streamed.

    Yields:
        (text, that of the same key in the month before, message, when it was delivered).
    """
    before = delivered.alias()
    earlier = _is_before(delivered, before, month) & (before.c.destination == destination)
    query = (
        select(
            delivered.c.text,
            before.c.text.label("earlier"),
            delivered.c.message_id,
            delivered.c.delivered_at,
        )
        .outerjoin_from(delivered, before, earlier)
        .where(
            delivered.c.year == month.year,
            delivered.c.month == month.month,
            delivered.c.destination == destination,
        )
    )
    for row in _streamed(connection, query):
        yield tuple(row)


def _pairs_delivered(
    connection: Connection, month: Month, destination: str
) -> Iterator[tuple[_Texts, _Texts]]:
    for now, earlier, _, _ in delivered_rows(connection, month, destination):
        yield apel.parsed(now), apel.parsed(earlier or "")


def pairs_due(connection: Connection, month: Month) -> Iterator[tuple[_Texts, _Texts]]:
    """The month's records that may go out, each with the cumulative figures of the month before."""
    return _pairs_of(connection, month, lambda table: [table.c.held == Held.NO])


def pairs_measured(connection: Connection, month: Month) -> Iterator[tuple[_Texts, _Texts]]:
    """The same of all the month's records, those that are held back, too."""
    return _pairs_of(connection, month, lambda _: [])


def _pairs_of(
    connection: Connection, month: Month, also: Callable[[Any], list[Any]]
) -> Iterator[tuple[_Texts, _Texts]]:
    cumulative = {
        "wall_seconds": "WallDuration",
        "cpu_seconds": "CpuDuration",
        "received_gb": "NetworkInbound",
        "sent_gb": "NetworkOutbound",
    }
    before = records.alias()
    earlier_month = and_(_is_before(records, before, month), *also(before))
    query = (
        select(records, *(before.c[name].label(key) for name, key in cumulative.items()))
        .outerjoin_from(records, before, earlier_month)
        .where(records.c.year == month.year, records.c.month == month.month, *also(records))
    )
    for row in _streamed(connection, query):
        earlier = {key: str(getattr(row, key) or 0) for key in cumulative.values()}
        yield apel.parsed(apel.text(record_of(row))), earlier


def _is_before(table: Any, before: Any, month: Month) -> Any:
    """The condition of the same pod's row of the month before."""
    year, number = (month.year, month.month - 1) if month.month > 1 else (month.year - 1, 12)
    return and_(before.c.uid == table.c.uid, before.c.year == year, before.c.month == number)


def _streamed(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    yield from connection.execute(query.execution_options(yield_per=_AT_ONCE))


def _same_key(destination: str) -> Any:
    same = (delivered.c[name] == records.c[name] for name in _KEY)
    return and_(delivered.c.destination == destination, *same)


def _in_month(chosen: Chosen) -> Iterator[Any]:
    yield records.c.year == chosen.month.year
    yield records.c.month == chosen.month.month
    if chosen.vo:
        yield records.c.vo == chosen.vo
    if chosen.user:
        yield records.c.user == chosen.user


def _is_chosen(chosen: Chosen) -> Iterator[Any]:
    yield from _in_month(chosen)
    yield records.c.held == Held.NO
    if chosen.changed:
        yield delivered.c.digest.is_distinct_from(records.c.digest)


def _difference(row: Any) -> Difference:
    record = record_of(row)
    if row.delivered_digest == record.digest:
        return Difference(record.uid, record.month, record.vo.name, Kind.SAME, {}, 0, 0)
    kind = Kind.NEVER_SENT if row.delivered_digest is None else Kind.CHANGED
    if kind is Kind.CHANGED and not row.text:
        return Difference(record.uid, record.month, record.vo.name, kind, {}, None, None)
    now, before = apel.parsed(apel.text(record)), apel.parsed(row.text or "")
    changes = {
        key: (before.get(key, ""), now.get(key, ""))
        for key in {**now, **before}
        if before.get(key) != now.get(key)
    }
    more = _added(Usage(), now, before)
    return Difference(
        record.uid,
        record.month,
        record.vo.name,
        kind,
        changes,
        more.wall_seconds,
        more.cpu_seconds,
    )
