"""How many snapshots of a volume are kept."""

from collections.abc import Mapping
from dataclasses import dataclass

_SPANS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


@dataclass(frozen=True)
class Retention:
    """So many snapshots of each span of time; what none of them keeps is forgotten.

    Attributes:
        counts: span (last, hourly, daily, weekly, monthly, yearly) and number, all above 0.
    """

    counts: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, given: Mapping[str, int]) -> "Retention":
        """From a setting.

        Raises:
            ValueError: an unknown span, a negative number, or nothing would be kept: the first
                run would forget every snapshot.
        """
        for span, count in given.items():
            if span not in _SPANS:
                raise ValueError(f"'{span}' is none of {', '.join(_SPANS)}")
            if count < 0:
                raise ValueError(f"{span} is negative")
        counts = tuple((span, given[span]) for span in _SPANS if given.get(span))
        if not counts:
            raise ValueError("would keep nothing at all")
        return cls(counts)

    def arguments(self) -> list[str]:
        """As restic's ``forget`` takes it."""
        return [f"--keep-{span}={count}" for span, count in self.counts]
