"""Falls that may be taken back are judged by what each schedule knows, and so alike on all (M5)."""

from itertools import pairwise
from math import inf

import pytest

from accounting.measure.usage.counters import bounds, counting, falls
from accounting.measure.usage.samples import RawSeries, Samples
from accounting.model.pods import POD_LEVEL, Account, CounterKind, Pod, Resources, SeriesKey
from accounting.model.time import Month, Window

UID = "6b4f0d5e-0000-4000-8000-000000000001"
JOULES = SeriesKey(CounterKind.ENERGY, "package")
T = Month(2025, 11).start
HOUR = 3600
END = T + 4 * HOUR

Line = list[tuple[float, float]]


def grown(since: int, until: int, joules: float, watts: float, **low: float) -> Line:
    """A sample a minute; some of them low, by their number of seconds after the start."""
    of = {int(name[1:]): value for name, value in low.items()}
    times = range(since, until, 60)
    return [(float(T + at), of.get(at, joules + watts * (at - since))) for at in times]


CASES = {
    # Kepler restarted unseen and had counted more than half of it again: that is no fall.
    "a dip before it has made up for a restart that nobody saw": (
        grown(30, 5400, 0, 0.5) + grown(6030, 4 * HOUR, 1500, 0.5, _7230=40.0),
        5670.0,
    ),
    "low samples after a silence": (
        grown(30, 1800, 0, 1.2) + grown(6030, 4 * HOUR, 2500, 0.5, _6030=50.0, _6090=51.0),
        2088.0 + 6670.0,
    ),
    "a low sample before a silence": (
        grown(30, 2 * HOUR, 0, 0.5, _7170=70.0) + grown(8430, 4 * HOUR, 4200, 0.5),
        3540.0 + 7170.0,
    ),
    "a fall to under half of what was kept, but not of what was told before it": (
        grown(30, 5400, 0, 0.5) + grown(5430, 7150, 1500, 0.5) + grown(7170, 4 * HOUR, 1300, 0.05),
        2670.0 + 1660.0,
    ),
    "a reboot just before the end": (
        grown(30, 3 * HOUR + 3000, 0, 0.5) + grown(3 * HOUR + 3210, 3 * HOUR + 3340, 5, 0.5),
        6870.0 + 65.0,
    ),
    "two samples after a reboot": (
        grown(30, 3 * HOUR + 3000, 0, 0.5) + grown(3 * HOUR + 3210, 3 * HOUR + 3280, 5, 0.5),
        6870.0,
    ),
    "low samples after a silence that stand still": (
        grown(30, 3 * HOUR + 3000, 0, 0.5) + grown(3 * HOUR + 3210, 3 * HOUR + 3340, 5, 0.0),
        6870.0,
    ),
    "low samples without a silence": (
        grown(30, 3 * HOUR + 3000, 0, 0.5) + grown(3 * HOUR + 3030, 3 * HOUR + 3160, 5, 0.5),
        6870.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("length", [300, 900, HOUR, 4 * HOUR])
@pytest.mark.parametrize(("line", "total"), CASES.values(), ids=CASES)
def test_a_fall_is_judged_alike_in_windows_of_any_length(
    line: Line, total: float, length: int
) -> None:
    pod = Pod(UID, "hub", "jupyter-a", T, END, END, resources=Resources(cpu_limit=1.0))
    accounts = {UID: Account(pod)}
    for start in range(T, END, length):
        window = Window(start, start + length)
        inside = [value for at, value in line if window.start < at <= window.end]
        near = [point for point in line if start - 900 < point[0] <= window.end]
        if not inside:
            continue
        samples = Samples(readings={UID: {JOULES: inside[-1]}})
        fell = falls.fallen_uids(accounts, {UID: {JOULES: min(inside)}}, window)
        if fell or any(late < early for (_, early), (_, late) in pairwise(near)):
            samples.raw[UID] = {JOULES: near}
        counting.count(accounts[UID], samples, window, window.month)
    assert accounts[UID].counters[JOULES].total == total


CPU = SeriesKey(CounterKind.CPU, POD_LEVEL)


@pytest.mark.parametrize(
    ("at", "cores"),
    [(60, 2.0), (120, 2.0), (300, 8.0), (599, 8.0), (600, 4.0), (1200, 4.0), (1201, 32.0)],
    ids=[
        "as told",
        "as told last",
        "as told with the sample",
        "the highest of five minutes",
        "after that, what is told",
        "for a quarter of an hour, what was told last",
        "none is known any more",
    ],
)
def test_a_limit_is_that_of_the_time_of_the_sample(at: int, cores: float) -> None:
    limits = [(T + 60.0, 1.0), (T + 240.0, 1.0), (T + 300.0, 4.0), (T + 301.0, 2.0)]
    asked = Resources(cpu_request=8.0)
    assert bounds.most_of(CPU, asked, limits, T + at) == cores


def test_a_pod_is_limited_while_all_its_containers_are() -> None:
    def told(metric: str, box: str, *points: tuple[float, float]) -> RawSeries:
        return {"__name__": f"kube_pod_container_{metric}", "uid": UID, "container": box}, points

    series = [
        told("resource_limits", "notebook", (1.0, 2.0), (2.0, 4.0), (3.0, 4.0)),
        told("resource_limits", "sidecar", (1.0, 0.5), (3.0, 0.25)),
        told("info", "notebook", (1.0, 1.0), (2.0, 1.0), (3.0, 1.0)),
        told("info", "sidecar", (1.0, 1.0), (2.0, 1.0), (3.0, 1.0)),
    ]
    assert bounds.cores_limited(series) == {UID: [(1.0, 2.5), (2.0, inf), (3.0, 4.25)]}
