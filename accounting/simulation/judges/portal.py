"""A stand-in for the EGI Accounting Portal: what it shows of an accounting repository.

It follows EGI's documentation of the portal's open data (June 2026): all sites' figures by month,
site, service, VO and benchmark, grids beside clouds, in series that must be joined; the unit of
time is not stated.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from accounting.simulation.judges.repository import CloudRecord, Repository

COLUMNS = (
    "time",
    "benchmark",
    "ce",
    "country",
    "federation",
    "infrastructure",
    "site",
    "tier",
    "vo",
    "ngi",
    "number_of_jobs",
    "raw_cpu_eff",
    "raw_cpu_time",
    "raw_cpu_work",
    "raw_wc_time",
    "raw_wc_work",
)
Cell = str | float | None
_PER_SERIES = 3
_GRID: dict[str, Cell] = {"infrastructure": "Grid", "site": "ELSEWHERE", "vo": "grid.example.org"}


@dataclass(slots=True)
class Portal:
    """Shows a repository.

    Attributes:
        unit_seconds: how long the unit is that it counts time in.
        decimals: how many it shows.
        others: rows of other senders, by column.
        is_partial: it says that its answer is not whole.
    """

    repository: Repository
    unit_seconds: int = 3600
    decimals: int = 2
    others: list[dict[str, Cell]] = field(default_factory=list)
    is_partial: bool = False

    def json(self) -> bytes:
        """As ``/json`` answers."""
        rows = [[row.get(name) for name in COLUMNS] for row in self.rows()]
        parts = [rows[n : n + _PER_SERIES] for n in range(0, len(rows), _PER_SERIES)]
        more = {"partial": True} if self.is_partial else {}
        series = [{"name": "summary", "columns": COLUMNS, "values": part, **more} for part in parts]
        return json.dumps({"results": [{"series": series}]}).encode()

    def csv(self) -> bytes:
        """As ``/csv`` answers."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue().encode()

    def rows(self) -> list[dict[str, Cell]]:
        """One of each month, site, service, VO and benchmark; and a grid's."""
        return [*self._clouds(), {"time": "2026-11-01T00:00:00Z", **_GRID}, *self.others]

    def _clouds(self) -> Iterator[dict[str, Cell]]:
        sums: dict[tuple[str, ...], list[int]] = {}
        for (uuid, (year, month)), record in self.repository.rows.items():
            last = (year - 1, 12) if month == 1 else (year, month - 1)
            key = (
                f"{year:04d}-{month:02d}-01T00:00:00Z",
                record.text("BenchmarkType"),
                record.text("CloudComputeService"),
                record.text("SiteName"),
                record.vo.casefold(),
            )
            so_far = sums.setdefault(key, [0, 0, 0])
            used = _used(record, self.repository.rows.get((uuid, last)))
            sums[key] = [one + more for one, more in zip(so_far, used, strict=True)]
        for (time, benchmark, service, site, vo), (jobs, wall, cpu) in sorted(sums.items()):
            yield {
                "time": time,
                "benchmark": benchmark,
                "ce": service,
                "infrastructure": "Cloud",
                "site": site,
                "vo": vo,
                "number_of_jobs": jobs,
                "raw_wc_time": round(wall / self.unit_seconds, self.decimals),
                "raw_cpu_time": round(cpu / self.unit_seconds, self.decimals),
            }


def _used(record: CloudRecord, before: CloudRecord | None) -> tuple[int, int, int]:
    def of(key: str) -> int:
        return record.integer(key) - (before.integer(key) if before else 0)

    return 1, of("WallDuration"), of("CpuDuration")
