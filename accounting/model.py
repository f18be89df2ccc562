"""The words of the domain as frozen values; standard library only.

Times are Unix seconds (UTC): the metrics, the database and APEL all speak them. A name ending in
``_at`` is such a time; one ending in ``_seconds``, ``_bytes`` or ``_mb`` carries its unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple


class Month(NamedTuple):
    """A UTC calendar month; APEL's key for a record next to the VMUUID."""

    year: int
    month: int

    @classmethod
    def of(cls, at: float) -> "Month":
        """The month that contains the Unix time ``at``."""
        return _month_of_day(int(at) // 86400)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """``2026-11`` → ``Month(2026, 11)``; ValueError otherwise."""
        at = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        return cls(at.year, at.month)

    @property
    def start(self) -> int:
        """Unix time of the first second."""
        return int(datetime(self.year, self.month, 1, tzinfo=UTC).timestamp())

    @property
    def end(self) -> int:
        """Unix time of the first second after the month."""
        return self.next.start

    @property
    def last_second(self) -> int:
        """23:59:59 of the last day: what closes the month at the repository (apel.md, rule 4)."""
        return self.end - 1

    @property
    def next(self) -> "Month":
        """The month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def until(self, last: "Month") -> Iterator["Month"]:
        """This month and all that follow, up to and with ``last``."""
        current = self
        while current <= last:
            yield current
            current = current.next

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"


@lru_cache(maxsize=4096)
def _month_of_day(day: int) -> Month:
    at = datetime.fromtimestamp(day * 86400, UTC)
    return Month(at.year, at.month)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open span (start, end] in whole Unix seconds; never crosses a month's end."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end - self.start

    @property
    def month(self) -> Month:
        """The month it lies in; a window that ends at midnight closes the month before."""
        return Month.of(self.end - 1)


class Gap(NamedTuple):
    """The source said nothing between two samples; ``end_at`` is None while it is still silent."""

    start_at: float
    end_at: float | None


class Kind(StrEnum):
    """The counters that are kept per pod."""

    CPU = "cpu"
    RECEIVED = "rx"
    SENT = "tx"


class SeriesKey(NamedTuple):
    """One counter of one pod: the pod's cgroup, a container id, or a network interface."""

    kind: Kind
    series: str


POD_LEVEL = "pod"
"""The ``series`` of a counter read from the pod's own cgroup."""


Resets = tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Counter:
    """A cumulative value that survives resets.

    Attributes:
        at: end of the last window that read it.
        value: what the series said last.
        resets: (time of the first sample after a reset, the peak before it), each time once: so
            seeing the same reset again changes nothing. In order of time.
    """

    at: int
    value: float
    resets: Resets = ()

    @property
    def total(self) -> float:
        """All that was ever counted."""
        return self.value + sum(peak for _, peak in self.resets)


class Reading(NamedTuple):
    """The pod's cumulative totals as last seen within one month; None is unknown, never 0."""

    at: int
    cpu_seconds: float | None = None
    received_bytes: float | None = None
    sent_bytes: float | None = None


ERASED = "erased"
"""Stands where a user's name was who has been forgotten (I3)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What the hub wrote on the pod; empty text where it wrote nothing."""

    user: str = ""
    primary_group: str = ""
    flavor: str = ""

    def __bool__(self) -> bool:
        return bool(self.user or self.primary_group)


@dataclass(frozen=True, slots=True)
class Resources:
    """What the pod asked for: sums over its containers; None where nobody said anything."""

    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request_bytes: float | None = None
    memory_limit_bytes: float | None = None
    gpu_count: float | None = None
    gpu_resource: str = ""


@dataclass(slots=True)
class Pod:
    """A notebook server's pod as the ledger knows it; ``uid`` is the VMUUID.

    Every field only ever grows or is set once, so that reading a window again changes nothing:
    times take their maximum (the first ones their minimum), descriptions keep what was true at
    the first Running sample (apel.md, rule 6: they key the repository's summaries).

    Attributes:
        first_running_at, last_running_at: first and last sample with phase Running.
        last_listed_at: last sample of the phase series, whatever it said.
        completed_at: kube_pod_completion_time.
        ended: as of the last covered window (M7).
        ended_in_gap: the source fell silent right after ``last_running_at``.
        owner_known: it has annotations, or others had them while it ran (M11).
    """

    uid: str
    namespace: str
    name: str
    first_running_at: float
    last_running_at: float
    last_listed_at: float
    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    owner: Owner = Owner()
    resources: Resources | None = None
    image: str = ""
    disk_bytes: float | None = None
    peak_memory_bytes: float | None = None
    ended: bool = False
    ended_in_gap: bool = False
    owner_known: bool = False

    @property
    def start_at(self) -> int:
        """Where wall time starts (M6)."""
        return int(self.started_at or self.created_at or self.first_running_at)

    @property
    def end_at(self) -> int | None:
        """Where wall time ended (M6); None while it runs.

        A completion time counts once the pod is listed as not running: before, it is a side-car's.
        """
        if not self.ended:
            return None
        return int(max(self.last_running_at, self.completion_at or 0))

    @property
    def completion_at(self) -> float | None:
        """When all of the pod completed; None if it was never seen completed."""
        return self.completed_at if self.last_listed_at > self.last_running_at else None


@dataclass(slots=True)
class Account:
    """One pod's page in the ledger."""

    pod: Pod
    counters: dict[SeriesKey, Counter] = field(default_factory=dict)
    readings: dict[Month, Reading] = field(default_factory=dict)


class Status(StrEnum):
    """APEL's states; notebooks are never suspended."""

    STARTED = "started"
    COMPLETED = "completed"


class Held(StrEnum):
    """Why a record does not go out."""

    NO = ""
    OWNER_UNKNOWN = "owner unknown"
    UNMAPPED = "unmapped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Vo:
    """Which VO a pod's usage counts for, and why (I2).

    Attributes:
        name: the VO; empty if none could be found.
        fqan: ``/vo/group/Role=role`` as the repository splits it.
        rule: what decided: ``map``, ``entitlement``, ``fqan``, ``plain``, ``default``, ``none``.
        source: the text it was decided from, or the map's pattern.
    """

    name: str
    fqan: str
    rule: str
    source: str


@dataclass(slots=True)
class Record:
    """The APEL cloud record of one pod in one month; durations cumulative since ``start_at``.

    ``used_…`` is what of them was used within the month: what the record of the month before says
    is taken off, as the repository's summariser does (apel.md, rule 3). ``flags`` says what was
    estimated or incomplete; ``held`` and ``problem`` why it stays here.
    """

    uid: str
    month: Month
    site: str
    compute_service: str
    cloud_type: str
    machine: str
    user: str
    group: str
    vo: Vo
    status: Status
    created_at: int
    start_at: int
    end_at: int | None
    wall_seconds: int
    cpu_seconds: int | None
    cpu_count: float | None
    received_gb: int | None
    sent_gb: int | None
    memory_mb: int | None
    disk_gb: int | None
    image: str
    flavor: str
    gpu_count: float | None
    gpu_resource: str
    benchmark_type: str
    benchmark: float | None
    flags: tuple[str, ...]
    held: Held = Held.NO
    problem: str = ""
    digest: str = ""
    used_wall_seconds: int = 0
    used_cpu_seconds: int | None = None
