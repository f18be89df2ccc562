"""Usage over time, as a chart: by day, or by month where there are many days."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.sums.summaries import Summaries
from accounting.model.energy import JOULES_PER_KWH
from accounting.model.time import Month
from accounting.records.formats.tabular import csv_line
from accounting.store.engine.access import Viewer
from accounting.web.views import charts

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
    "energy": Measure("Energy", "kWh", lambda usage: usage.joules / JOULES_PER_KWH),
}


def measures(*, energy: bool) -> Mapping[str, Measure]:
    """Those that a page offers; energy only where it is measured."""
    return {name: one for name, one in MEASURES.items() if energy or name != "energy"}


@dataclass(frozen=True, slots=True)
class Chart:
    """Stacked bars over time.

    Attributes:
        title: what it shows.
        unit: of the values.
        labels: below the bars.
        series: (name, a value per label), in the order of their colours.
        rank: place of the first series among all, the largest first.
        count: how many series there are in all; those not shown are one, ``charts.OTHERS``.
    """

    title: str
    unit: str
    labels: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]
    rank: int
    count: int

    def file(self, about: str) -> str:
        """As SVG.

        Args:
            about: of which time, and whose it is; beside the title.
        """
        title = f"{self.title}: {about}"
        return charts.file(self.labels, self.series, unit=self.unit, title=title)

    @property
    def data(self) -> dict[str, object]:
        """For the script that draws it."""
        named = [{"name": name or "none", "values": values} for name, values in self.series]
        return {"title": self.title, "unit": self.unit, "labels": self.labels, "series": named}

    def csv(self) -> Iterator[bytes]:
        """As CSV: a line per day or month."""
        yield csv_line(["", *(name or "none" for name, _ in self.series)])
        for place, label in enumerate(self.labels):
            yield csv_line([label, *(values[place] for _, values in self.series)])


def chart(
    summaries: Summaries,
    viewer: Viewer,
    question: Question,
    measure: Measure,
    *,
    until: float,
    rank: int = 0,
) -> Chart | None:
    """What was used over a question's time, one series for what its ``by`` names.

    Args:
        summaries: adds up.
        viewer: who looks.
        question: about what; ``by`` holds one thing, or nothing for a single series.
        measure: what is drawn.
        until: nothing is drawn after this time, Unix seconds.
        rank: place of the first series to be shown by name, the largest first.

    Returns:
        None if there is nothing to draw.
    """
    by_day = is_by_day(question)
    over = By.DAY if by_day else By.MONTH
    places = _days(question, until) if by_day else [str(month) for month in question.months]
    draw = _Drawing(summaries, viewer, question, measure, over, places)
    sums = draw.sums()
    if not any(sums.values()):
        return None
    series = draw.series(charts.ranked(sums, rank))
    if len(series) < len(sums):
        rest = charts.rest(draw.whole(), [values for _, values in series])
        series.append((charts.OTHERS, rest))
    return Chart(
        f"{measure.title} in {measure.unit} by {'day' if by_day else 'month'}",
        measure.unit,
        tuple(_label(place, by_day=by_day, several=len(question.months) > 1) for place in places),
        tuple((name, tuple(values)) for name, values in series),
        rank,
        len(sums),
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Finds a chart's series: by name only those that it shows, of thousands of users."""

    summaries: Summaries
    viewer: Viewer
    question: Question
    measure: Measure
    over: By
    places: Sequence[str]

    def sums(self) -> dict[str, float]:
        """What each series comes to."""
        rows = self.summaries.measured(self.viewer, self.question)
        return {self._name(row): self.measure.value(row) for row in rows}

    def series(self, names: Sequence[str]) -> list[tuple[str, list[float]]]:
        """Some series, in this order."""
        found = {name: [0.0] * len(self.places) for name in names}
        by, at = self.question.by, self._at()
        among = tuple((one, tuple(names)) for one in by)
        question = replace(self.question, by=(self.over, *by), among=among, counts=False)
        for row in self.summaries.measured(self.viewer, question):
            if (place := at.get(row.key[self.over.value])) is not None:
                found[self._name(row)][place] += self.measure.value(row)
        return list(found.items())

    def whole(self) -> list[float]:
        """What all series come to."""
        values, at = [0.0] * len(self.places), self._at()
        question = replace(self.question, by=(self.over,), counts=False)
        for row in self.summaries.measured(self.viewer, question):
            if (place := at.get(row.key[self.over.value])) is not None:
                values[place] += self.measure.value(row)
        return values

    def _name(self, row: Usage) -> str:
        return row.key[self.question.by[0].value] if self.question.by else self.measure.title

    def _at(self) -> Mapping[str, int]:
        return {place: number for number, place in enumerate(self.places)}


def is_by_day(question: Question) -> bool:
    """Whether a question's chart has a bar per day, and not per month."""
    months = len(question.months)
    return months <= MOST_MONTHS + (question.days is not None)


def _days(question: Question, until: float) -> list[str]:
    first, last = question.days or (question.first.start // _DAY, question.last.end // _DAY - 1)
    last = min(last, int(until) // _DAY)
    return [
        datetime.fromtimestamp(day * _DAY, UTC).date().isoformat()
        for day in range(first, max(last, first) + 1)
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
