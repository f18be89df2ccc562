"""Tables of usage: sorted rows, beside the period before; and crossed with months or VOs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import FIGURES, PART_FIGURES, Usage
from accounting.lookup.sums.summaries import Summaries
from accounting.model.time import Month
from accounting.records.formats.tabular import csv_line
from accounting.store.engine.access import Viewer
from accounting.web.views.totals import total


@dataclass(frozen=True, slots=True)
class Row:
    """What stands for one name.

    Attributes:
        name: of the VO, user, flavour or image; empty: none.
        usage: what was used.
        before: what was used in the period before; None: it is not compared.
    """

    name: str
    usage: Usage
    before: Usage | None = None

    @property
    def efficiency(self) -> float | None:
        """CPU time used, of the cores that were held; None where none were."""
        held = self.usage.core_seconds
        return self.usage.cpu_seconds / held if held else None


SORTS: Mapping[str, Callable[[Row], float | str]] = {
    "name": lambda row: row.name.casefold(),
    "pods": lambda row: row.usage.pods,
    "users": lambda row: row.usage.users,
    "wall": lambda row: row.usage.wall_seconds,
    "cpu": lambda row: row.usage.cpu_seconds,
    "efficiency": lambda row: -1.0 if row.efficiency is None else row.efficiency,
    "cores": lambda row: row.usage.core_seconds,
    "memory": lambda row: row.usage.memory_mb_seconds,
    "gpu": lambda row: row.usage.gpu_seconds,
    "energy": lambda row: row.usage.joules,
}


def rows_of(
    found: Sequence[Usage], by: By, sort: str, before: Sequence[Usage] | None = None
) -> list[Row]:
    """A table's rows, in the order of one of ``SORTS``; a minus in front: the largest first.

    Names that were only used in the period before are rows, too.
    """
    earlier = {usage.key[by.value]: usage for usage in before or ()}
    nothing = total([])
    rows = [
        Row(
            usage.key[by.value],
            usage,
            None if before is None else earlier.pop(usage.key[by.value], nothing),
        )
        for usage in found
    ]
    rows += [Row(name, nothing, usage) for name, usage in earlier.items()]
    rows.sort(key=lambda row: row.name)
    rows.sort(key=SORTS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return rows


def csv_of(rows: Sequence[Row], by: By) -> Iterator[bytes]:
    """The table as CSV, with all its figures as they were added up."""
    compared = any(row.before is not None for row in rows)
    names = [f"{part}_{name}" for part in ("goes_out", "delivered") for name in PART_FIGURES]
    more = [f"before_{name}" for name in FIGURES] if compared else []
    yield csv_line([by.value, *FIGURES, "cpu_per_core", *names, *more])
    for row in rows:
        told = [
            getattr(part, name, "")
            for part in (row.usage.goes_out, row.usage.delivered)
            for name in PART_FIGURES
        ]
        efficiency = "" if row.efficiency is None else round(row.efficiency, 6)
        before = [getattr(row.before, name) for name in FIGURES] if compared else []
        figures = [getattr(row.usage, name) for name in FIGURES]
        yield csv_line([row.name, *figures, efficiency, *told, *before])


@dataclass(frozen=True, slots=True)
class Crossing:
    """One measure by two things: rows by name, columns by month or VO.

    Attributes:
        columns: their names.
        rows: (name, a value per column, their sum); some of them, in their order.
        sums: of the columns, and of all, whatever rows are shown.
        count: how many rows there are in all.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float], float]]
    sums: Sequence[float]
    count: int

    def csv(self, by: By) -> Iterator[bytes]:
        """As CSV."""
        yield csv_line([by.value, *(name or "none" for name in self.columns), "sum"])
        for name, values, whole in self.rows:
            yield csv_line([name, *values, whole])


@dataclass(frozen=True, slots=True)
class Crosses:
    """Crosses usage by two things; with thousands of users, only those on a page.

    Attributes:
        summaries: adds up.
        viewer: who looks.
        question: about what.
        by: what rows stand for.
        across: what columns stand for.
        value: what is shown.
    """

    summaries: Summaries
    viewer: Viewer
    question: Question
    by: By
    across: By
    value: Callable[[Usage], float]

    def crossed(self, sort: str, first: int = 0, most: int | None = None) -> Crossing:
        """The table.

        Args:
            sort: ``name``, ``sum`` or a column's name; a minus in front: the largest first.
            first: place of the first row to be shown.
            most: how many rows are shown; None: all.
        """
        columns = self._sums(self.question, self.across)
        # Asked as by the page's other table, so that it is added up once.
        sums = self._sums(self.question, self.by, counts=True)
        order = self._order(sums, columns, sort)
        shown = order[first:] if most is None else order[first : first + most]
        among = () if shown == order else ((self.by, tuple(shown)),)
        at = {name: place for place, name in enumerate(columns)}
        values = {name: [0.0] * len(columns) for name in shown}
        for usage in self._asked(replace(self.question, among=among), self.by, self.across):
            values[usage.key[self.by.value]][at[usage.key[self.across.value]]] = self.value(usage)
        rows = [(name, found, sums[name]) for name, found in values.items()]
        whole = [*columns.values(), sum(columns.values())]
        return Crossing(list(columns), rows, whole, len(order))

    def _order(
        self, sums: Mapping[str, float], columns: Mapping[str, float], sort: str
    ) -> list[str]:
        wanted, falling = sort.removeprefix("-"), sort.startswith("-")
        names = sorted(sums)
        if wanted == "name":
            return sorted(names, key=str.casefold, reverse=falling)
        if wanted not in columns:
            return sorted(names, key=lambda name: -sums[name])
        found = self._sums(self._of_column(wanted), self.by)
        return sorted(names, key=lambda name: found.get(name, 0.0), reverse=falling)

    def _of_column(self, name: str) -> Question:
        if self.across is By.MONTH:
            month = Month.parse(name)
            return replace(self.question, first=month, last=month)
        return replace(self.question, among=((self.across, (name,)),))

    def _sums(self, question: Question, by: By, *, counts: bool = False) -> dict[str, float]:
        found = self._asked(question, by, counts=counts)
        return {usage.key[by.value]: self.value(usage) for usage in found}

    def _asked(self, question: Question, *by: By, counts: bool = False) -> Sequence[Usage]:
        return self.summaries.measured(self.viewer, replace(question, by=by, counts=counts))
