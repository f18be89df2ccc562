"""Usage over time, as a chart: by day, or by month where there are many days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from markupsafe import Markup

from accounting.lookup.summaries import By, Question, Summaries, Usage
from accounting.model.time import Month
from accounting.store.access import Viewer
from accounting.web import charts

MOST_MONTHS = 3
_DAY, _HOUR = 86400, 3600


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is added up.

    Attributes:
        title: for people.
        unit: of ``value``.
        value: of a row, in that unit.
    """

    title: str
    unit: str
    value: Callable[[Usage], float]


MEASURES: Mapping[str, Measure] = {
    "wall": Measure("Wall time", "h", lambda usage: usage.wall_seconds / _HOUR),
    "cpu": Measure("CPU time", "h", lambda usage: usage.cpu_seconds / _HOUR),
    "cores": Measure("Reserved cores", "core h", lambda usage: usage.core_seconds / _HOUR),
    "memory": Measure(
        "Reserved memory", "GiB h", lambda usage: usage.memory_mb_seconds / 1024 / _HOUR
    ),
    "gpu": Measure("GPUs", "GPU h", lambda usage: usage.gpu_seconds / _HOUR),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, the names of its series in the order of their colours, and what it shows."""

    picture: Markup
    series: Sequence[str]
    title: str


def chart(
    summaries: Summaries, viewer: Viewer, question: Question, measure: Measure, until: float
) -> Chart | None:
    """What was used over a question's months, one series for what its ``by`` names.

    Args:
        summaries: adds up.
        viewer: who looks.
        question: about what; ``by`` holds one thing, or nothing for a single series.
        measure: what is drawn.
        until: nothing is drawn after this time, Unix seconds.

    Returns:
        None if there is nothing to draw.
    """
    by_day = len(question.months) <= MOST_MONTHS
    over = By.DAY if by_day else By.MONTH
    rows = summaries.summary(viewer, replace(question, by=(over, *question.by)))
    places = _days(question, until) if by_day else [str(month) for month in question.months]
    found: dict[str, list[float]] = {}
    for row in rows:
        if row.key[over.value] not in places:
            continue
        name = row.key[question.by[0].value] if question.by else measure.title
        values = found.setdefault(name, [0.0] * len(places))
        values[places.index(row.key[over.value])] += measure.value(row)
    if not any(map(any, found.values())):
        return None
    series = charts.top(found)
    title = f"{measure.title} in {measure.unit} by {'day' if by_day else 'month'}"
    labels = tuple(
        _label(place, by_day=by_day, several=len(question.months) > 1) for place in places
    )
    picture = charts.bars(
        labels,
        tuple((name, tuple(values)) for name, values in series.items()),
        unit=measure.unit,
        title=title,
    )
    return Chart(picture, list(series), title)


def _days(question: Question, until: float) -> list[str]:
    end = min(question.last.end, int(until) // _DAY * _DAY + _DAY)
    return [
        datetime.fromtimestamp(at, UTC).date().isoformat()
        for at in range(question.first.start, max(end, question.first.start + _DAY), _DAY)
    ]


def _label(place: str, *, by_day: bool, several: bool) -> str:
    if not by_day:
        return place
    day = datetime.fromisoformat(place)
    return f"{day.day} {day:%b}" if several else str(day.day)


def until_of(read_until: int | None, now: float) -> tuple[float, Month]:
    """Up to when there is something to draw, and its month."""
    at = now if read_until is None else min(now, read_until)
    return at, Month.of(at)
