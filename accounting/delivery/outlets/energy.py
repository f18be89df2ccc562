"""Energy for GreenDIGIT's CIM: a record of each notebook and UTC day.

Source: GreenDIGIT's CIM pipeline (its ``cnr_transform`` and ``login_server``). The receiver knows
an event by (pod, site, start), keeps what it is given and corrects nothing. So a day is told once,
when it is over and measured; a figure that changes afterwards is shown as differing and waits for
``republish``, in an open month, too. Estimates are not told: the format cannot say that they are.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from accounting.delivery.outlets import queue
from accounting.delivery.outlets.computed import Computed
from accounting.model.energy import JOULES_PER_WH, EnergyQuality, EnergyRules, Taken
from accounting.model.messages import Entry, Limit, OutletKind, RecordKey
from accounting.model.pods import Account
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.records import energy
from accounting.store.due import unsettled
from accounting.store.ledger import Ledger
from accounting.store.rows import record_of
from accounting.store.tables import progress, records, settled

_DAY = 86400
_HEAD, _BETWEEN, _TAIL = "[\n", ",\n", "\n]"
_EVERYTHING_CLOSED = Month(9999, 12)
_SEARCHED = Month(0, 0)
"""Stands in ``settled`` for no month: its revision is the day up to which all was searched."""
_TOLD = frozenset({EnergyQuality.MEASURED, EnergyQuality.PARTLY})


def event(record: Record, account: Account, day: int, taken: Taken) -> dict[str, Any] | None:
    """A notebook's record of a day as the CIM takes it; None where there is nothing to tell. Pure.

    Args:
        record: of the day's month.
        account: the notebook's page.
        day: since the epoch; it is over.
        taken: the energy of the day.
    """
    end_at = account.pod.end_at
    start = max(day * _DAY, account.pod.start_at)
    is_done = end_at is not None and end_at <= (day + 1) * _DAY
    end = end_at if is_done and end_at is not None else (day + 1) * _DAY
    if taken.quality not in _TOLD or not taken.joules or end <= start:
        return None
    hours, wall = taken.joules / JOULES_PER_WH, end - start
    cpu = taken.cpu_seconds or 0.0
    cores = record.cpu_count or 0.0
    return {
        "ExecUnitID": record.uid,
        "StartExecTime": _moment(start),
        "EndExecTime": _moment(end),
        "EnergyWh": round(hours, 6),
        "Work": round(cpu / hours, 3),
        "Efficiency": round(cpu / (wall * cores), 4) if cores else 0.0,
        "WallClockTime_s": wall,
        "CpuDuration_s": int(cpu),
        "SuspendDuration_s": 0,
        "CPUNormalizationFactor": 1.0,
        "ExecUnitFinished": int(is_done),
        "Status": "done" if is_done else "running",
        "Owner": record.vo.name,
        "SiteName": record.site,
        "CloudType": record.cloud_type,
        "CloudComputeService": record.compute_service,
    }


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def key_of(uid: str, day: int) -> str:
    """A notebook's and day's key in what is noted of delivery; in the order of days."""
    digest = hashlib.sha256(uid.encode()).hexdigest()
    return f"{datetime.fromtimestamp(day * _DAY, UTC):%Y%m%d}{digest[:56]}"


class Energy(Computed):
    """Records of notebooks' days.

    Args:
        rules: how energy is found out.
        delay_seconds: a day is told when it has been over for so long, as far as was measured.
    """

    kind = OutletKind.ENERGY

    def __init__(self, rules: EnergyRules, *, delay_seconds: float = 3600.0) -> None:
        self._rules = rules
        self._delay_seconds = delay_seconds

    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """See ``Computed``."""
        del destination
        until = self._until(connection)
        if month.start // _DAY >= until:
            return []
        found = map(record_of, connection.execute(_of_month(month)))
        told = {record.uid: record for record in found}
        pages = Ledger.pages(connection, list(told))
        entries = [
            self._entry(day, values)
            for uid, page in pages.items()
            for day, values in self._days(told[uid], page, month, until)
        ]
        return sorted(entries, key=lambda entry: entry.key.uid)

    def _days(
        self, record: Record, page: Account, month: Month, until: int
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for day, taken in energy.by_day(page, record.accelerators, self._rules).items():
            if day < until and Month.of(day * _DAY) == month:
                values = event(record, page, day, taken)
                if values is not None:
                    yield day, values

    def _entry(self, day: int, values: Mapping[str, Any]) -> Entry:
        text = json.dumps(values)
        key = RecordKey(key_of(values["ExecUnitID"], day), *Month.of(day * _DAY))
        return Entry(key, text, self.digest(text), final=True)

    def _until(self, connection: Connection) -> int:
        """The first day that is not over, as far as was measured."""
        watermark = connection.execute(select(progress.c.watermark)).scalar() or 0
        return int(watermark - self._delay_seconds) // _DAY

    def months(self, connection: Connection, destination: str) -> list[Month]:
        """See ``Computed``: also those of which days are over that were not before."""
        found = {Month(*row) for row in connection.execute(unsettled(destination))}
        query = select(settled.c.revision).where(
            settled.c.destination == destination,
            settled.c.year == _SEARCHED.year,
            settled.c.month == _SEARCHED.month,
        )
        searched = connection.execute(query).scalar() or 0
        until = self._until(connection)
        if 0 < searched < until:
            last = Month.of((until - 1) * _DAY)
            found |= set(Month.of(searched * _DAY).until(last))
        return sorted(found)

    def settle(self, connection: Connection, destination: str) -> None:
        """See ``Outlet``."""
        revised = queue.revisions_now(connection)
        found = self._differing(connection, destination)
        left = {entry.key.of for entry, _ in found}
        for month in {Month(*row) for row in connection.execute(unsettled(destination))} - left:
            queue.settle(connection, destination, month, revised)
        for month in left:
            queue.unsettle(connection, destination, month)
        queue.settle_at(connection, destination, _SEARCHED, self._until(connection))

    def due(
        self,
        connection: Connection,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        open_from: Month,
    ) -> tuple[list[Entry], int]:
        """See ``Outlet``; what was told once is never due by itself."""
        del open_from
        return super().due(connection, destination, after, limit, _EVERYTHING_CLOSED)

    def due_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        del open_from
        return super().due_count(connection, destination, _EVERYTHING_CLOSED)

    def differing_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """See ``Outlet``."""
        del open_from
        return super().differing_count(connection, destination, _EVERYTHING_CLOSED)

    def body(self, texts: Sequence[str]) -> str:
        """See ``Outlet``; a record is a line, and all of it is ASCII."""
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
        said = {name: str(value) for name, value in json.loads(text).items()}
        named = {"VO": said["Owner"], "WallDuration": said["WallClockTime_s"]}
        return {**said, **named, "CpuDuration": said["CpuDuration_s"]}


def _of_month(month: Month) -> Any:
    return select(records).where(
        records.c.year == month.year,
        records.c.month == month.month,
        records.c.held == Held.NO,
        records.c.energy_quality.in_([quality.value for quality in _TOLD]),
    )
