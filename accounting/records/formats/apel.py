"""The text of APEL cloud records and messages, v0.4. Pure.

Sources: EGI's documentation of the cloud accounting record; the repository's loader and schema,
whose observed behaviour each rule names.
"""

import hashlib
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from accounting.model.records import Record
from accounting.records.identity import fit_user

Fields = dict[str, Any]
"""A record's keys and values as they are written: texts, whole numbers or None."""

PATHS = {
    "RecordCreateTime": "created_at",
    "VMUUID": "uid",
    "SiteName": "site",
    "CloudComputeService": "compute_service",
    "MachineName": "machine",
    "LocalUserId": "user",
    "LocalGroupId": "group",
    "GlobalUserName": "user",
    "FQAN": "vo.fqan",
    "Status": "status.value",
    "StartTime": "start_at",
    "EndTime": "end_at",
    "WallDuration": "wall_seconds",
    "CpuDuration": "cpu_seconds",
    "CpuCount": "cpu_count",
    "NetworkInbound": "received_gb",
    "NetworkOutbound": "sent_gb",
    "Memory": "memory_mb",
    "Disk": "disk_gb",
    "BenchmarkType": "benchmark_type",
    "Benchmark": "benchmark",
    "ImageId": "image",
    "CloudType": "cloud_type",
}
"""Where a ``Record`` has each value."""
_KEYS = list(PATHS)
_KEYS.insert(_KEYS.index("WallDuration"), "SuspendDuration")
_ORDER: Fields = dict.fromkeys(_KEYS, 0)  # notebooks are stopped, never suspended
_values = attrgetter(*PATHS.values())

ASCII_USER = "user name escaped to ASCII"
"""The flag of a record of which the user's name goes out in ASCII, percent-encoded (UTF-8)."""

PERSONAL = frozenset({"LocalUserId", "GlobalUserName", "MachineName"})
"""The keys whose values identify people (I3); a machine's name contains its user's."""

HEADER = "APEL-cloud-message: v0.4"
SEPARATOR = "%%"
MAX_RECORDS = 1000
MAX_BODY_BYTES = 600_000
"""Stays under a broker's 1 MiB after quoted-printable, signature and base64."""


def digest(record: Record) -> str:
    """SHA-256 of what goes out: tells whether a record differs from what was sent (D3)."""
    return digest_of_lines(lines(fields(record)))


def digest_of_lines(lines: Iterable[str]) -> str:
    """SHA-256 of a record's lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fields(record: Record) -> Fields:
    """The record's keys and values in the repository's order; None or "" where there is none."""
    return written(_values(record), ascii_user=ASCII_USER in record.flags)


def written(values: Iterable[Any], *, ascii_user: bool) -> Fields:
    """The same from what a record has of ``PATHS``.

    Args:
        values: in the order of ``PATHS``.
        ascii_user: the user's name goes out in ASCII.
    """
    found = _ORDER | dict(zip(PATHS, values, strict=True))
    found["LocalUserId"] = found["GlobalUserName"] = fit_user(
        found["GlobalUserName"], ascii_only=ascii_user
    )
    found["CpuCount"] = decimal(found["CpuCount"])
    found["Benchmark"] = decimal(found["Benchmark"])
    return found


def decimal(value: float | None) -> str:
    """A number with at most three decimals: the repository holds no more."""
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def text(record: Record) -> str:
    """The record as a message carries it, with its closing separator."""
    return text_of(fields(record))


def text_of(values: Fields) -> str:
    """The same from its keys and values."""
    return "\n".join([*lines(values), SEPARATOR, ""])


def lines(values: Fields) -> list[str]:
    """The lines of what there is, without the separator."""
    return [f"{key}: {value}" for key, value in values.items() if value or value == 0]


def parsed(text: str) -> dict[str, str]:
    """Keys and values of what ``text`` wrote."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def text_digest(text: str) -> str:
    """The digest of a record, from what ``text`` wrote of it."""
    return digest_of_lines(text.removesuffix(f"\n{SEPARATOR}\n").split("\n"))


def renamed(text: str, user: str) -> str:
    """What ``text`` wrote, with another user, and without the machine's name, which tells users."""
    lines = [line for line in text.split("\n") if line.partition(": ")[0] not in PERSONAL]
    for key, following in (
        ("LocalUserId", {"LocalGroupId", "FQAN", "Status"}),
        ("GlobalUserName", {"FQAN", "Status"}),
    ):
        places = (n for n, line in enumerate(lines) if line.partition(": ")[0] in following)
        lines.insert(next(places, len(lines)), f"{key}: {user}")
    return "\n".join(lines)


def texts(body: str) -> list[str]:
    """The records' texts of a message's body, in its order."""
    _header, _, rest = body.partition("\n")
    return [part + f"{SEPARATOR}\n" for part in rest.split(f"{SEPARATOR}\n")[:-1]]


def message(texts: Iterable[str]) -> str:
    """A message's body from its records' texts."""
    return f"{HEADER}\n" + "".join(texts)
