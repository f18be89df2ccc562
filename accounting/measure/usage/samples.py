"""What a window's answers say, in the domain's words: labels read, nonsense set aside. Pure.

A row of kube-state-metrics' is ``(labels, value)``, one of cAdvisor's a ``UsageRow``; a raw series
is ``(labels, [(time, value), …])``. A value that cannot be true (NaN, negative, a start in the
future) is not guessed at: it is left out and counted in ``Samples.rejected``, so that the operator
is told.
"""

import math
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple, Protocol

from accounting.measure.promql.ksm import FLAVOR, GROUP, USER
from accounting.model.accelerators import Surroundings, Use, UseKey
from accounting.model.pods import (
    Implausible,
    Owner,
    Resizes,
    Resources,
    SeriesKey,
)
from accounting.model.time import EARLIEST_AT, Window
from accounting.model.volumes import VolumeSeen

Labels = Mapping[str, str]
Row = tuple[Labels, float]
Points = Sequence[tuple[float, float]]
RawSeries = tuple[Labels, Points]


class UsageLabels(Protocol):
    """What is read of the labels of a cgroup's series; empty text where there is none."""

    @property
    def id(self) -> str:
        """The cgroup's path."""

    @property
    def interface(self) -> str:
        """Of a network's series."""


class UsageRow(Protocol):
    """What a cgroup's series said, as the answer writes it: tens of thousands are read at once."""

    @property
    def metric(self) -> UsageLabels:
        """Its labels."""

    @property
    def value(self) -> tuple[float, float]:
        """(time of the question, value)."""

    @property
    def pod(self) -> str:
        """Its pod's name; where honor_labels is off, from its ``exported_`` spelling."""


# No pod has used more than this: a mixed-up series, not a notebook.
MAX_CORES = 4096
MAX_BYTES = 2.0**60


class Sighting(NamedTuple):
    """One pod's phase series in one window; the running times are None if it never ran in it.

    Attributes:
        uid, namespace, name: whose.
        first_running_at, last_running_at: first and last sample with phase Running.
        last_listed_at: last sample, whatever it says.
        lost_at: when its node was lost, if that bounds the running times.
        first_listed_at: first sample, whatever it says.
        stopped_at: first sample after the last one with phase Running; None if there is none.
    """

    uid: str
    namespace: str
    name: str
    first_running_at: float | None
    last_running_at: float | None
    last_listed_at: float
    lost_at: float | None = None
    first_listed_at: float = 0.0
    stopped_at: float | None = None


class Rejected(NamedTuple):
    """A value that cannot be true."""

    metric: str
    reason: Implausible


@dataclass(slots=True)
class Times:
    """When a pod was created, started and completed; None where the source does not say."""

    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None


SeriesNames = dict[tuple[str, str, str], tuple[str, SeriesKey]]
"""(metric, ``id``, interface) → (pod uid, which of its counters)."""

UidAt = Callable[[str, float], str]
"""(pod name, time) → uid of the pod that had the name then, or empty text."""


class Part(Enum):
    """Who asks within a pod."""

    CONTAINER = auto()
    SIDECAR = auto()
    """A native one: an init container with ``restartPolicy: Always``."""
    INIT = auto()
    POD = auto()
    """The pod as a whole (``spec.resources``), or somebody who has added it all up."""


Of = tuple[bool, str]
"""(whether it is requested; else it limits, resource)"""

Asks = dict[Of, dict[tuple[Part, str], float]]
"""Of a pod: by (part, container), what that asks for."""


@dataclass(slots=True)
class Samples:
    """Everything that one window says, by pod uid. Times are Unix seconds.

    Attributes:
        sightings: phases.
        times: creation, start and completion, Unix seconds.
        owners: what the hub's annotations say.
        asks: requests and limits, by who asks within the pod: see ``Asks``.
        resources: what follows from them: cores, bytes, accelerators.
        begun: the time (Unix seconds) up to which ``resources`` and ``resizes`` are complete; only
            of pods of which the window just before knew less.
        resizes: times at which they changed (Unix seconds), and what they were from then on.
        images: image names.
        claims: size of all mounted volumes, bytes.
        surroundings: what nodes and resource claims say of accelerators.
        uses: of accelerators, within UTC days so far: active seconds and joules.
        memory_peaks: highest working set, bytes.
        readings: each counter's last value: CPU in core-seconds, network in bytes.
        metered: what readings of energy are about; None: there are none. They are read by the hour.
        raw: (time, value) of all samples, in order of time, of counters that fell or are doubtful:
            core-seconds, bytes or joules.
        still: uids of pods whose own cgroup counts nothing beside what others tell.
        silence_seconds: how long a source must say nothing to be silent.
        limits: cores that pods are limited to of which a counter fell, as (time, cores) in order
            of time; infinite where one container is not limited; not of pods that are not at all.
        known_series: ``series`` of the window before: the paths are the same from window to
            window. Parsing 20,000 paths takes 59 ms, looking them up 4 ms.
        series: which pod and counter a series belongs to.
        doubted: names of pods of which a last value was set aside.
        volumes: home volumes, by day; the later day comes later.
        orphans: uids that cAdvisor sees although kube-state-metrics does not.
        rejected: how many values were set aside, by metric and reason.
    """

    sightings: dict[str, Sighting] = field(default_factory=dict)
    times: dict[str, Times] = field(default_factory=dict)
    owners: dict[str, Owner] = field(default_factory=dict)
    asks: dict[str, Asks] = field(default_factory=dict)
    resources: dict[str, Resources] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    resizes: dict[str, Resizes] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    surroundings: dict[str, Surroundings] = field(default_factory=dict)
    uses: dict[str, dict[UseKey, Use]] = field(default_factory=dict)
    memory_peaks: dict[str, float] = field(default_factory=dict)
    readings: dict[str, dict[SeriesKey, float]] = field(default_factory=dict)
    metered: Window | None = None
    raw: dict[str, dict[SeriesKey, list[tuple[float, float]]]] = field(default_factory=dict)
    still: set[str] = field(default_factory=set)
    silence_seconds: float = 0.0
    limits: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    known_series: SeriesNames = field(default_factory=dict)
    series: SeriesNames = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    volumes: list[VolumeSeen] = field(default_factory=list)
    orphans: set[str] = field(default_factory=set)
    rejected: Tally[Rejected] = field(default_factory=Tally)

    @property
    def described(self) -> set[str]:
        """The uids of the pods that are described by anything but phases and usage."""
        said = (
            self.times,
            self.owners,
            self.resources,
            self.resizes,
            self.images,
            self.claims,
            self.surroundings,
        )
        return set().union(*said)


def label(labels: Labels, name: str) -> str:
    """A label's value, where honor_labels is off from its ``exported_`` spelling."""
    return labels.get(f"exported_{name}") or labels.get(name, "")


def implausible(value: float, low: float, high: float) -> Implausible | None:
    """Why a value cannot be true; None if it can."""
    if math.isnan(value):
        return Implausible.NOT_A_NUMBER
    if value < low:
        return Implausible.NEGATIVE if value < 0 else Implausible.TOO_SMALL
    return Implausible.TOO_LARGE if value > high else None


MOST_UID = 64
"""The characters of a pod's uid, which PostgreSQL holds the ledger to: Kubernetes' have 36."""


def merge_sightings(samples: Samples, sightings: Iterable[Sighting]) -> None:
    """Add the phase series; several emitters of one pod become one sighting (M4)."""
    for new in sightings:
        if not 0 < len(new.uid) <= MOST_UID:
            samples.rejected[Rejected("kube_pod_status_phase", Implausible.NO_UID)] += 1
            continue
        old = samples.sightings.get(new.uid)
        samples.sightings[new.uid] = new if old is None else _joined(old, new)


def _joined(old: Sighting, new: Sighting) -> Sighting:
    firsts = [at for at in (old.first_running_at, new.first_running_at) if at is not None]
    lasts = [at for at in (old.last_running_at, new.last_running_at) if at is not None]
    last = max(lasts, default=None)
    # What one emitter says of an end is not so as long as another one shows the pod running.
    stops = [at for at in (old.stopped_at, new.stopped_at) if at is not None and at > (last or 0.0)]
    return new._replace(
        first_running_at=min(firsts, default=None),
        last_running_at=last,
        last_listed_at=max(old.last_listed_at, new.last_listed_at),
        first_listed_at=min(old.first_listed_at, new.first_listed_at),
        stopped_at=min(stops, default=None),
    )


CLOCK_SKEW_SECONDS = 3600
"""A time that is later by more than that is no clock's that is a little wrong."""

_TIME_FIELDS = {
    "kube_pod_created": "created_at",
    "kube_pod_start_time": "started_at",
    "kube_pod_completion_time": "completed_at",
}


def merge_times(samples: Samples, rows: Iterable[Row], latest_at: float) -> None:
    """Add start, creation and completion times, up to ``latest_at``."""
    for labels, value in rows:
        metric = labels.get("__name__", "")
        if reason := implausible(value, EARLIEST_AT, latest_at):
            samples.rejected[Rejected(metric, reason)] += 1
        elif uid := labels.get("uid"):
            setattr(samples.times.setdefault(uid, Times()), _TIME_FIELDS[metric], value)
        else:
            samples.rejected[Rejected(metric, Implausible.NO_UID)] += 1


def bound_starts(samples: Samples, first_running_at: Mapping[str, float], beats: Points) -> None:
    """Set aside or bound what clocks say of starts, by what samples show (cases.md, 7).

    Args:
        samples: changed in place.
        first_running_at: by uid, the first sample of all that shows a pod running.
        beats: when the source spoke of the namespace.
    """
    for uid, times in samples.times.items():
        running = first_running_at.get(uid)
        if running is None:
            continue
        if times.started_at and times.started_at > running + CLOCK_SKEW_SECONDS:
            times.started_at = None
            samples.rejected[Rejected("kube_pod_start_time", Implausible.TOO_LARGE)] += 1
        listed = samples.sightings[uid].first_listed_at if uid in samples.sightings else 0.0
        if times.created_at is None and times.started_at and listed <= running:
            # The source spoke before without listing the pod, so it was not made yet.
            times.created_at = max((at for at, _ in beats if at < listed), default=None)


def owner_of(labels: Labels) -> Owner:
    """What the annotations say, under whichever spelling (M11)."""
    has_conflicts = any("_conflict" in name for name in labels)

    def first(name: str) -> str:
        text = labels.get(name, "").strip()
        if text or not has_conflicts:  # nearly always
            return text
        numbered = sorted(
            (int(ending), text.strip())
            for spelling, text in labels.items()
            if (ending := spelling.removeprefix(f"{name}_conflict")).isdecimal()
        )
        return next((text for _, text in numbered if text), "")

    return Owner(first(USER), first(GROUP), first(FLAVOR))


def merge_claims(samples: Samples, mounts: Iterable[Row], sizes: Iterable[Row]) -> None:
    """Add the bytes of each pod's volume claims; a claim of unknown size leaves them unknown.

    Several jobs may tell of the same mount.
    """
    bytes_of: dict[str, float] = {}
    for labels, value in sizes:
        if reason := implausible(value, 0, MAX_BYTES):
            samples.rejected[Rejected("kube_persistentvolumeclaim", reason)] += 1
        else:
            bytes_of[labels["persistentvolumeclaim"]] = value
    mounted: dict[str, set[str]] = defaultdict(set)
    for labels, _ in mounts:
        mounted[labels.get("uid", "")].add(labels["persistentvolumeclaim"])
    for uid, claims in mounted.items():
        if claims <= bytes_of.keys():
            samples.claims[uid] = sum(bytes_of[claim] for claim in claims)
