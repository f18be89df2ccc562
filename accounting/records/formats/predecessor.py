"""Rows of egi-notebooks-accounting, which sent records of these notebooks before. Pure.

Source: that tool's public model: a table ``vm`` with one row of each pod, as it was last seen.
Times are local ones without a zone; CPU is in seconds, network and memory are in bytes (and went
out so, though the format has GB and MB). A row without CPU count was not sent, unless a default
was set.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from accounting.model.pods import (
    IMPORTED,
    Account,
    Counter,
    CounterKind,
    Owner,
    Pod,
    Reading,
    Resources,
    SeriesKey,
)
from accounting.model.time import EARLIEST_AT, LATEST_AT, Month
from accounting.records.builder import Site
from accounting.records.formats import apel

TABLE = "vm"
COLUMNS = (
    "local_id",
    "namespace",
    "machine",
    "global_user_name",
    "fqan",
    "status",
    "start_time",
    "end_time",
    "wall",
    "cpu_duration",
    "cpu_count",
    "network_inbound",
    "network_outbound",
    "memory",
    "image_id",
    "flavor",
)


class Unusable(ValueError):
    """A row that cannot be taken over; the text says why, without names."""


@dataclass(frozen=True, slots=True)
class Past:
    """A notebook as that tool left it.

    Attributes:
        account: its page.
        month: under which the receiver holds what was sent last.
        text: the record as it went out, with its closing separator; empty: it was not sent.
        at: until when it was measured, Unix seconds.
    """

    account: Account
    month: Month
    text: str
    at: int


def past(row: Mapping[str, Any], site: Site, zone: tzinfo) -> Past:
    """A row as a page and the record that was sent of it.

    Args:
        row: ``COLUMNS`` by name.
        site: what the records say of the site.
        zone: of the row's times.

    Raises:
        Unusable: something that must be there is not, or cannot be true.
    """
    uid, start, end, wall = _uid(row), _moment(row, "start_time", zone), None, _number(row, "wall")
    if start is None:
        raise Unusable("no start time")
    ended = row["status"] == "completed"
    if ended:
        end = _moment(row, "end_time", zone)
    at = int(start + wall) if end is None else end
    if at < start:
        raise Unusable("it ends before it starts")
    reading = Reading(
        at,
        _number(row, "cpu_duration"),
        _number(row, "network_inbound"),
        _number(row, "network_outbound"),
    )
    cores = _number(row, "cpu_count")
    pod = Pod(
        uid,
        _text(row, "namespace"),
        _text(row, "machine"),
        first_running_at=float(start),
        last_running_at=float(at),
        last_listed_at=float(at),
        created_at=float(start),
        owner=Owner(_text(row, "global_user_name"), _text(row, "fqan"), _text(row, "flavor")),
        resources=Resources(cpu_request=cores) if cores else None,
        image=_text(row, "image_id"),
        peak_memory_bytes=_number(row, "memory") or None,
        ended=ended,
        owner_known=True,
    )
    account = Account(pod, {} if ended else _counters(reading), {Month.of(at): reading})
    was_sent = cores or site.default_cpu_count is not None
    text = _text_of(row, site, account, ended=ended) if was_sent else ""
    return Past(account, Month.of(at), text, at)


def _counters(reading: Reading) -> dict[SeriesKey, Counter]:
    """What cumulative figures of a notebook that runs on must not fall under."""
    kinds = (CounterKind.CPU, CounterKind.RECEIVED, CounterKind.SENT)
    known = zip(kinds, reading[1:], strict=True)
    return {
        SeriesKey(kind, IMPORTED): Counter(reading.at, value)
        for kind, value in known
        if value is not None
    }


def _text_of(row: Mapping[str, Any], site: Site, account: Account, *, ended: bool) -> str:
    pod, (reading,) = account.pod, account.readings.values()
    cores = _number(row, "cpu_count") or site.default_cpu_count
    values: apel.Fields = {
        "VMUUID": pod.uid,
        "SiteName": site.name,
        "CloudComputeService": site.compute_service,
        "MachineName": pod.name,
        "GlobalUserName": pod.owner.user,
        "FQAN": pod.owner.primary_group,
        "Status": "completed" if ended else "started",
        "StartTime": int(pod.first_running_at),
        "EndTime": reading.at if ended else None,
        "SuspendDuration": 0,
        "WallDuration": int(_number(row, "wall")),
        "CpuDuration": round(reading.cpu_seconds or 0),
        "CpuCount": apel.decimal(cores),
        "NetworkInbound": int(reading.received_bytes or 0),
        "NetworkOutbound": int(reading.sent_bytes or 0),
        "Memory": int(_number(row, "memory")),
        "ImageId": pod.image,
        "CloudType": site.cloud_type,
    }
    return "\n".join([*apel.lines(values), apel.SEPARATOR, ""])


def _uid(row: Mapping[str, Any]) -> str:
    try:
        return str(uuid.UUID(str(row["local_id"])))
    except ValueError as exc:
        raise Unusable("its local_id is no UUID") from exc


def _text(row: Mapping[str, Any], name: str) -> str:
    return " ".join(str(row[name] or "").split())


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row[name] or 0.0
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise Unusable(f"{name} cannot be true")
    return float(value)


def _moment(row: Mapping[str, Any], name: str, zone: tzinfo) -> int | None:
    if row[name] is None:
        return None
    try:
        at = datetime.fromisoformat(str(row[name]))
        seconds = int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError) as exc:
        raise Unusable(f"{name} is no time") from exc
    if not EARLIEST_AT <= seconds <= LATEST_AT:
        raise Unusable(f"{name} cannot be true")
    return seconds
