"""A notebook server's pod as the ledger knows it: description, counters, totals per month."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from accounting.model.accelerators import ALONE, Amounts, Surroundings, Use, UseKey
from accounting.model.counters import total_of
from accounting.model.time import Month


class CounterKind(StrEnum):
    """The counters that are kept per pod."""

    CPU = "cpu"
    RECEIVED = "rx"
    SENT = "tx"
    ENERGY = "joules"


class SeriesKey(NamedTuple):
    """One counter of one pod: its cgroup, a container id, a network interface, an energy zone."""

    kind: CounterKind
    series: str

    @property
    def by_id(self) -> bool:
        """Whether it is of a container by its id: one that is made anew has another one."""
        return _BY_ID.match(self.series) is not None


_BY_ID = re.compile("[0-9a-f]{64}(/|$)")
POD_LEVEL = "pod"
"""The ``series`` of a counter read from the pod's own cgroup."""


class Level(StrEnum):
    """What a pod's CPU can be read from, the best first; the value begins a ``series``.

    Levels are never added up: each counts all or nearly all of the pod.
    """

    POD = POD_LEVEL
    NAMED_POD = "pod@resource"
    OTEL_POD = "pod@otel"
    CONTAINER = ""
    ALIAS = "name/"
    """A container by the name that docker and CRI-O give it (``k8s_…``); its id is not told."""
    NAMED_CONTAINER = "resource/"
    OTEL_CONTAINER = "otel/"
    IMPORTED = "imported"


def level_of(series: str) -> Level:
    """The level of a counter of CPU."""
    if series in _POD_LEVELS:
        return Level(series)
    for level in (Level.ALIAS, Level.NAMED_CONTAINER, Level.OTEL_CONTAINER):
        if series.startswith(level):
            return level
    return Level.CONTAINER


_POD_LEVELS = frozenset({Level.POD, Level.NAMED_POD, Level.OTEL_POD, Level.IMPORTED})
IMPORTED = Level.IMPORTED.value
"""The ``series`` of what an earlier tool had counted: figures never fall below it."""

Resets = tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Counter:
    """A cumulative value that survives resets.

    Attributes:
        at: end of the last window that read it.
        value: what the series said last.
        resets: (time of the first sample after a reset, the peak before it), each time once: so
            seeing the same reset again changes nothing. In order of time.
        first: time and value of its first sample; None if all samples were not read.
        seen_at: time of its last sample, if all samples of the last window were read.
        fell_at: time of the first of the resets that may yet turn out to be none.
    """

    at: int
    value: float
    resets: Resets = ()
    first: tuple[float, float] | None = field(default=None, compare=False)
    seen_at: float | None = field(default=None, compare=False)
    fell_at: float | None = None

    @property
    def total(self) -> float:
        """All that was ever counted."""
        return total_of(self.value, self.resets, self.fell_at)


class Reading(NamedTuple):
    """The pod's cumulative totals as last seen within one month; None is unknown, never 0."""

    at: int
    cpu_seconds: float | None = None
    received_bytes: float | None = None
    sent_bytes: float | None = None


class DayReading(NamedTuple):
    """The pod's cumulative totals as last seen within one UTC day; None is unknown, never 0.

    Attributes:
        at: when, Unix seconds.
        cpu_seconds: used since its start.
        joules: taken since its start, by Kepler's zones, which overlap: never add them up.
    """

    at: int
    cpu_seconds: float | None = None
    joules: tuple[tuple[str, float], ...] = ()


class Implausible(StrEnum):
    """Why a value of the source is set aside."""

    NOT_A_NUMBER = "not a number"
    NEGATIVE = "negative"
    TOO_SMALL = "too small"
    TOO_LARGE = "absurdly large"
    FELL = "fell and came back"
    NO_UID = "no uid label"


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
    """Requests and limits, summed over the containers; None where none is set.

    ``accelerators`` has what is asked for besides: all extended resources.
    """

    cpu_request: float | None = None
    cpu_limit: float | None = None
    memory_request_bytes: float | None = None
    memory_limit_bytes: float | None = None
    accelerators: Amounts = ()


Resizes = tuple[tuple[float, Resources], ...]
"""(time of the first sample that shows it, the new size), in order of time."""


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
        resizes: sizes that followed ``resources`` while it lived (in-place resize).
        lost_at: when its node was lost; it counts unless the pod is seen running later.
        owner_known: it has annotations, or others had them while it ran (M11).
        surroundings: what its node and claims say of accelerators.
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
    lost_at: float | None = None
    resizes: Resizes = ()
    surroundings: Surroundings = ALONE

    @property
    def has_accelerators(self) -> bool:
        """Whether it asks for any, or for another resource of a vendor's."""
        sizes = (self.resources, *(size for _, size in self.resizes))
        return bool(self.surroundings.claims) or any(s and s.accelerators for s in sizes)

    @property
    def start_at(self) -> int:
        """Where wall time starts (M6).

        The node's clock tells the start. By the API server's clock, nothing starts before it is
        made; by the metrics' store's, nor after a sample shows it running.
        """
        told = self.started_at or self.created_at or self.first_running_at
        return int(min(max(told, self.created_at or told), self.first_running_at))

    @property
    def is_lost(self) -> bool:
        """Whether it ended with its node, as far as is known."""
        return self.ended and self.lost_at is not None and self.last_running_at <= self.lost_at

    @property
    def end_at(self) -> int | None:
        """Where wall time ended (M6); None while it runs.

        A completion time counts only once the pod is listed as not running: before, it is that of a
        side-car.
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
    """One pod's page in the ledger; ``days`` are kept where energy is measured."""

    pod: Pod
    counters: dict[SeriesKey, Counter] = field(default_factory=dict)
    readings: dict[Month, Reading] = field(default_factory=dict)
    uses: dict[UseKey, Use] = field(default_factory=dict)
    days: dict[int, DayReading] = field(default_factory=dict)
