"""What Kepler (0.10 or newer) says of the energy that a node's pods took.

Each pod gets ``WATTS`` for a busy core. The platform's zone holds the package's. Counters begin
anew when Kepler restarts; a pod that has ended is told once more, as terminated.
"""

from collections.abc import Iterator

from accounting.simulation.exporters.dips import dipped
from accounting.simulation.exporters.labels import Labels
from accounting.simulation.exporters.series import Series, Span
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster

FAMILY = "kepler_pod_cpu_joules_total"
FAMILIES = (FAMILY,)
WATTS = 8.0
MOST_WATTS = 30.0
"""No core takes more."""
ZONES = {"package": 1.0, "psys": 1.5, "core": 0.7, "dram": 0.2}
"""Each zone's joules, as a share of the package's."""
LEAST_JOULES = 10.0
"""Of a pod that has ended, less is not told (minTerminatedEnergyThreshold)."""


def joules_between(pod: SimulatedPod, since: float, until: float) -> float:
    """What the pod took of the package's zone, whoever looked."""
    return WATTS * pod.cpu_between(since, until)


def pod_series(cluster: Cluster, pod: SimulatedPod) -> Iterator[Series]:
    """A pod's counters by zone, running and terminated; none where there is no Kepler."""
    begin = pod.running_from
    if not cluster.features.kepler or begin is None:
        return
    lives = cluster.timetable.kepler_lives()
    for zone, share in ZONES.items():
        running = tuple(
            Span(max(begin, since), min(until, pod.run_until), _Joules(pod, since, share))
            for since, until in lives
            if max(begin, since) < min(until, pod.run_until)
        )
        if running:
            series = Series(FAMILY, pod.node, _labels(pod, zone, "running"), running)
            yield dipped(cluster, pod, series, MOST_WATTS)
        for since, until in lives:
            if pod.ended is not None and since < pod.ended < until:
                yield from _terminated(cluster, pod, zone, _Joules(pod, since, share))


class _Joules:
    def __init__(self, pod: SimulatedPod, since: float, share: float) -> None:
        self._pod, self._since, self._share = pod, since, share

    def at(self, instant: float) -> float:
        return joules_between(self._pod, self._since, instant) * self._share

    def __call__(self, instant: float) -> str:
        return f"{self.at(instant):.6f}"


def _terminated(
    cluster: Cluster, pod: SimulatedPod, zone: str, joules: _Joules
) -> Iterator[Series]:
    ended = pod.run_until
    if joules.at(ended) >= LEAST_JOULES:
        span = Span(ended, ended + cluster.interval_seconds, joules(ended))
        yield Series(FAMILY, pod.node, _labels(pod, zone, "terminated"), (span,))


def _labels(pod: SimulatedPod, zone: str, state: str) -> Labels:
    return (
        ("node_name", pod.node),
        ("pod_id", pod.uid),
        ("pod_name", pod.name),
        ("pod_namespace", pod.namespace),
        ("state", state),
        ("zone", zone),
    )
