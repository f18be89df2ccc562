"""Hours for EOSC's accounting: per flavour's metric, user, VO and UTC day.

A day is told once it is over and measured; what changes later is told again, and the sender makes a
correction of it. Nothing is deleted at the receiver: what is no more is told as 0 hours.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from accounting.delivery.outlets import days, queue
from accounting.delivery.outlets.computed import Computed
from accounting.model.messages import Entry, OutletKind, RecordKey
from accounting.model.time import Month
from accounting.records.daily import (
    DAY_SECONDS,
    Figure,
    Metric,
    Metrics,
    Share,
    by_figure,
    unmapped,
)
from accounting.store.due import NOTHING_CLOSED, unsettled
from accounting.store.tables import delivered, progress, revisions, settled

_HEAD, _BETWEEN, _TAIL = "[\n", ",\n", "\n]"
_HOUR = 3600
_SEARCHED, _RULES = Month(0, 0), Month(0, 1)
"""Stand in ``settled`` for no months: the revisions are the day up to which all was searched, and
a number that changes with what flavours count as."""

Whose = tuple[str, str, int]
"""(user, VO, day)"""


def metric_of(figure: Figure, seconds: int) -> dict[str, Any]:
    """One metric as the API takes it, and the installation that it belongs to. Pure."""
    values: dict[str, Any] = {
        "installation": figure.metric.installation,
        "metric_definition_id": figure.metric.definition,
        "time_period_start": _midnight(figure.day),
        "time_period_end": _midnight(figure.day + 1),
        "value": seconds / _HOUR,
        "user_id": figure.user,
        "group_id": figure.vo,
    }
    return {name: value for name, value in values.items() if value != ""}


def figure_of(values: Mapping[str, Any]) -> Figure:
    """Whose metric it is: the inverse of ``metric_of``."""
    start = datetime.fromisoformat(values["time_period_start"])
    metric = Metric(values["installation"], values["metric_definition_id"])
    day = int(start.timestamp()) // DAY_SECONDS
    return Figure(metric, values.get("user_id", ""), values.get("group_id", ""), day)


def key_of(figure: Figure) -> str:
    """The figure's key in what is noted of its delivery; it names nobody.

    Keys are in the order of their days, so that a message is about few days: of each, the sender
    may have to read what the receiver holds.
    """
    said = (*figure.metric, figure.user, figure.vo)
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()
    return f"{datetime.fromtimestamp(figure.day * DAY_SECONDS, UTC):%Y%m%d}{digest[:56]}"


def _midnight(day: int) -> str:
    return f"{datetime.fromtimestamp(day * DAY_SECONDS, UTC):%Y-%m-%dT%H:%M:%SZ}"


class Hours(Computed):
    """Daily figures.

    Args:
        metrics: what flavours count as.
        first_day: nothing before it is told; days since 1970-01-01.
        delay_seconds: a day is told when it has been over for so long, as far as was measured.
    """

    kind = OutletKind.HOURS

    def __init__(
        self, metrics: Metrics, *, first_day: int = 0, delay_seconds: float = 3600.0
    ) -> None:
        self._metrics = metrics
        self._first_day = first_day
        self._delay_seconds = delay_seconds

    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """See ``Computed``."""
        found = self._figures(connection, destination, month)
        return [self._entry(figure, seconds) for figure, seconds in found]

    def _figures(
        self, connection: Connection, destination: str, month: Month
    ) -> list[tuple[Figure, int]]:
        """The month's figures, and those that are no more, with 0 seconds."""
        until = self._until(connection)
        shares = [
            (share, seconds)
            for share, seconds in days.of_month(connection, month).items()
            if self._first_day <= share.day < until
        ]
        held = self._held(connection, destination, month)
        now = by_figure(shares, self._metrics).items()
        found = {key_of(figure): (figure, seconds) for figure, seconds in now}
        unknown = set(map(_whose_share, unmapped(shares, self._metrics)))
        for key, text in held.items():
            if not text:  # what was told of users who were erased stays as it is
                found.pop(key, None)
            elif key not in found:
                gone = figure_of(json.loads(text))
                # It may be the flavour's that is in no rule any more: then it stays as it is.
                if _whose(gone) not in unknown:
                    found[key] = gone, 0
        return [found[key] for key in sorted(found)]

    def _entry(self, figure: Figure, seconds: int) -> Entry:
        text = json.dumps(metric_of(figure, seconds))
        month = Month.of(figure.day * DAY_SECONDS)
        return Entry(RecordKey(key_of(figure), *month), text, self.digest(text), final=True)

    def _until(self, connection: Connection) -> int:
        """The first day that is not over, as far as was measured."""
        watermark = connection.execute(select(progress.c.watermark)).scalar() or 0
        return int(watermark - self._delay_seconds) // DAY_SECONDS

    def _held(self, connection: Connection, destination: str, month: Month) -> Mapping[str, str]:
        """What the receiver was told, by key; empty texts are forgotten."""
        query = select(delivered.c.uid, delivered.c.text).where(
            delivered.c.year == month.year,
            delivered.c.month == month.month,
            delivered.c.destination == destination,
        )
        return {row.uid: row.text for row in connection.execute(query)}

    def months(self, connection: Connection, destination: str) -> Iterable[Month]:
        """See ``Computed``: also those that changed months reach into, and whose days are new."""
        found = {
            earlier
            for month in self._changed(connection, destination)
            for earlier in _reached(connection, month)
        }
        searched = self._noted(connection, destination, _SEARCHED)
        if searched:
            found |= set(_of_days(searched, self._until(connection)))
        return sorted(found)

    def _changed(self, connection: Connection, destination: str) -> list[Month]:
        """The months whose records have changed; all, if flavours count as something else now."""
        query: Any = unsettled(destination)
        if self._noted(connection, destination, _RULES) != self._fingerprint:
            query = select(revisions.c.year, revisions.c.month)
        return [Month(*row) for row in connection.execute(query).all()]

    @property
    def _fingerprint(self) -> int:
        said = repr((list(self._metrics.of_flavors.items()), self._first_day))
        return int(hashlib.sha256(said.encode()).hexdigest()[:15], 16)

    def _noted(self, connection: Connection, destination: str, what: Month) -> int:
        """What was noted when all had been told last."""
        query = select(settled.c.revision).where(
            settled.c.destination == destination,
            settled.c.year == what.year,
            settled.c.month == what.month,
        )
        return connection.execute(query).scalar() or 0

    def settle(self, connection: Connection, destination: str) -> None:
        """See ``Outlet``."""
        revised = queue.revisions_now(connection)
        left = {entry.key.of for entry, _ in self._unsaid(connection, destination, NOTHING_CLOSED)}
        for month in self._changed(connection, destination):
            if left.isdisjoint(_reached(connection, month)):
                queue.settle(connection, destination, month, revised)
        for month in left:
            queue.unsettle(connection, destination, month)
        queue.settle_at(connection, destination, _SEARCHED, self._until(connection))
        queue.settle_at(connection, destination, _RULES, self._fingerprint)

    def _differing(
        self, connection: Connection, destination: str, since: Month | None = None
    ) -> Iterator[tuple[Entry, queue.Told | None]]:
        """See ``Computed``.

        What moved to another metric, as the settings have changed, goes together with what it
        leaves behind: otherwise, the hours of closed months would be told twice.
        """
        for month in self.months(connection, destination):
            if since is not None and month < since:
                continue
            told = queue.told(connection, destination, month)
            entries = [
                (figure, seconds, self._entry(figure, seconds))
                for figure, seconds in self._figures(connection, destination, month)
            ]
            leaving = {
                _whose(figure): before
                for figure, seconds, entry in entries
                if not seconds and (before := told.get(entry.key.uid))
                if before.digest != entry.digest
            }
            for figure, _, entry in entries:
                before = told.get(entry.key.uid) or leaving.get(_whose(figure))
                if before is None or before.digest != entry.digest:
                    yield entry, before

    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``; a figure is a line, and all of it is ASCII."""
        return _HEAD + _BETWEEN.join(texts) + _TAIL

    def texts(self, body: str) -> list[str]:
        """See ``Outlet``."""
        inner = body.removeprefix(_HEAD).removesuffix(_TAIL)
        return inner.split(_BETWEEN) if inner else []

    def digest(self, text: str) -> str:
        """See ``Outlet``."""
        return hashlib.sha256(text.encode()).hexdigest()

    def values(self, text: str) -> Mapping[str, str]:
        """See ``Computed``: with the names that other outlets have for the same."""
        said = json.loads(text)
        named = {
            "Installation": said["installation"],
            "MetricDefinition": said["metric_definition_id"],
            "Day": said["time_period_start"][:10],
            "GlobalUserName": said.get("user_id", ""),
            "VO": said.get("group_id", ""),
            "WallDuration": str(round(said["value"] * _HOUR)),
        }
        return {name: value for name, value in named.items() if value}


def _reached(connection: Connection, month: Month) -> list[Month]:
    """The months that a month's records tell something of."""
    return list(days.first_month(connection, month).until(month))


def _of_days(first: int, until: int) -> Iterator[Month]:
    """The months of the days [first, until)."""
    if first < until:
        last = Month.of((until - 1) * DAY_SECONDS)
        yield from Month.of(first * DAY_SECONDS).until(last)


def _whose(figure: Figure) -> Whose:
    return figure.user, figure.vo, figure.day


def _whose_share(share: Share) -> Whose:
    return share.user, share.vo, share.day
