"""Kepler's samples: a counter of joules per pod and zone. Pure."""

from collections.abc import Iterable
from functools import lru_cache

from accounting.measure.promql.kepler import POD_JOULES
from accounting.measure.usage.samples import (
    Labels,
    RawSeries,
    Rejected,
    Row,
    Samples,
    implausible,
)
from accounting.model.pods import CounterKind, SeriesKey

# A rack takes less than 100 kW; ten years of that.
_MOST_JOULES = 1e5 * 86400 * 3660


def merge_joules(samples: Samples, rows: Iterable[Row]) -> None:
    """Add last values; of copies of one counter the highest (M4)."""
    for labels, value in rows:
        if reason := implausible(value, 0, _MOST_JOULES):
            samples.rejected[Rejected(POD_JOULES, reason)] += 1
        elif uid := labels.get("pod_id", ""):
            counters, key = samples.readings.setdefault(uid, {}), _key(labels)
            known = counters.get(key)
            counters[key] = value if known is None else max(value, known)


def merge_raw_joules(samples: Samples, series: Iterable[RawSeries]) -> None:
    """Add raw samples, running and terminated copies merged in order of time."""
    of: dict[tuple[str, SeriesKey], list[tuple[float, float]]] = {}
    for labels, points in series:
        line = of.setdefault((labels.get("pod_id", ""), _key(labels)), [])
        if all(0 <= value <= _MOST_JOULES for _, value in points):  # nearly always
            line.extend(points)
            continue
        for at, value in points:
            if reason := implausible(value, 0, _MOST_JOULES):
                samples.rejected[Rejected(POD_JOULES, reason)] += 1
            else:
                line.append((at, value))
    for (uid, key), line in of.items():
        if uid and line:
            samples.raw.setdefault(uid, {})[key] = sorted(line)


def _key(labels: Labels) -> SeriesKey:
    return _key_of(labels.get("zone", ""))


@lru_cache(maxsize=64)
def _key_of(zone: str) -> SeriesKey:
    return SeriesKey(CounterKind.ENERGY, zone)
