"""The receivers behind topics, as the crash tests look at them.

Each is computed from what the broker stored, replaces by its key as the repository does, and sees
when something older follows something newer.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from xml.etree import ElementTree as ET

from sqlalchemy import select

from accounting.delivery.outlets import accelerators, summaries
from accounting.delivery.outlets.accelerators import Accelerators
from accounting.delivery.outlets.computed import Computed
from accounting.delivery.outlets.storage import Storage
from accounting.delivery.outlets.summaries import Summaries
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.simulation.judges.repository import Repository
from accounting.store.engine.database import Database
from accounting.store.records import Records
from accounting.store.tables import delivered, revisions

Table = dict[tuple[str, tuple[int, int]], tuple[str, int]]
"""(key, month) → (status, number or size, seconds or bytes)."""

Row = tuple[tuple[str, tuple[int, int]], tuple[str, int]]


class Receiver(Protocol):
    """One receiver."""

    def load(self, body: str) -> None:
        """Take a message's body in."""

    def table(self) -> Table:
        """What it holds."""

    def ours(self, database: Database, address: str) -> Table:
        """What it must hold."""

    def row(self, text: str) -> Row:
        """A figure's text as one of its rows."""


@dataclass
class RecordsReceiver:
    """APEL's table of cloud records."""

    repository: Repository = field(default_factory=Repository)
    latest: dict[tuple[str, Any], tuple[int, bool]] = field(default_factory=dict)

    def load(self, body: str) -> None:
        """See ``Receiver``."""
        for record in self.repository.load(body):
            key = (record.uuid, record.month)
            now = (record.integer("WallDuration"), record.text("Status") == "completed")
            before = self.latest.get(key, (0, False))
            assert before <= now, f"{key}: {now} after {before}"
            self.latest[key] = now

    def table(self) -> Table:
        """See ``Receiver``."""
        return {
            key: (row.text("Status"), row.integer("WallDuration"))
            for key, row in self.repository.rows.items()
        }

    def ours(self, database: Database, address: str) -> Table:
        """See ``Receiver``."""
        del address
        return {
            (r.uid, (r.month.year, r.month.month)): (r.status.value, r.wall_seconds)
            for r in Records(database).find()
            if not r.held
        }

    def row(self, text: str) -> Row:
        """See ``Receiver``."""
        values = apel.parsed(text)
        month = Repository().load(apel.message([text]))[0].month
        return (values["VMUUID"], month), (values["Status"], int(values["WallDuration"]))


@dataclass
class ComputedReceiver:
    """One that replaces by a figure's key; figures only grow in these tests.

    Attributes:
        outlet: whose figures it takes.
        read: a message's body as rows; refuses what the receiver refuses.
        of_text: a figure's text as a row.
    """

    outlet: Computed
    read: Callable[[str], list[Row]]
    of_text: Callable[[str], Row]
    rows: Table = field(default_factory=dict)

    def load(self, body: str) -> None:
        """See ``Receiver``."""
        for key, now in self.read(body):
            before = self.rows.get(key, ("0", 0))
            told, then = (float(before[0]), before[1]), (float(now[0]), now[1])
            assert told <= then, f"{now} after {before}"
            self.rows[key] = now

    def table(self) -> Table:
        """See ``Receiver``."""
        return self.rows

    def row(self, text: str) -> Row:
        """See ``Receiver``."""
        return self.of_text(text)

    def ours(self, database: Database, address: str) -> Table:
        """See ``Receiver``."""
        with database.begin(reading=True) as connection:
            months = connection.execute(select(revisions.c.year, revisions.c.month)).all()
            found = [
                entry.text
                for month in months
                for entry in self.outlet.entries(connection, address, Month(*month))
            ]
        return dict(map(self.of_text, found))


def receiver_of(takes: str) -> Receiver:
    """An empty one."""
    match takes:
        case "summary":
            outlet = Summaries()
            return ComputedReceiver(outlet, lambda body: list(map(_sum, outlet.texts(body))), _sum)
        case "accelerators":
            return ComputedReceiver(Accelerators(), _devices, _device)
        case "storage":
            return ComputedReceiver(Storage(), _homes, _home)
    return RecordsReceiver()


def _devices(body: str) -> list[Row]:
    return [_device(json.dumps(one)) for one in json.loads(body)["UsageRecords"]]


def _device(said: str) -> Row:
    one = json.loads(said)
    key = accelerators.key_of(one["AssociatedRecord"], one["Model"])
    month = one["MeasurementYear"], one["MeasurementMonth"]
    return (key, month), (str(one["Count"]), one["AvailableDuration"])


def _homes(body: str) -> list[Row]:
    return [_of_star(uid, one) for uid, one in star_records(body).items()]


def _home(said: str) -> Row:
    ((uid, one),) = star_records(Storage().body([said])).items()
    return _of_star(uid, one)


def _of_star(uid: str, one: Mapping[str, str]) -> Row:
    year, month = int(one["StartTime"][:4]), int(one["StartTime"][5:7])
    figures = one.get("ResourceCapacityAllocated", "0"), int(one["ResourceCapacityUsed"])
    return (uid, (year, month)), figures


SR = "{http://eu-emi.eu/namespaces/2011/02/storagerecord}"
_OPTIONAL = {
    "Site",
    "StorageShare",
    "StorageMedia",
    "StorageClass",
    "DirectoryPath",
    "FileCount",
    "LocalUser",
    "LocalGroup",
    "UserIdentity",
    "Group",
    "LogicalCapacityUsed",
    "ResourceCapacityAllocated",
}
_MUST = {"StorageSystem", "StartTime", "EndTime", "ResourceCapacityUsed"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def star_records(body: str) -> dict[str, dict[str, str]]:
    """A message's storage records by their ids, as APEL's loader reads them (formats, StAR).

    A wrong one rejects the whole message.
    """
    root = ET.fromstring(body)  # noqa: S314 - our own
    assert root.tag == f"{SR}StorageUsageRecords"
    assert len(root)
    found = {}
    for one in root:
        assert one.tag == f"{SR}StorageUsageRecord"
        identity = one.find(f"{SR}RecordIdentity")
        assert identity is not None
        values = {
            name.tag.removeprefix(SR): name.text or ""
            for part in one
            for name in (part if part.tag == f"{SR}SubjectIdentity" else (part,))
            if name is not identity
        }
        assert values.keys() >= _MUST
        assert values.keys() <= _MUST | _OPTIONAL
        assert all(value and len(value) <= 255 for value in values.values())
        for name in ("StartTime", "EndTime"):
            assert _INSTANT.fullmatch(values[name])
        begin, end = (datetime.fromisoformat(values[n]) for n in ("StartTime", "EndTime"))
        assert begin < end
        for name in ("ResourceCapacityUsed", "ResourceCapacityAllocated"):
            assert values.get(name, "0").isdecimal()
        values["createTime"] = identity.attrib[f"{SR}createTime"]
        assert _INSTANT.fullmatch(values["createTime"])
        found[identity.attrib[f"{SR}recordId"]] = values
    return found


def _sum(said: str) -> Row:
    values = apel.parsed(said)
    key = (summaries.key_of(values), (int(values["Year"]), int(values["Month"])))
    return key, (values["NumberOfVMs"], int(values["WallDuration"]))


def held(database: Database, address: str, receiver: Receiver) -> Table:
    """What the outbox says that a receiver holds."""
    with database.begin(reading=True) as connection:
        rows = connection.execute(select(delivered).where(delivered.c.destination == address)).all()
    found: Table = {}
    for row in rows:
        key, figures = receiver.row(row.text)
        assert key == (row.uid, (row.year, row.month))
        found[key] = figures
    return found
