"""Time series as data: a family, labels, and spans in which they have a value."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from accounting.simulation.exporters.labels import Labels

Reading = str | Callable[[float], str]
"""A sample value as text: one for the whole span, or a function of the instant (epoch seconds)."""


@dataclass(frozen=True, slots=True)
class Span:
    """The series is exposed over [since, until) (epoch seconds) with this reading."""

    since: float
    until: float
    reading: Reading = "1"


@dataclass(frozen=True, slots=True)
class Series:
    """One series. `source` is the node (cAdvisor) or the object's uid (kube-state-metrics)."""

    family: str
    source: str
    labels: Labels
    spans: tuple[Span, ...]

    @classmethod
    def steady(
        cls,
        family: str,
        source: str,
        labels: Labels,
        since: float,
        until: float = inf,
        *,
        value: str = "1",
    ) -> "Series":
        """A series with one value over one span."""
        return cls(family, source, labels, (Span(since, until, value),))

    def reading_at(self, instant: float) -> str | None:
        """The value as text at the instant; None where the series is not exposed then."""
        for span in self.spans:
            if span.since <= instant < span.until:
                return span.reading if isinstance(span.reading, str) else span.reading(instant)
        return None


def kind_of(family: str) -> str:
    """`counter` or `gauge`, by the family's name."""
    return "counter" if family.endswith("_total") else "gauge"
