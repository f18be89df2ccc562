"""How much accelerators were used, from DCGM's samples. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from statistics import median

from accounting.measure.promql.dcgm import DCGM_ENERGY, DCGM_ENGINE, DCGM_UTIL
from accounting.measure.usage.samples import Points, RawSeries, Samples, UidAt, label
from accounting.model.accelerators import Use, UseKey
from accounting.model.counters import Line, always

_DAY = 86400
_MILLIJOULES = 1000.0
_PERCENT = 100.0
# Of one device.
_MOST_MILLIWATTS = 2e6
# A sample stands for the time since the one before, but not for a silence.
_LONGEST_INTERVALS = 3


def merge_uses(samples: Samples, series: Iterable[RawSeries], day: int, uid_at: UidAt) -> None:
    """Add the use within a UTC day so far, of all of a pod's devices.

    Args:
        samples: gets it.
        series: of some pods, from shortly before the day on.
        day: since the epoch.
        uid_at: whose a pod's name was when; where DCGM does not tell the uid.
    """
    told: dict[tuple[str, str], dict[str, dict[str, list[tuple[float, float]]]]] = {}
    models: dict[tuple[str, str], str] = {}
    for labels, points in series:
        name, profile = label(labels, "pod"), labels.get("GPU_I_PROFILE", "")
        device = f"{labels.get('UUID', labels.get('gpu', ''))}/{labels.get('GPU_I_ID', '')}"
        for at, value in points:
            uid = labels.get("pod_uid") or uid_at(name, at)
            if uid and value >= 0:
                of = told.setdefault((uid, profile), {}).setdefault(device, defaultdict(list))
                of[labels["__name__"]].append((at, value))
                models.setdefault((uid, profile), labels.get("modelName", ""))
    for (uid, profile), devices in told.items():
        key = UseKey(day, profile)
        use = _added(devices.values(), day, models[uid, profile])
        samples.uses.setdefault(uid, {})[key] = use


def _added(devices: Iterable[dict[str, list[tuple[float, float]]]], day: int, model: str) -> Use:
    active: list[float] = []
    joules: list[float] = []
    for metrics in devices:
        lines = {name: sorted(points) for name, points in metrics.items()}
        # The engines' activity is exact; the utilisation is that of a sample, and not told of MIG.
        if engine := lines.get(DCGM_ENGINE):
            active.append(busy_seconds(engine, day))
        elif util := lines.get(DCGM_UTIL):
            active.append(busy_seconds([(at, value / _PERCENT) for at, value in util], day))
        if energy := lines.get(DCGM_ENERGY):
            joules.append(taken(energy, day) / _MILLIJOULES)
    return Use(sum(active) if active else None, sum(joules) if joules else None, model)


def busy_seconds(points: Points, day: int) -> float:
    """Seconds times how busy a device was (0 to 1), of the samples within a day."""
    steps = [(late - early, late, value) for (early, _), (late, value) in pairwise(points)]
    steps = [step for step in steps if step[0] > 0]
    if not steps:
        return 0.0
    longest = _LONGEST_INTERVALS * median(length for length, _, _ in steps)
    return sum(
        min(length, longest) * min(value, 1.0) for length, at, value in steps if _is_in(at, day)
    )


def taken(points: Points, day: int) -> float:
    """What a device's counter grew by; it belongs to the device, and starts anew with it.

    A smaller dip is a late copy from a second scrape.
    """
    grown, line = 0.0, Line(always(_MOST_MILLIWATTS))
    for at, value in points:
        before = value if line.value is None else line.total
        line.see(at, value)
        if _is_in(at, day):
            grown += line.total - before
    return grown


def _is_in(at: float, day: int) -> bool:
    return day * _DAY < at <= (day + 1) * _DAY
