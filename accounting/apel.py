"""APEL cloud records, v0.4: built from the ledger, checked as the repository would, written out.

Pure. Sources: EGI's documentation of the cloud accounting record; the repository's loader and
schema, whose observed behaviour each rule names.
"""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from accounting import identity
from accounting.identity import VoRules
from accounting.model import ERASED, Account, Held, Month, Pod, Reading, Record, Status, Vo

Fields = dict[str, str | int | None]
"""A record's keys and values as they are written."""

HEADER = "APEL-cloud-message: v0.4"
SEPARATOR = "%%"
MAX_TEXT = 255
MAX_BENCHMARK_TYPE = 50
MAX_RECORDS = 1000
MAX_BODY_BYTES = 600_000
"""Stays under a broker's 1 MiB after quoted-printable, signature and base64."""

MB = 2**20
GB = 2**30


@dataclass(frozen=True)
class Site:
    """What every record of this site says, and what stands in for figures nobody gave.

    Attributes:
        name: the GOCDB site name.
        compute_service: the GOCDB service endpoint's identifier.
        cloud_type: the software that provides the service.
        cpu_from_limits: take CPU count and memory from limits before requests.
        default_cpu_count, default_memory_mb: for pods without requests and limits; None: unknown.
        benchmark_type, benchmark: of one core; None: not sent.
    """

    name: str
    compute_service: str = ""
    cloud_type: str = "EGI Notebooks"
    cpu_from_limits: bool = False
    default_cpu_count: float | None = None
    default_memory_mb: int | None = None
    benchmark_type: str = ""
    benchmark: float | None = None


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is true of a pod in one month: state, when measured, end, and the counters."""

    month: Month
    status: Status
    measured_at: int
    end_at: int | None
    reading: Reading | None


def records(account: Account, site: Site, rules: VoRules) -> Iterator[Record]:
    """The pod's records, one per month it ran in, the earliest first."""
    pod = account.pod
    vo = identity.decide(pod.owner.primary_group, rules)
    held = Held.NO if pod.owner_known else Held.OWNER_UNKNOWN
    if held is Held.NO and not vo.name:
        held = Held.UNMAPPED
    wall_before, cpu_before = 0, 0
    for moment in _moments(account):
        record = _measured(pod, vo, site, rules, moment)
        record.used_wall_seconds = record.wall_seconds - wall_before
        wall_before = record.wall_seconds
        if record.cpu_seconds is not None:
            record.used_cpu_seconds = record.cpu_seconds - cpu_before
            cpu_before = record.cpu_seconds
        written = lines(fields(record))
        record.problem = _refused_record(record) if _is_plain(written) else refusal(record)
        record.held = Held.INVALID if record.problem else held
        record.digest = _digest(written)
        yield record


def _is_plain(lines: Sequence[str]) -> bool:
    """Whether a record's lines show at one look that none of its values can be refused."""
    joined = "".join(lines)
    return (
        joined.isprintable()
        and SEPARATOR not in joined
        and ": -" not in joined
        and max(map(len, lines)) <= MAX_TEXT
    )


_NOTHING_READ = Reading(0)


def _moments(account: Account) -> Iterator[_Moment]:
    """Split a pod's life at month ends; closed months are measured at their last second (M8)."""
    pod = account.pod
    end = pod.end_at
    last_seen = int(pod.last_running_at) if end is None else end
    last = Month.of(last_seen)
    reading: Reading | None = None
    for month in Month.of(pod.first_running_at).until(last):
        reading = account.readings.get(month, reading)
        if month < last:
            yield _Moment(month, Status.STARTED, month.last_second, None, reading)
            continue
        late = [r for m, r in account.readings.items() if m > last]  # cAdvisor outlived the pod
        reading = max(late, key=lambda r: r.at, default=reading)
        status = Status.STARTED if end is None else Status.COMPLETED
        yield _Moment(month, status, last_seen, end, reading)


def _flags(pod: Pod, vo: Vo) -> list[str]:
    flags = []
    if not pod.started_at:
        flags.append("start from creation" if pod.created_at else "start from first sample")
    if pod.ended_in_gap:
        flags.append("ended in a gap")
    if vo.rule == "default":
        flags.append("default VO")
    if not pod.owner.user:
        flags.append("no user")
    return flags


def _cpu_count(pod: Pod, site: Site) -> tuple[float | None, list[str]]:
    """Cores from requests or limits, as the site prefers, then the other, then its default."""
    r = pod.resources
    request, limit = (r.cpu_request, r.cpu_limit) if r else (None, None)
    first, second = (limit, request) if site.cpu_from_limits else (request, limit)
    if first is not None:
        return round(first, 3), []
    if second is not None:
        return round(second, 3), [
            "CPU count from " + ("requests", "limits")[not site.cpu_from_limits]
        ]
    return site.default_cpu_count, ["CPU count unknown" if site.default_cpu_count is None
                                    else "CPU count by default"]  # fmt: skip


def _memory_mb(pod: Pod, site: Site) -> tuple[int | None, list[str]]:
    """MB from requests or limits, then the site's default, then the peak that was used (M10)."""
    r = pod.resources
    request, limit = (r.memory_request_bytes, r.memory_limit_bytes) if r else (None, None)
    first, second = (limit, request) if site.cpu_from_limits else (request, limit)
    if first is not None:
        return round(first / MB), []
    if second is not None:
        return round(second / MB), [
            "memory from " + ("requests", "limits")[not site.cpu_from_limits]
        ]
    if site.default_memory_mb is not None:
        return site.default_memory_mb, ["memory by default"]
    if pod.peak_memory_bytes is not None:
        return round(pod.peak_memory_bytes / MB), ["memory from peak use"]
    return None, ["memory unknown"]


def _measured(pod: Pod, vo: Vo, site: Site, rules: VoRules, moment: _Moment) -> Record:
    """The record of one month, not judged yet."""
    owner, resources, reading = pod.owner, pod.resources, moment.reading or _NOTHING_READ
    cpu_count, cpu_flags = _cpu_count(pod, site)
    memory_mb, memory_flags = _memory_mb(pod, site)
    flags = _flags(pod, vo) + cpu_flags + memory_flags
    if reading.cpu_seconds is None:
        flags.append("CPU time unknown")
    user = identity.shown_user(owner.user, vo.name, rules)
    return Record(
        uid=pod.uid,
        month=moment.month,
        site=site.name,
        compute_service=site.compute_service,
        cloud_type=site.cloud_type,
        machine=_machine(pod, user),
        user=user,
        group=owner.primary_group,
        vo=vo,
        status=moment.status,
        created_at=moment.measured_at,
        start_at=pod.start_at,
        end_at=moment.end_at,
        wall_seconds=max(0, moment.measured_at - pod.start_at),
        cpu_seconds=None if reading.cpu_seconds is None else int(reading.cpu_seconds),
        cpu_count=cpu_count,
        received_gb=gigabytes(reading.received_bytes),
        sent_gb=gigabytes(reading.sent_bytes),
        memory_mb=memory_mb,
        disk_gb=None if pod.disk_bytes is None else math.ceil(pod.disk_bytes / GB),
        image=pod.image,
        flavor=owner.flavor,
        gpu_count=resources.gpu_count if resources else None,
        gpu_resource=resources.gpu_resource if resources else "",
        benchmark_type=site.benchmark_type,
        benchmark=site.benchmark,
        flags=tuple(flags),
    )


def _machine(pod: Pod, shown_user: str) -> str:
    """The pod's name contains its user's: it is shown only where that is."""
    return pod.name if shown_user == pod.owner.user != ERASED else ""


def gigabytes(count: float | None) -> int | None:
    """Whole GB, rounded down: a cumulative figure must never be above the next one."""
    return None if count is None else int(count // GB)


def digest(record: Record) -> str:
    """SHA-256 of what goes out: tells whether a record differs from what was sent (D3)."""
    return _digest(lines(fields(record)))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def fields(record: Record) -> Fields:
    """The record's keys and values in the repository's order; None or "" where there is none."""
    return {
        "RecordCreateTime": record.created_at,
        "VMUUID": record.uid,
        "SiteName": record.site,
        "CloudComputeService": record.compute_service,
        "MachineName": record.machine,
        "LocalUserId": record.user,
        "LocalGroupId": record.group,
        "GlobalUserName": record.user,
        "FQAN": record.vo.fqan,
        "Status": record.status.value,
        "StartTime": record.start_at,
        "EndTime": record.end_at,
        "SuspendDuration": 0,  # notebooks are stopped, never suspended
        "WallDuration": record.wall_seconds,
        "CpuDuration": record.cpu_seconds,
        "CpuCount": _decimal(record.cpu_count),
        "NetworkInbound": record.received_gb,
        "NetworkOutbound": record.sent_gb,
        "Memory": record.memory_mb,
        "Disk": record.disk_gb,
        "BenchmarkType": record.benchmark_type,
        "Benchmark": _decimal(record.benchmark),
        "ImageId": record.image,
        "CloudType": record.cloud_type,
    }


def _decimal(value: float | None) -> str:
    """At most three decimals, as the repository's decimal(10,3) holds them."""
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def is_final(record: Record) -> bool:
    """Whether it is its month's last word on the pod: what follows would be a correction.

    It is if the pod has ended, or was measured at the month's last second (M8).
    """
    return record.status is Status.COMPLETED or record.created_at == record.month.last_second


def refusal(record: Record) -> str:
    """Why the repository would refuse the record: field and reason; empty if it would not (D2).

    One bad record would make it refuse the whole message (apel.md, rule 8).
    """
    return _refused_values(fields(record)) or _refused_record(record)


def _refused_values(values: Fields) -> str:
    for key, value in values.items():
        if isinstance(value, str):
            plain = value.isprintable() and "%%" not in value and len(value) <= MAX_TEXT
            if not plain and (reason := _refused_text(value)):
                return f"{key}: {reason}"
        elif value is not None and value < 0:
            return f"{key}: negative"
    return ""


def _refused_record(record: Record) -> str:
    if not record.uid:
        return "VMUUID: missing"
    if not record.site:
        return "SiteName: missing"
    if (record.cpu_count or 0) < 0 or (record.benchmark or 0) < 0:
        return f"{'CpuCount' if (record.cpu_count or 0) < 0 else 'Benchmark'}: negative"
    if len(record.benchmark_type) > MAX_BENCHMARK_TYPE:
        return f"BenchmarkType: longer than {MAX_BENCHMARK_TYPE} characters"
    if record.status is Status.COMPLETED and not record.end_at:
        return "EndTime: missing for a completed record"
    return ""


def _refused_text(value: str) -> str:
    if len(value) > MAX_TEXT:
        return f"longer than {MAX_TEXT} characters"
    if SEPARATOR in value:
        return f"contains {SEPARATOR}"
    if len(f"{value}.".splitlines()) > 1:
        return "contains a line break"
    if any(unicodedata.category(character) == "Cc" for character in value):
        return "contains a control character"
    return ""


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
    return _digest(text.removesuffix(f"\n{SEPARATOR}\n").split("\n"))


def renamed(text: str, user: str) -> str:
    """What ``text`` wrote, with another user, and without the machine's name, which tells users."""
    lines = [line for line in text.split("\n") if line.partition(": ")[0] not in _PERSONAL]
    for key, following in (("LocalUserId", {"LocalGroupId", "FQAN", "Status"}),
                           ("GlobalUserName", {"FQAN", "Status"})):  # fmt: skip
        places = (n for n, line in enumerate(lines) if line.partition(": ")[0] in following)
        lines.insert(next(places, len(lines)), f"{key}: {user}")
    return "\n".join(lines)


_PERSONAL = frozenset({"LocalUserId", "GlobalUserName", "MachineName"})


def message(texts: Iterable[str]) -> str:
    """A message's body from its records' texts."""
    return f"{HEADER}\n" + "".join(texts)


def totals(found: Iterable[Record]) -> Mapping[tuple[Month, str], tuple[int, int, int]]:
    """(month, VO) → pods, wall and CPU seconds used *within* the month."""
    sums: dict[tuple[Month, str], tuple[int, int, int]] = {}
    for record in found:
        pods, walls, cpus = sums.get((record.month, record.vo.name), (0, 0, 0))
        walls += record.used_wall_seconds
        cpus += record.used_cpu_seconds or 0
        sums[record.month, record.vo.name] = pods + 1, walls, cpus
    return sums
