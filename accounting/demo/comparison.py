"""Side by side: what the cluster really used, what was recorded, what the receiver holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rich.table import Table

from accounting.model import Month, Record
from accounting.simulation.cluster import Cluster
from accounting.simulation.expectation import truth_by_month_and_vo
from accounting.simulation.repository import Repository

Group = tuple[Month, str]
"""A month and a VO."""


@dataclass(frozen=True, slots=True)
class Used:
    """What the pods of a VO used within a month."""

    pods: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """One month and VO as the three parties have it."""

    month: Month
    vo: str
    truth: Used
    recorded: Used
    received: Used


def truth(cluster: Cluster, until: float, default_vo: str) -> dict[Group, Used]:
    """What the cluster really used up to a Unix time."""
    found = truth_by_month_and_vo(cluster, until, default_vo)
    return {
        (Month(*month), vo): Used(used.pods, used.wall_seconds, used.cpu_seconds)
        for (month, vo), used in found.items()
    }


def recorded(totals: Mapping[Group, tuple[int, int, int]]) -> dict[Group, Used]:
    """What our records say was used within each month."""
    return {group: Used(*total) for group, total in totals.items()}


def received(repository: Repository) -> dict[Group, Used]:
    """What the receiver's monthly summaries say."""
    return {
        (Month(*row.month), row.vo): Used(row.pods, row.wall_seconds, row.cpu_seconds)
        for row in repository.summaries()
    }


def lines(*parties: Mapping[Group, Used]) -> list[Line]:
    """One line per month and VO that any of the three parties (truth, ours, theirs) knows."""
    truths, ours, theirs = parties
    groups = sorted(truths.keys() | ours.keys() | theirs.keys())
    nothing = Used()
    return [
        Line(
            *group,
            truths.get(group, nothing),
            ours.get(group, nothing),
            theirs.get(group, nothing),
        )
        for group in groups
    ]


def table(found: Iterable[Line]) -> Table:
    """The lines as hours, with the differences."""
    shown = Table(title="Really used, recorded, received (hours)", title_style="bold")
    shown.add_column("month")
    shown.add_column("VO", overflow="fold")
    for name in ("pods\nreally", "rec.", "recv."):
        shown.add_column(name, justify="right")
    for kind in ("wall", "CPU"):
        for name in (f"{kind}\nreally", "recorded", "received", "difference"):
            shown.add_column(name, justify="right")
    for line in found:
        parties = (line.truth, line.recorded, line.received)
        shown.add_row(
            str(line.month),
            line.vo,
            *(str(used.pods) for used in parties),
            *_hours(*(used.wall_seconds for used in parties)),
            *_hours(*(used.cpu_seconds for used in parties)),
        )
    return shown


def _hours(truth_seconds: float, *found_seconds: float) -> list[str]:
    numbers = [f"{seconds / 3600:,.2f}" for seconds in (truth_seconds, *found_seconds)]
    off = (found_seconds[-1] - truth_seconds) / truth_seconds if truth_seconds else 0.0
    return [*numbers, f"{off:+.2%}"]


def explained(found: Iterable[Record]) -> list[str]:
    """Why recorded and received may differ: the records that are held back."""
    return [
        f"{record.month} {record.vo.name or '-'}: {record.held.value}, {record.problem or 'no VO'}"
        for record in found
        if record.held
    ]
