"""Home volumes: what a window says of one, and what is kept of it for a day (UTC).

Sizes are bytes, times Unix seconds, days are numbered since the epoch.
"""

from enum import StrEnum
from typing import NamedTuple

from accounting.model.time import Month

DAY_SECONDS = 86400


class Quality(StrEnum):
    """How the used bytes of a volume are known."""

    FILESYSTEM = "measured by file system"
    DIRECTORY = "measured by directory"
    ALLOCATED = "only allocated"
    """Nothing tells what is in it: its size counts as used."""


class Withheld(StrEnum):
    """Why a volume's record does not go out."""

    NO = ""
    SHARED = "shared"
    """Several users mount it, and no annotation says whose it is."""
    UNMAPPED = "unmapped"
    INVALID = "invalid"


class Measured(NamedTuple):
    """How many bytes were used, as of when, and how that is known."""

    at: int
    bytes: int
    quality: Quality


class Mounter(NamedTuple):
    """The user and primary group of a notebook that mounted a volume; the latest comes last."""

    user: str
    group: str


class VolumeSeen(NamedTuple):
    """What a window says of a volume within one day.

    Attributes:
        namespace, name: of its claim; without a claim of its own, its directory's name.
        day: which day.
        at: the end of what was read of the day.
        allocated_bytes: the claim's size; None if nothing tells.
        created_at: when the claim was made; None if nothing tells.
        user, group: what the claim's annotations say; empty if they say nothing.
        measured: what was used; None if nothing tells.
        mounters: of the notebooks that mounted it.
    """

    namespace: str
    name: str
    day: int
    at: int
    allocated_bytes: int | None = None
    created_at: float | None = None
    user: str = ""
    group: str = ""
    measured: Measured | None = None
    mounters: tuple[Mounter, ...] = ()


class Volume(NamedTuple):
    """A home volume on one day, and its record.

    Attributes:
        uid: the record's id: the same for the same site, system, namespace, name and day.
        seen_at: the end of what was read of the day.
        measured_at: the used bytes are of then, perhaps of an earlier day: while nothing mounts a
            volume, nothing changes in it. None if they are not measured.
        owner: the user, as the hub writes the name; empty if nobody alone owns it.
        is_annotated: the claim itself says whose it is; otherwise those who mount it.
        user: the name as the record says it (I3).
        group, vo: the primary group, and the VO that follows from it.
        held, problem: why the record stays here; empty if it goes out.
        digest: SHA-256 of the record's text.
    """

    uid: str
    day: int
    namespace: str
    name: str
    site: str
    system: str
    share: str
    owner: str
    is_annotated: bool
    user: str
    group: str
    vo: str
    used_bytes: int
    allocated_bytes: int | None
    quality: Quality
    measured_at: int | None
    created_at: float | None
    seen_at: int
    held: Withheld = Withheld.NO
    problem: str = ""
    digest: str = ""

    @property
    def month(self) -> Month:
        """The UTC month of its day."""
        return Month.of(self.day * DAY_SECONDS)

    @property
    def measured(self) -> Measured | None:
        """What was measured; None if nothing was."""
        if self.measured_at is None:
            return None
        return Measured(self.measured_at, self.used_bytes, self.quality)
