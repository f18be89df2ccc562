"""The text of APEL cloud records and messages, v0.4. Pure.

Sources: EGI's documentation of the cloud accounting record; the repository's loader and schema,
whose observed behaviour each rule names.
"""

import hashlib
from collections.abc import Iterable

from accounting.model.records import Record
from accounting.records.identity import fit_user

Fields = dict[str, str | int | None]
"""A record's keys and values as they are written."""

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
    user = fit_user(record.user, ascii_only=ASCII_USER in record.flags)
    return {
        "RecordCreateTime": record.created_at,
        "VMUUID": record.uid,
        "SiteName": record.site,
        "CloudComputeService": record.compute_service,
        "MachineName": record.machine,
        "LocalUserId": user,
        "LocalGroupId": record.group,
        "GlobalUserName": user,
        "FQAN": record.vo.fqan,
        "Status": record.status.value,
        "StartTime": record.start_at,
        "EndTime": record.end_at,
        "SuspendDuration": 0,  # notebooks are stopped, never suspended
        "WallDuration": record.wall_seconds,
        "CpuDuration": record.cpu_seconds,
        "CpuCount": decimal(record.cpu_count),
        "NetworkInbound": record.received_gb,
        "NetworkOutbound": record.sent_gb,
        "Memory": record.memory_mb,
        "Disk": record.disk_gb,
        "BenchmarkType": record.benchmark_type,
        "Benchmark": decimal(record.benchmark),
        "ImageId": record.image,
        "CloudType": record.cloud_type,
    }


def decimal(value: float | None) -> str:
    """A number with at most three decimals: the repository holds no more."""
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def text(record: Record) -> str:
    """The record as a message carries it, with its closing separator."""
    return "\n".join([*lines(fields(record)), SEPARATOR, ""])


def lines(values: Fields) -> list[str]:
    """The lines of what there is, without the separator."""
    return [f"{key}: {value}" for key, value in values.items() if value is not None and value != ""]


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
