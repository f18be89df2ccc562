"""What a pod held, over time: its sizes are a step function, so integrals are exact. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from accounting.model.pods import Pod, Resources
from accounting.model.records import Span
from accounting.model.time import Month

_DAY = 86400


@dataclass(frozen=True, slots=True)
class Held:
    """What a pod held for some seconds; None where nobody said anything."""

    seconds: float
    resources: Resources | None


def held(pod: Pod, since: float, until: float) -> list[Held]:
    """What the pod held in [since, until), Unix seconds, in order; at least one entry.

    A size counts from the first sample that shows it.
    """
    cuts = [since, *(at for at, _ in pod.resizes if since < at < until), until]
    spans = [Held(end - start, size_at(pod, start)) for start, end in pairwise(cuts)]
    return spans or [Held(0.0, size_at(pod, since))]


def by_day(
    spans: Sequence[Span], begun_at: int, month: Month
) -> dict[int, tuple[float, float, float]]:
    """Core-, MB- and GPU-seconds by day of Unix time; an unknown size counts nothing.

    Args:
        spans: what was held, one size after another.
        begun_at: when the first of them begins, Unix seconds. What was used before the month began,
            but counts for it, counts on its first day.
        month: the month.
    """
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    start = float(begun_at)
    for span in spans:
        end = start + span.seconds
        while start < end:
            day = max(start, month.start) // _DAY
            cut = min(end, (day + 1) * _DAY)
            for place, size in enumerate((span.cores, span.memory_mb, span.gpus)):
                sums[int(day)][place] += (cut - start) * (size or 0.0)
            start = cut
    return {day: (cores, memory, gpus) for day, (cores, memory, gpus) in sums.items()}


def size_at(pod: Pod, at: float) -> Resources | None:
    """The size at a Unix time."""
    current = pod.resources
    for since, resources in pod.resizes:
        if since <= at:
            current = resources
    return current
