"""What a poll did, for whoever started it."""

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass, field

from accounting.measure.usage.samples import Rejected
from accounting.model.records import Held, Record
from accounting.model.time import Gap, Month


@dataclass(slots=True)
class Report:
    """What a poll did.

    Attributes:
        start, end: the span it covered, Unix seconds; equal if there was nothing to do.
        windows: how many it took.
        pods: distinct pods touched.
        gaps: the source's silences inside the span.
        silent_since: the source's last sample, if it says nothing any more.
        held: (pod, month) of the records written that do not go out → why.
        rejected: values that could not be true.
    """

    start: int
    end: int
    windows: int = 0
    pods: set[str] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)
    silent_since: float | None = None
    held: dict[tuple[str, Month], Held] = field(default_factory=dict)
    rejected: Tally[Rejected] = field(default_factory=Tally)

    def note(self, record: Record) -> None:
        """Remember whether a record goes out, as it stands now."""
        if record.held:
            self.held[record.uid, record.month] = record.held
        else:
            self.held.pop((record.uid, record.month), None)

    @property
    def is_complete(self) -> bool:
        """Whether the source told all that it should."""
        return not (self.gaps or self.silent_since or self.rejected)


Notice = Callable[[Report], bool | None]
"""Told of a poll after each window; it ends there if the answer is true."""
