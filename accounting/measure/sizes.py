"""What pods asked for, and when that changed (M10). Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from itertools import groupby
from operator import itemgetter

from accounting.measure.samples import (
    MAX_BYTES,
    MAX_CORES,
    RawSeries,
    Rejected,
    Row,
    Samples,
    implausible,
    label,
)
from accounting.model.pods import Resources


def merge_resources(samples: Samples, rows: Iterable[Row]) -> None:
    """Add requests and limits; a request of zero reserves nothing and counts as none."""
    found: dict[str, dict[tuple[bool, str], float]] = defaultdict(dict)
    for labels, value in rows:
        metric = labels["__name__"]
        resource = labels["resource"]
        if reason := implausible(value, 0, MAX_BYTES if resource == "memory" else MAX_CORES):
            samples.rejected[Rejected(metric, reason)] += 1
        elif value > 0 and "uid" in labels:
            found[labels["uid"]][metric.endswith("requests"), resource] = value
    for uid, amounts in found.items():
        known = samples.resources.get(uid)
        new = _resources(amounts)
        samples.resources[uid] = new if known is None else _completed(known, new)


def merge_resizes(samples: Samples, series: Iterable[RawSeries]) -> None:
    """Add the sizes of pods that were resized: the first one, and each that followed."""
    said: dict[str, list[tuple[float, str, tuple[bool, str], float]]] = defaultdict(list)
    for labels, points in series:
        of = labels["__name__"].endswith("requests"), labels["resource"]
        container = label(labels, "container")
        high = MAX_BYTES if of[1] == "memory" else MAX_CORES
        said[labels.get("uid", "")] += [
            (at, container, of, value)
            for at, value in points
            if implausible(value, 0, high) is None
        ]
    for uid, sizes in said.items():
        if steps := _steps(sorted(sizes)):
            (_, first), *resizes = steps
            samples.resources[uid] = first
            samples.resizes[uid] = tuple(resizes)


def _steps(
    points: Sequence[tuple[float, str, tuple[bool, str], float]],
) -> list[tuple[float, Resources]]:
    """What all containers asked for together, at each time at which that changed."""
    current: dict[tuple[bool, str], dict[str, float]] = defaultdict(dict)
    steps: list[tuple[float, Resources]] = []
    for at, group in groupby(points, key=itemgetter(0)):
        for _, container, of, value in group:
            current[of][container] = value
        sums = {of: sum(each.values()) for of, each in current.items()}
        size = _resources({of: amount for of, amount in sums.items() if amount > 0})
        if not steps or steps[-1][1] != size:
            steps.append((at, size))
    return steps


def _completed(known: Resources, new: Resources) -> Resources:
    return Resources(
        *(
            new_value if value in (None, ()) else value
            for value, new_value in zip(astuple(known), astuple(new), strict=True)
        )
    )


def _resources(amounts: Mapping[tuple[bool, str], float]) -> Resources:
    others = sorted(
        (name, n)
        for (requested, name), n in amounts.items()
        if requested and name not in {"cpu", "memory"}
    )
    return Resources(
        cpu_request=amounts.get((True, "cpu")),
        cpu_limit=amounts.get((False, "cpu")),
        memory_request_bytes=amounts.get((True, "memory")),
        memory_limit_bytes=amounts.get((False, "memory")),
        accelerators=tuple(others),
    )
