"""APEL's accelerator records: what a pod held of each model within a month, and used of it.

Source: EGI's documentation of the accelerator record (version 0.1) and its JSON schema in APEL.
The receiver replaces by (month, pod, site, model). A model that a pod holds no more is sent once
with no time: nothing is ever deleted there.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from accounting.delivery.outlets.computed import Computed
from accounting.delivery.receiver import split
from accounting.model.accelerators import Accelerator
from accounting.model.messages import Entry, OutletKind, RecordKey
from accounting.model.pods import ERASED
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.identity import fit_user
from accounting.store.rows import record_of
from accounting.store.tables import delivered, records

TYPE, VERSION = "APEL-accelerator-message", "0.1"
_HEAD = f'{{"Type": "{TYPE}", "Version": "{VERSION}", "UsageRecords": [\n'
_BETWEEN, _TAIL = ",\n", "\n]}"
_NO_TIME = {"AvailableDuration": 0, "ActiveDuration": 0}


def usage(record: Record, held: Sequence[Accelerator]) -> dict[str, Any]:
    """One record of a message: a pod's accelerators of one model and month. Pure.

    Args:
        record: the pod's, of that month.
        held: what it held of that model, by one resource or several; countable.
    """
    count = sum(one.count or 0.0 for one in held)
    available = max(one.held_seconds for one in held)
    values: dict[str, Any] = {
        "MeasurementMonth": record.month.month,
        "MeasurementYear": record.month.year,
        "AssociatedRecordType": "cloud",
        "AssociatedRecord": record.uid,
        "GlobalUserName": fit_user(record.user),
        "FQAN": record.vo.fqan,
        "SiteName": record.site,
        "Count": round(count, 3),
        "AvailableDuration": available,
        "ActiveDuration": _active(held, count, available),
        "Type": held[0].type,
        "Model": held[0].model,
    }
    return {name: value for name, value in values.items() if value not in {None, ""}}


def _active(held: Sequence[Accelerator], count: float, available: int) -> int | None:
    """How long a device was busy, on average; None where it is not known of all of them."""
    seconds = [(one.count or 0.0, one.active_seconds) for one in held]
    if not count or any(active is None for _, active in seconds):
        return None
    mean = sum(devices * (active or 0) for devices, active in seconds) / count
    return min(available, round(mean))


def by_model(record: Record) -> Iterator[list[Accelerator]]:
    """A record's accelerators that can be sent, those of one model together.

    What no rule knows, or nobody can count (a claim), is shown with the record and not sent.
    """
    found: dict[str, list[Accelerator]] = {}
    for one in record.accelerators:
        if one.type and one.count and one.held_seconds:
            found.setdefault(one.model, []).append(one)
    yield from found.values()


def key_of(uid: str, model: str) -> str:
    """A pod's and model's key in what is noted of delivery."""
    return hashlib.sha256(f"{uid}\n{model}".encode()).hexdigest()


class Accelerators(Computed):
    """One record of each pod, month and model."""

    kind = OutletKind.ACCELERATORS

    def entries(self, connection: Connection, destination: str, month: Month) -> list[Entry]:
        """See ``Computed``."""
        sendable = {
            record.uid: record
            for record in map(record_of, connection.execute(_of_month(month)))
            if record.user != ERASED  # what was told of them stays as it is
        }
        said: dict[str, Entry] = {}
        for record in sendable.values():
            for held in by_model(record):
                key = key_of(record.uid, held[0].model)
                said[key] = self._entry(key, record, usage(record, held))
        for key, values in self._held(connection, destination, month):
            record_now = sendable.get(values["AssociatedRecord"])
            if key not in said and record_now is not None:
                said[key] = self._entry(key, record_now, values | _NO_TIME)
        return [said[key] for key in sorted(said)]

    def _entry(self, key: str, record: Record, values: Mapping[str, Any]) -> Entry:
        text = json.dumps(values)
        is_final = builder.is_final(record)
        return Entry(RecordKey(key, *record.month), text, self.digest(text), final=is_final)

    def _held(
        self, connection: Connection, destination: str, month: Month
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """What the receiver holds, as far as it is not forgotten."""
        query = select(delivered.c.uid, delivered.c.text).where(
            delivered.c.year == month.year,
            delivered.c.month == month.month,
            delivered.c.destination == destination,
            delivered.c.text != "",
        )
        for key, text in connection.execute(query).all():
            yield key, json.loads(text)

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
        """See ``Computed``."""
        return {name: str(value) for name, value in json.loads(text).items()}

    def vo(self, values: Mapping[str, str]) -> str:
        """See ``Computed``."""
        return split(values.get("FQAN", ""))[0]


def _of_month(month: Month) -> Any:
    return select(records).where(
        records.c.year == month.year,
        records.c.month == month.month,
        records.c.held == Held.NO,
        records.c.accelerators != "[]",
    )
