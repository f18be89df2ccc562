"""Side by side: what the cluster really used, what was recorded, what the receiver holds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from accounting.model.records import Record
from accounting.model.time import Month
from accounting.simulation.judges.expectation import truth_by_month_and_vo
from accounting.simulation.judges.repository import Repository
from accounting.simulation.world.cluster import Cluster

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


def tables(found: Sequence[Line]) -> list[Table]:
    """Pods, wall and CPU hours of the three parties, narrow enough for 60 columns."""
    return [
        _table("Notebooks", found, lambda used: used.pods, "{:,}"),
        _table("Wall time, hours", found, lambda used: used.wall_seconds / 3600, "{:,.1f}"),
        _table("CPU time, hours", found, lambda used: used.cpu_seconds / 3600, "{:,.1f}"),
    ]


def _table(title: str, found: Sequence[Line], figure: Callable[[Used], float], shape: str) -> Table:
    shown = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("month", no_wrap=True)
    shown.add_column("VO", overflow="fold")
    for name in ("really", "recorded", "received", "off by"):
        shown.add_column(name, justify="right", no_wrap=True)
    for line in found:
        really, *others = (figure(used) for used in (line.truth, line.recorded, line.received))
        off = (others[-1] - really) / really if really else 0.0
        numbers = (shape.format(number) for number in (really, *others))
        shown.add_row(str(line.month), line.vo, *numbers, f"{off:+.2%}")
    return shown


def reasons(found: Iterable[Record], pods: int, interval_seconds: float) -> list[str]:
    """Why the parties differ, in sentences.

    Args:
        found: all our records.
        pods: how many pods really ran.
        interval_seconds: the scrape interval.
    """
    by_pod = {record.uid: record for record in found}
    in_gap = sum("ended in a gap" in record.flags for record in by_pod.values())
    held = Counter(record.problem or record.held.value for record in by_pod.values() if record.held)
    counted = {
        "ended while the metrics were silent, and count up to their last sample": in_gap,
        "came and went between two scrapes": pods - len(by_pod),
        **{f"are held back ({reason})": count for reason, count in held.items()},
    }
    return [
        f"What a pod does after its last scrape, up to {interval_seconds:g} s, is not seen.",
        *(f"Pods that {what}: {count}" for what, count in counted.items() if count),
    ]
