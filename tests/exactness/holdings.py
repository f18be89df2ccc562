"""What records must say of what pods held: cores over time, accelerators, and their use."""

import json

import pytest

from accounting.simulation.exporters.devices import BUSY, PRODUCT, WATTS
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster
from tests.exactness.polling import Written

UNKNOWN = "example_com_dongle"
SHARED = {"nvidia_com_gpu", "nvidia_com_gpu_shared"}


def check_holdings(cluster: Cluster, found: Written) -> None:
    """Hold all records of a cluster to what its pods really held."""
    for uid, last in found.pods.items():
        pod = cluster.pods_by_uid[uid]
        rows = [row for (owner, *_), row in sorted(found.records.items()) if owner == uid]
        until = last["start_at"] + last["wall_seconds"]
        at = pod.resized_at
        seen_from = cluster.timetable.start + cluster.interval_seconds
        if pod.requested("cpu") and (at is None or at >= seen_from):
            held = sum(row["core_seconds"] for row in rows)
            truth = pod.cores_between(last["start_at"], until)
            more = pod.requested_later("cpu") - pod.requested("cpu") if at is not None else 0.0
            slack = more * (cluster.interval_seconds + 1)
            # Resized before the first scrape: nothing ever told what it held before.
            is_unseen = at is not None and at - last["start_at"] < cluster.interval_seconds
            above = slack * is_unseen
            assert truth - slack - 1 <= held <= truth + above + 1, (uid, pod.traits, pod.flavor)
        devices = _devices(cluster, pod)
        assert last["gpu_count"] == devices, (uid, pod.devices)
        if pod.devices and cluster.features.accelerators:
            _check_accelerators(cluster, pod, [json.loads(row["accelerators"]) for row in rows])


def _devices(cluster: Cluster, pod: SimulatedPod) -> float | None:
    """How many whole devices the pod holds; what no rule knows does not count."""
    known = {name: n for name, n in pod.devices.items() if name != UNKNOWN}
    if not known:
        return None
    return round(sum(n * _share(cluster, pod, name) for name, n in known.items()), 3)


def _share(cluster: Cluster, pod: SimulatedPod, name: str) -> float:
    return 1 / cluster.shape_of(pod).gpu_replicas if name in SHARED else 1.0


def _check_accelerators(cluster: Cluster, pod: SimulatedPod, months: list[object]) -> None:
    (name,) = pod.devices
    for month in months:
        assert isinstance(month, list)
        (one,) = month
        assert one["resource"] == name
        is_shared = name.endswith("_shared") or _share(cluster, pod, name) < 1
        is_told = cluster.features.dcgm and name.startswith("nvidia_com_")
        if name == UNKNOWN:
            assert one["quality"] == "unknown resource"
        elif not is_told:
            assert (one["quality"], one["active_seconds"]) == ("not measured", None)
        elif is_shared:
            assert one["quality"] in {"not told apart", "not measured"}
            assert one["active_seconds"] is None
        elif one["active_seconds"] is not None:
            slack = 4 * cluster.interval_seconds
            running = one["held_seconds"]
            assert one["active_seconds"] <= running * BUSY + slack
            if one["joules"] is not None:
                assert one["joules"] == pytest.approx(
                    one["active_seconds"] / BUSY * WATTS, abs=WATTS * slack
                )
        if name in SHARED:
            assert one["model"] == PRODUCT
