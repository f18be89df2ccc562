"""What the accounting portal shows of a month, held against what was delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from accounting.model.time import Month


class Unit(StrEnum):
    """In what a portal counts time; it does not say."""

    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"

    @property
    def seconds(self) -> int:
        """How long one is."""
        return {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}[self.value]


class Cause(StrEnum):
    """Why a portal may show something else than what was delivered."""

    NONE = ""
    UNITS = "units"
    PARTIAL = "partial answer"
    LATE = "late"
    REFUSED = "refused"
    ANOTHER_SENDER = "another sender"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Shown:
    """One row of the portal: a VO's use of a site's service in a month, in the portal's unit."""

    month: Month
    site: str
    vo: str
    service: str
    jobs: float
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a portal showed.

    Attributes:
        rows: of clouds, as they came.
        is_partial: the portal itself says that something is missing.
    """

    rows: Sequence[Shown]
    is_partial: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """What was used within a month: notebooks, seconds."""

    jobs: float = 0
    wall_seconds: float = 0
    cpu_seconds: float = 0

    def __add__(self, other: "Used") -> "Used":
        return Used(
            self.jobs + other.jobs,
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
        )

    def __sub__(self, other: "Used") -> "Used":
        return Used(
            self.jobs - other.jobs,
            self.wall_seconds - other.wall_seconds,
            self.cpu_seconds - other.cpu_seconds,
        )


@dataclass(slots=True)
class Told:
    """What was delivered of a site's VO in a month.

    Attributes:
        by_message: what each message said of it, as far as no later one replaced it.
        at: when each of these messages was delivered, Unix seconds.
        services: the service endpoints that it named.
    """

    site: str
    vo: str
    by_message: dict[int, Used] = field(default_factory=dict)
    at: dict[int, float] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)

    @property
    def total(self) -> Used:
        """All of it."""
        return sum(self.by_message.values(), Used())

    def since(self, at: float) -> Used:
        """What was delivered after that time."""
        return sum((one for n, one in self.by_message.items() if self.at[n] > at), Used())


@dataclass(frozen=True, slots=True)
class Line:
    """A site's VO: both sides in seconds, and why they may differ.

    Attributes:
        messages: those that the portal seems to lack.
        detail: what speaks for the cause; empty if both agree.
    """

    site: str
    vo: str
    shown: Used
    delivered: Used
    cause: Cause = Cause.NONE
    detail: str = ""
    messages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison of a month, as it is kept.

    Attributes:
        destination: whose deliveries, as messages name it.
        made_at: when, Unix seconds.
        source: where the portal's figures came from.
        unit: what its times were taken for.
        is_partial: the portal said that something was missing.
        lines: by site and VO.
    """

    month: Month
    destination: str
    made_at: float
    source: str
    unit: Unit
    is_partial: bool
    lines: Sequence[Line]

    @property
    def differing(self) -> list[Line]:
        """The lines where both sides differ."""
        return [line for line in self.lines if line.cause]

    @property
    def causes(self) -> Mapping[Cause, int]:
        """How many lines differ, by cause."""
        return {cause: sum(line.cause is cause for line in self.lines) for cause in Cause if cause}
