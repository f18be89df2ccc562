"""A stand-in for the accounting repository's table of cloud records, as strict as the real one.

It follows what the loader of apel/apel does with `APEL-cloud-message: v0.4`: one bad record rejects
the whole message; a record replaces what was there for its (VMUUID, month, year), in order of
arrival; summaries subtract the record of the month before, because durations are cumulative.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from accounting.simulation.world.months import Month, month_of

HEADER = "APEL-cloud-message: v0.4"
SEPARATOR = "%%"
LONGEST = 255
LONGEST_BENCHMARK_TYPE = 50
NULLS = frozenset({"", "none", "null"})

MANDATORY = ("VMUUID", "SiteName")
TIMES = frozenset({"RecordCreateTime", "StartTime", "EndTime"})
INTEGERS = TIMES | {
    "SuspendDuration",
    "WallDuration",
    "CpuDuration",
    "NetworkInbound",
    "NetworkOutbound",
    "PublicIPCount",
    "Memory",
    "Disk",
}
DECIMALS = frozenset({"CpuCount", "Benchmark"})
TEXTS = frozenset(
    {
        "VMUUID",
        "SiteName",
        "CloudComputeService",
        "MachineName",
        "LocalUserId",
        "LocalGroupId",
        "GlobalUserName",
        "FQAN",
        "Status",
        "NetworkType",
        "BenchmarkType",
        "StorageRecordId",
        "ImageId",
        "CloudType",
    }
)


class MessageRejectedError(ValueError):
    """The repository would refuse the whole message; the text says which line and why."""


@dataclass(frozen=True, slots=True)
class CloudRecord:
    """One row: the values by key as they were sent, typed, and the month that it belongs to."""

    values: dict[str, int | Decimal | str]
    month: Month
    """(year, month)."""

    @property
    def uuid(self) -> str:
        """The VMUUID."""
        return str(self.values["VMUUID"])

    def text(self, key: str) -> str:
        """A text value; the repository stores "None" for a missing one."""
        return str(self.values.get(key, "None"))

    def integer(self, key: str) -> int:
        """An integer value, 0 where it was not sent."""
        return int(self.values.get(key, 0))

    @property
    def vo(self) -> str:
        """The VO as the repository reads the FQAN: the whole text unless it starts with a slash."""
        fqan = self.text("FQAN").split(";", 1)[0].strip()
        return fqan.split("/")[1] if fqan.startswith("/") else fqan


@dataclass(frozen=True, slots=True)
class Summary:
    """What a VO used in a month: seconds, core-seconds, GB in and out, and the number of pods."""

    month: Month
    vo: str
    pods: int
    wall_seconds: int
    cpu_seconds: int
    network_in_gb: int
    network_out_gb: int


class Repository:
    """The table, and the messages that made it."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, Month], CloudRecord] = {}
        """By (VMUUID, (year, month)); the last arrival."""
        self.accepted = 0
        """Messages loaded."""

    def load(self, body: str | bytes) -> list[CloudRecord]:
        """Load a message; all of its records, or none.

        Raises:
            MessageRejectedError: A record breaks a rule of the format.
        """
        try:
            text = body.decode() if isinstance(body, bytes) else body
        except UnicodeDecodeError as exc:
            raise MessageRejectedError(f"the body is not UTF-8: {exc}") from exc
        records = parse(text)
        for record in records:
            self.rows[record.uuid, record.month] = record
        self.accepted += 1
        return records

    def load_all(self, bodies: Iterable[str | bytes]) -> None:
        """Load messages in order of arrival."""
        for body in bodies:
            self.load(body)

    def summaries(self) -> list[Summary]:
        """Usage by month and VO, as the monthly summariser reckons it.

        From each record the same VMUUID's record of the month before is subtracted; a value that
        fell shows as negative usage. VOs merge case-insensitively, under the spelling seen first.
        """
        totals: dict[tuple[Month, str], Summary] = {}
        for record in self.rows.values():
            before = self.rows.get((record.uuid, _previous(record.month)))
            key = (record.month, record.vo.casefold())
            so_far = totals.get(key) or Summary(record.month, record.vo, 0, 0, 0, 0, 0)
            totals[key] = _added(so_far, record, before)
        return sorted(totals.values(), key=lambda row: (row.month, row.vo.casefold()))


def parse(text: str) -> list[CloudRecord]:
    """The records of a message body; MessageRejectedError where the loader would refuse it."""
    header, _, rest = text.strip().partition("\n")
    if header.strip() != HEADER:
        raise MessageRejectedError(f"the header is {header.strip()[:80]!r}, not {HEADER!r}")
    records = [_record(part.strip()) for part in rest.split(SEPARATOR) if part.strip()]
    if not records:
        raise MessageRejectedError("the message has no record")
    return records


def _record(text: str) -> CloudRecord:
    values: dict[str, int | Decimal | str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if not colon:
            raise MessageRejectedError(f"a line without a key and value: {line[:80]!r}")
        if key not in INTEGERS | DECIMALS | TEXTS:
            raise MessageRejectedError(f"an unknown key: {key[:80]!r}")
        if value.casefold() not in NULLS:
            values[key] = _value(key, value)
    for key in MANDATORY:
        if key not in values:
            raise MessageRejectedError(f"{key} is missing")
    return CloudRecord(values, _month(values))


def _value(key: str, value: str) -> int | Decimal | str:
    if key in INTEGERS:
        try:
            return int(value)
        except ValueError as exc:
            raise MessageRejectedError(f"{key} is not an integer: {value[:80]!r}") from exc
    if key in DECIMALS:
        return _decimal(key, value)
    longest = LONGEST_BENCHMARK_TYPE if key == "BenchmarkType" else LONGEST
    if len(value) > longest:
        raise MessageRejectedError(f"{key} has {len(value)} characters, more than {longest}")
    return value


def _decimal(key: str, value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation as exc:
        raise MessageRejectedError(f"{key} is not a number: {value[:80]!r}") from exc
    if not number.is_finite() or number < 0:
        raise MessageRejectedError(f"{key} is not a number from 0 up: {value[:80]!r}")
    return number


def _month(values: dict[str, int | Decimal | str]) -> Month:
    """EndTime's month for a completed record, else RecordCreateTime's, else the reckoned end's."""
    if values.get("Status") == "completed":
        if "EndTime" not in values:
            raise MessageRejectedError("a completed record has no EndTime")
        measured = int(values["EndTime"])
    elif "RecordCreateTime" in values:
        measured = int(values["RecordCreateTime"])
    elif "StartTime" in values:
        keys = ("StartTime", "SuspendDuration", "WallDuration")
        measured = sum(int(values.get(key, 0)) for key in keys)
    else:
        raise MessageRejectedError("a record has neither RecordCreateTime nor StartTime")
    try:
        return month_of(measured)
    except (ValueError, OverflowError, OSError) as exc:
        raise MessageRejectedError(f"a time that no calendar has: {measured}") from exc


def _previous(month: Month) -> Month:
    year, number = month
    return (year - 1, 12) if number == 1 else (year, number - 1)


def _added(row: Summary, record: CloudRecord, before: CloudRecord | None) -> Summary:
    def used(key: str) -> int:
        return record.integer(key) - (before.integer(key) if before else 0)

    return Summary(
        row.month,
        row.vo,
        row.pods + 1,
        row.wall_seconds + used("WallDuration"),
        row.cpu_seconds + used("CpuDuration"),
        row.network_in_gb + used("NetworkInbound"),
        row.network_out_gb + used("NetworkOutbound"),
    )
