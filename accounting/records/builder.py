"""A pod's page in the ledger → its APEL records, one per month. Pure."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from accounting.model.accelerators import Accelerator, Quality
from accounting.model.energy import EnergyRules
from accounting.model.pods import ERASED, Account, Pod, Reading, Resources
from accounting.model.records import Held, Record, Span, Status, Vo
from accounting.model.time import Month
from accounting.records import accelerators, energy, identity
from accounting.records.accelerators import Kinds
from accounting.records.formats import apel
from accounting.records.formats.apel import digest_of_lines, fields, lines
from accounting.records.holdings import Held as Holding
from accounting.records.holdings import held as holdings_of
from accounting.records.holdings import size_at
from accounting.records.identity import VoRules
from accounting.records.validation import is_plain, refusal, refused_record

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
        kinds: which resources are accelerators.
        energy: how energy is found out; None: it is not.
        storage_system: the host that home volumes are reported under; empty: as
            ``compute_service``, else ``name``.
        storage_share: what the volumes are called there.
    """

    name: str
    compute_service: str = ""
    cloud_type: str = "EGI Notebooks"
    cpu_from_limits: bool = False
    default_cpu_count: float | None = None
    default_memory_mb: int | None = None
    benchmark_type: str = ""
    benchmark: float | None = None
    kinds: Kinds = field(default_factory=Kinds)
    energy: EnergyRules | None = None
    storage_system: str = ""
    storage_share: str = "home"


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
        _size(record, account, site)
        tell_energy(record, account, site.energy)
        wall_before = record.wall_seconds
        if record.cpu_seconds is not None:
            record.used_cpu_seconds = record.cpu_seconds - cpu_before
            cpu_before = record.cpu_seconds
        written = lines(fields(record))
        record.problem = refused_record(record) if is_plain(written) else refusal(record)
        if record.cpu_count is None and not record.problem:
            record.problem = _NO_CPU_COUNT
        record.held = Held.INVALID if record.problem else held
        record.digest = digest_of_lines(written)
        yield record


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


# Clocks that are kept differ by less.
_CLOCKS_DIFFER_SECONDS = 60


def _flags(pod: Pod, vo: Vo) -> list[str]:
    flags = []
    if not pod.started_at:
        flags.append("start from creation" if pod.created_at else "start from first sample")
    if pod.first_running_at == pod.last_running_at == pod.started_at:
        flags.append("known only from after its end")
    if pod.started_at and abs(pod.start_at - pod.started_at) > _CLOCKS_DIFFER_SECONDS:
        flags.append("clocks differ")
    if pod.is_lost:
        flags.append("node lost")
    if pod.ended_in_gap:
        flags.append("ended in a gap")
    if vo.rule == "default":
        flags.append("default VO")
    if not pod.owner.user:
        flags.append("no user")
    if _is_escaped(pod):
        flags.append("text escaped")
    return flags


# How a NUL, or half of a surrogate pair, is kept: see model/texts.py.
_ODD = re.compile("%00|%ED%[AB]")


def _is_escaped(pod: Pod) -> bool:
    owner = pod.owner
    texts = (pod.name, owner.user, owner.primary_group, owner.flavor, pod.image)
    return any("%" in text and _ODD.search(text) for text in texts)


# The repository would store 0.0 (apel.md, rule 12).
_NO_CPU_COUNT = (
    "CpuCount is unknown: the pod neither requests nor limits CPU;"
    " set a default with ACCOUNTING_RECORD__DEFAULT_CPU_COUNT"
)


def _size(record: Record, account: Account, site: Site) -> None:
    """Integrate what the pod held within the record's month, and say it as the repository wants.

    The highest while the month is open; the mean over time as its last word (M10).
    """
    pod, end = account.pod, record.start_at + record.wall_seconds
    held_spans = holdings_of(pod, end - record.used_wall_seconds, end)
    spans = _spans(held_spans, pod, site)
    record.core_seconds = _integral((span.seconds, span.cores) for span in spans)
    record.memory_mb_seconds = _integral((span.seconds, span.memory_mb) for span in spans)
    record.gpu_seconds = _integral((span.seconds, span.gpus) for span in spans)
    if pod.has_accelerators:
        record.accelerators = accelerators.held(account, held_spans, record.month, site.kinds)
        record.flags = (*record.flags, *_accelerator_flags(record.accelerators))
    if len(spans) == 1:
        return
    record.flags = (*record.flags, "resized")
    record.spans = spans
    used = record.used_wall_seconds if is_final(record) else 0
    if used and record.core_seconds is not None:
        record.cpu_count = round(record.core_seconds / used, 3)
    else:
        record.cpu_count = max((s.cores for s in spans if s.cores is not None), default=None)
    if used and record.memory_mb_seconds is not None:
        record.memory_mb = round(record.memory_mb_seconds / used)
    else:
        known = (span.memory_mb for span in spans if span.memory_mb is not None)
        record.memory_mb = max(map(round, known), default=None)


def tell_energy(record: Record, account: Account, rules: EnergyRules | None) -> None:
    """Fill in what the pod took within the record's month."""
    if rules is not None:
        held = record.accelerators
        record.joules, record.energy_quality, _ = energy.of_month(
            account, record.month, held, rules
        )


def _spans(held_spans: Sequence[Holding], pod: Pod, site: Site) -> tuple[Span, ...]:
    """What was held, in the record's figures; who has GPUs at one time has none at another.

    If only what no figure tells was resized (limits beside requests), that is no new span.
    """
    gpus = [_devices(each.resources, pod, site)[0] for each in held_spans]
    none = 0.0 if any(gpus) else None
    spans: list[Span] = []
    for each, devices in zip(held_spans, gpus, strict=True):
        span = Span(
            each.seconds,
            _cpu_count(each.resources, site)[0],
            _memory_mb(each.resources, pod, site)[0],
            none if devices is None and each.resources is not None else devices,
        )
        if spans and spans[-1]._replace(seconds=span.seconds) == span:
            spans[-1] = span._replace(seconds=spans[-1].seconds + span.seconds)
        else:
            spans.append(span)
    return tuple(spans)


def _integral(sizes: Iterable[tuple[float, float | None]]) -> float | None:
    """Of (seconds, size): size x seconds; None if a size is unknown."""
    total = 0.0
    for seconds, size in sizes:
        if size is None:
            return None
        total += seconds * size
    return round(total, 3)


def _cpu_count(r: Resources | None, site: Site) -> tuple[float | None, list[str]]:
    """Cores from requests or limits, as the site prefers, then the other, then its default."""
    request, limit = (r.cpu_request, r.cpu_limit) if r else (None, None)
    first, second = (limit, request) if site.cpu_from_limits else (request, limit)
    if first is not None:
        return round(first, 3), []
    if second is not None:
        return round(second, 3), [
            "CPU count from " + ("requests", "limits")[not site.cpu_from_limits]
        ]
    said = "CPU count unknown" if site.default_cpu_count is None else "CPU count by default"
    return site.default_cpu_count, [said]


def _devices(r: Resources | None, pod: Pod, site: Site) -> tuple[float | None, str]:
    if r is None or not r.accelerators:
        return None, ""
    return accelerators.devices(r.accelerators, pod.surroundings, site.kinds)


_ACCELERATOR_FLAGS = {
    Quality.UNKNOWN: "unknown resource",
    Quality.NOT_COUNTABLE: "accelerators not countable",
    Quality.SHARED: "accelerator use not told apart",
}


def _accelerator_flags(held: Sequence[Accelerator]) -> Iterator[str]:
    qualities = {accelerator.quality for accelerator in held}
    return (flag for quality, flag in _ACCELERATOR_FLAGS.items() if quality in qualities)


def _memory_mb(r: Resources | None, pod: Pod, site: Site) -> tuple[int | None, list[str]]:
    """MB from requests or limits, then the site's default, then the peak that was used (M10)."""
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
    owner, reading = pod.owner, moment.reading or _NOTHING_READ
    resources = size_at(pod, moment.measured_at)
    cpu_count, cpu_flags = _cpu_count(resources, site)
    memory_mb, memory_flags = _memory_mb(resources, pod, site)
    gpu_count, gpu_resource = _devices(resources, pod, site)
    flags = _flags(pod, vo) + cpu_flags + memory_flags
    if reading.cpu_seconds is None:
        flags.append("CPU time unknown")
    user = identity.shown_user(owner.user, vo.name, rules)
    if rules.ascii_users and not user.isascii():
        flags.append(apel.ASCII_USER)
    elif identity.fit_user(user) != user:
        flags.append("user name escaped")
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
        gpu_count=gpu_count,
        gpu_resource=gpu_resource,
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


def is_final(record: Record) -> bool:
    """Whether it is its month's last word on the pod: what follows would be a correction.

    It is if the pod has ended, or was measured at the month's last second (M8).
    """
    return is_last_word(record.status, record.created_at, record.month)


def is_last_word(status: str, created_at: int, month: Month) -> bool:
    """The same of a record's status, and of when it was measured."""
    return status == Status.COMPLETED or created_at == month.last_second
