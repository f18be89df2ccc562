"""APEL cloud records, v0.4: built from the ledger, checked as the repository would, written out.

Pure. Sources: EGI's documentation of the cloud accounting record; the repository's loader and
schema, whose observed behaviour each rule names.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from accounting import identity
from accounting.identity import VoRules
from accounting.model import Account, Held, Month, Pod, Reading, Record, Status, Vo

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
    base = _described(pod, vo, site, rules)
    held = Held.NO if pod.owner_known else Held.OWNER_UNKNOWN
    if held is Held.NO and not vo.name:
        held = Held.UNMAPPED
    for moment in _moments(account):
        yield _checked(_measured(base, pod, moment), held)


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


def _described(pod: Pod, vo: Vo, site: Site, rules: VoRules) -> Record:
    """All of a record that does not depend on the month."""
    cpu_count, cpu_flags = _cpu_count(pod, site)
    memory_mb, memory_flags = _memory_mb(pod, site)
    user = identity.shown_user(pod.owner.user, vo.name, rules)
    kept = user == pod.owner.user
    resources = pod.resources
    return Record(
        uid=pod.uid,
        month=Month.of(pod.first_running_at),
        site=site.name,
        compute_service=site.compute_service,
        cloud_type=site.cloud_type,
        machine=pod.name if kept else "",  # a pod's name contains its user's
        user=user,
        group=pod.owner.primary_group,
        vo=vo,
        status=Status.STARTED,
        created_at=0,
        start_at=pod.start_at,
        end_at=None,
        wall_seconds=0,
        cpu_seconds=None,
        cpu_count=cpu_count,
        received_gb=None,
        sent_gb=None,
        memory_mb=memory_mb,
        disk_gb=None if pod.disk_bytes is None else math.ceil(pod.disk_bytes / GB),
        image=pod.image,
        flavor=pod.owner.flavor,
        gpu_count=resources.gpu_count if resources else None,
        gpu_resource=resources.gpu_resource if resources else "",
        benchmark_type=site.benchmark_type,
        benchmark=site.benchmark,
        flags=tuple(_flags(pod, vo) + cpu_flags + memory_flags),
    )


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


def _measured(base: Record, pod: Pod, moment: _Moment) -> Record:
    reading = moment.reading
    cpu = reading.cpu_seconds if reading else None
    flags = base.flags if cpu is not None else (*base.flags, "CPU time unknown")
    return replace(
        base,
        month=moment.month,
        status=moment.status,
        created_at=moment.measured_at,
        end_at=moment.end_at,
        wall_seconds=max(0, moment.measured_at - pod.start_at),
        cpu_seconds=None if cpu is None else int(cpu),
        received_gb=_gigabytes(reading.received_bytes if reading else None),
        sent_gb=_gigabytes(reading.sent_bytes if reading else None),
        flags=flags,
    )


def _gigabytes(count: float | None) -> int | None:
    """Whole GB, rounded down: a cumulative figure must never be above the next one."""
    return None if count is None else int(count // GB)


def _checked(record: Record, held: Held) -> Record:
    problem = refusal(record)
    if problem:
        held = Held.INVALID
    digest = hashlib.sha256(text(record).encode()).hexdigest()
    return replace(record, held=held, problem=problem, digest=digest)


def fields(record: Record) -> dict[str, str | int | float | None]:
    """The record's keys and values in the repository's order; None where there is no value."""
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
        "CpuCount": record.cpu_count,
        "NetworkInbound": record.received_gb,
        "NetworkOutbound": record.sent_gb,
        "Memory": record.memory_mb,
        "Disk": record.disk_gb,
        "BenchmarkType": record.benchmark_type,
        "Benchmark": record.benchmark,
        "ImageId": record.image,
        "CloudType": record.cloud_type,
    }


def refusal(record: Record) -> str:
    """Why the repository would refuse the record: field and reason; empty if it would not (D2).

    One bad record would make it refuse the whole message (apel.md, rule 8).
    """
    values = fields(record)
    for key in ("VMUUID", "SiteName"):
        if not values[key]:
            return f"{key}: missing"
    for key, value in values.items():
        if isinstance(value, str) and (reason := _refused_text(key, value)):
            return f"{key}: {reason}"
        if isinstance(value, int | float) and value < 0:
            return f"{key}: negative"
    if record.status is Status.COMPLETED and not record.end_at:
        return "EndTime: missing for a completed record"
    return ""


def _refused_text(key: str, value: str) -> str:
    longest = MAX_BENCHMARK_TYPE if key == "BenchmarkType" else MAX_TEXT
    if len(value) > longest:
        return f"longer than {longest} characters"
    if SEPARATOR in value:
        return f"contains {SEPARATOR}"
    if len(value.splitlines()) > 1 or value != value.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"):
        return "contains a line break"
    if any(ord(c) < ord(" ") or c == "\x7f" for c in value):
        return "contains a control character"
    if value and not value.strip():
        return "blank"
    return ""


def text(record: Record) -> str:
    """The record as a message carries it, with its closing separator."""
    lines = [f"{key}: {_written(value)}" for key, value in fields(record).items() if _has(value)]
    return "\n".join([*lines, SEPARATOR, ""])


def _has(value: str | float | None) -> bool:
    return value is not None and value != ""


def _written(value: str | float | None) -> str:
    """Integers as they are; CpuCount and Benchmark with at most three decimals."""
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def message(texts: Iterable[str]) -> str:
    """A message's body from its records' texts."""
    return f"{HEADER}\n" + "".join(texts)


def totals(found: Iterable[Record]) -> Mapping[tuple[Month, str], tuple[int, int, int]]:
    """(month, VO) → pods, wall and CPU seconds used *within* the month.

    Records are cumulative: what a pod's record of the month before said is taken off, as the
    repository's summariser does (apel.md, rule 3).
    """
    before: dict[str, tuple[int, int]] = {}
    sums: dict[tuple[Month, str], tuple[int, int, int]] = {}
    for record in sorted(found, key=lambda r: (r.uid, r.month)):
        wall, cpu = before.get(record.uid, (0, 0))
        now = record.wall_seconds, record.cpu_seconds or 0
        pods, walls, cpus = sums.get((record.month, record.vo.name), (0, 0, 0))
        used = pods + 1, walls + now[0] - wall, cpus + now[1] - cpu
        sums[record.month, record.vo.name] = used
        before[record.uid] = now
    return sums
