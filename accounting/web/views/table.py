"""Tables of usage: sorted rows, beside the period before; and crossed with months or VOs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from accounting.lookup.sums.row import FIGURES, PART_FIGURES
from accounting.lookup.sums.summaries import By, Usage
from accounting.records.formats.tabular import csv_line
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
        rows: (name, a value per column, their sum).
        sums: of the columns, and of all.
    """

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float], float]]
    sums: Sequence[float]

    def csv(self, by: By) -> Iterator[bytes]:
        """As CSV."""
        yield csv_line([by.value, *(name or "none" for name in self.columns), "sum"])
        for name, values, whole in self.rows:
            yield csv_line([name, *values, whole])


def crossed(
    found: Sequence[Usage], by: By, across: By, value: Callable[[Usage], float], sort: str
) -> Crossing:
    """Cross rows of a summary by two things.

    Args:
        found: what was used, by both.
        by: what rows stand for.
        across: what columns stand for.
        value: what is shown.
        sort: ``name``, ``sum`` or a column's name; a minus in front: the largest first.
    """
    columns = sorted({usage.key[across.value] for usage in found})
    sums: dict[str, list[float]] = {}
    for usage in found:
        values = sums.setdefault(usage.key[by.value], [0.0] * len(columns))
        values[columns.index(usage.key[across.value])] += value(usage)
    rows = [(name, values, sum(values)) for name, values in sorted(sums.items())]
    wanted, falling = sort.removeprefix("-"), sort.startswith("-")
    if wanted in columns:
        place = columns.index(wanted)
        rows.sort(key=lambda row: row[1][place], reverse=falling)
    elif wanted == "name":
        rows.sort(key=lambda row: row[0].casefold(), reverse=falling)
    else:
        rows.sort(key=lambda row: row[2], reverse=True)
    by_column = [sum(values[place] for _, values, _ in rows) for place in range(len(columns))]
    return Crossing(columns, rows, [*by_column, sum(by_column)])
