import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from accounting.simulation.exporters.catalog import by_family
from accounting.simulation.exporters.exposition import expose
from accounting.simulation.exporters.labels import Labels, attach, escape, render
from accounting.simulation.exporters.series import Series
from accounting.simulation.judges.truth import SimulatedPod
from accounting.simulation.world.cluster import Cluster
from accounting.simulation.world.features import Features, NodeShape

START = datetime(2026, 11, 5, tzinfo=UTC)
END = datetime(2026, 11, 5, 12, tzinfo=UTC)
PERIOD = (START.timestamp(), END.timestamp())
CPU_SECONDS = "container_cpu_usage_seconds_total"


def make(features: Features) -> Cluster:
    return Cluster.generate(3, START, END, pods=120, features=features)


CLUSTER = make(Features.all())
SERIES = by_family(CLUSTER, *PERIOD)


def of_pod(family: str, pod: SimulatedPod) -> list[Series]:
    return [one for one in SERIES[family] if dict(one.labels).get("uid") == pod.uid]


def with_trait(name: str) -> Iterator[SimulatedPod]:
    """Pods of the trait that ended within the period; there is one at least."""
    found = [pod for pod in CLUSTER.pods if name in pod.traits and pod.run_until < PERIOD[1] - 60]
    assert found
    yield from found


def value(family: str, pod: SimulatedPod, instant: float, **labels: str) -> str | None:
    matching = [
        one.reading_at(instant)
        for one in of_pod(family, pod)
        if labels.items() <= dict(one.labels).items()
    ]
    said = [one for one in matching if one is not None]
    assert len(said) < 2
    return said[0] if said else None


UID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
SLICE = UID.replace("-[", "_[")
HEX = "[0-9a-f]{64}"
QOS = "(burstable|besteffort)"
SHAPES = [
    (
        NodeShape("containerd", "systemd"),
        rf"/kubepods\.slice/(kubepods-{QOS}\.slice/)?kubepods(-{QOS})?-pod{SLICE}\.slice",
        rf"/cri-containerd-{HEX}\.scope",
        HEX,
    ),
    (
        NodeShape("docker", "cgroupfs"),
        rf"/kubepods(/{QOS})?/pod{UID}",
        f"/{HEX}",
        rf"k8s_(POD|notebook|sync)_jupyter-\S+_jupyterhub_{UID}_\d",
    ),
    (
        NodeShape("cri-o", "systemd"),
        rf"/kubepods\.slice/(kubepods-{QOS}\.slice/)?kubepods(-{QOS})?-pod{SLICE}\.slice",
        rf"/crio-{HEX}\.scope",
        rf"k8s_(POD|notebook|sync)_jupyter-\S+_jupyterhub_{UID}_\d",
    ),
    (
        NodeShape("cri-o", "cgroupfs"),
        rf"/kubepods(/{QOS})?/pod{UID}",
        f"/crio-{HEX}",
        rf"k8s_(POD|notebook|sync)_jupyter-\S+_jupyterhub_{UID}_\d",
    ),
    (
        NodeShape("containerd", "systemd", nested=True),
        (
            rf"/system\.slice/docker-{HEX}\.scope/kubelet\.slice/kubelet-kubepods\.slice"
            rf"/(kubelet-kubepods-{QOS}\.slice/)?kubelet-kubepods(-{QOS})?-pod{SLICE}\.slice"
        ),
        rf"/cri-containerd-{HEX}\.scope",
        HEX,
    ),
    (
        NodeShape("containerd", "cgroupfs", nested=True),
        rf"/docker/{HEX}/kubelet/kubepods(/{QOS})?/pod{UID}",
        f"/{HEX}",
        HEX,
    ),
]


@pytest.mark.parametrize(("shape", "pod_id", "container_id", "name"), SHAPES)
def test_cgroups_are_named_as_the_runtime_and_its_driver_name_them(
    shape: NodeShape, pod_id: str, container_id: str, name: str
) -> None:
    cluster = make(Features.none().but(nodes=(shape,), odd_requests=True))
    found = by_family(cluster, *PERIOD)["container_cpu_usage_seconds_total"]
    of_pods = [labels for one in found if (labels := dict(one.labels))["pod"]]
    pods = [labels for labels in of_pods if not labels["name"]]
    boxes = [labels for labels in of_pods if labels["name"]]
    assert len(boxes) == 2 * len(pods)
    for labels in pods:
        assert re.fullmatch(pod_id, labels["id"])
        assert labels["container"] == labels["image"] == ""
    for labels in boxes:
        assert re.fullmatch(pod_id + container_id, labels["id"])
        assert re.fullmatch(name, labels["name"])
    images = {labels["image"]: labels["container"] for labels in boxes}
    pause = "" if shape.runtime == "cri-o" else "registry.k8s.io/pause:3.9"
    assert images[pause] == ("" if shape.runtime == "containerd" else "POD")


def test_the_network_is_counted_on_the_sandbox() -> None:
    for one in SERIES["container_network_receive_bytes_total"]:
        labels = dict(one.labels)
        assert labels["interface"] == "eth0"
        runtime = CLUSTER.shapes[one.source].runtime
        assert labels["image"] == ("" if runtime == "cri-o" else "registry.k8s.io/pause:3.9")
        assert labels["container"] == ("" if runtime == "containerd" else "POD")


def test_peak_memory_is_a_figure_of_cgroup_version_1_only() -> None:
    assert {
        CLUSTER.shapes[one.source].cgroup_version
        for one in SERIES["container_memory_max_usage_bytes"]
    } == {1}


def test_a_pod_has_one_phase_at_a_time() -> None:
    for pod in CLUSTER.pods:
        for instant in (pod.created + 0.5, (pod.running_from or pod.created) + 5):
            if instant >= pod.listed_until:
                continue
            readings = [one.reading_at(instant) for one in of_pod("kube_pod_status_phase", pod)]
            assert sorted(str(one) for one in readings) == ["0", "0", "0", "0", "1"]


def test_an_evicted_pod_is_failed_and_has_no_completion_time() -> None:
    for pod in with_trait("evicted"):
        after = pod.run_until + 60
        assert value("kube_pod_status_phase", pod, after, phase="Failed") == "1"
        assert value("kube_pod_status_phase", pod, after, phase="Running") == "0"
        assert value("kube_pod_completion_time", pod, after) is None


def test_a_completed_pod_is_listed_on_with_its_completion_time() -> None:
    for pod in with_trait("completed"):
        after = pod.run_until + 60
        assert value("kube_pod_status_phase", pod, after, phase="Succeeded") == "1"
        assert value("kube_pod_completion_time", pod, after) == str(pod.completion_time)
        assert value("kube_pod_completion_time", pod, pod.listed_until) is None


def test_a_sidecar_that_completes_gives_a_running_pod_a_completion_time() -> None:
    seen = 0
    for pod in with_trait("early-sidecar"):
        finished = pod.containers[1].finished
        if finished is not None and finished + 5 < pod.run_until:
            seen += 1
            assert value("kube_pod_completion_time", pod, finished + 5) == str(int(finished))
            assert value("kube_pod_status_phase", pod, finished + 5, phase="Running") == "1"
    assert seen


def test_a_restart_changes_the_container_id_and_starts_its_counter_at_zero() -> None:
    for pod in with_trait("restarted"):
        runs = pod.containers[0].incarnations
        if len(runs) < 3:
            continue
        ids = [dict(one.labels)["container_id"] for one in of_pod("kube_pod_container_info", pod)]
        assert [text.rpartition("/")[2] for text in ids if text][: len(runs)] == [
            run.container_id for run in runs
        ]
        assert pod.container_cpu_at(runs[1].container_id, runs[1].since) == 0
        return
    pytest.fail("no pod restarted")


def test_conflicting_annotations_are_numbered() -> None:
    for pod in with_trait("conflict"):
        (one,) = of_pod("kube_pod_annotations", pod)
        labels = dict(one.labels)
        if pod.annotated:
            assert labels["annotation_hub_jupyter_org_username_conflict1"] == pod.user
            assert "annotation_hub_jupyter_org_username" not in labels


def test_a_pod_without_annotations_has_bare_labels() -> None:
    for pod in with_trait("unannotated"):
        (one,) = of_pod("kube_pod_annotations", pod)
        assert {name for name, _ in one.labels} == {"namespace", "pod", "uid"}


def test_a_pod_without_a_node_yet_has_an_empty_node_label() -> None:
    for pod in with_trait("slow-scheduling"):
        early, late = of_pod("kube_pod_info", pod)
        assert dict(early.labels)["node"] == ""
        assert dict(late.labels)["node"] == pod.node
        assert value("kube_pod_start_time", pod, pod.created + 60) is None


@pytest.mark.parametrize(
    ("changes", "family", "seen"),
    [
        ({"allowlist_missing": True}, "kube_pod_annotations", 0),
        ({"pod_level_dropped": True}, "container_memory_working_set_bytes", 2),
    ],
)
def test_a_set_up_without_series_lacks_them(
    changes: dict[str, bool], family: str, seen: int
) -> None:
    cluster = make(Features.none().but(**changes))
    found = by_family(cluster, *PERIOD)[family]
    assert len(found) == seen * len(cluster.pods)


def test_without_ids_no_series_has_one_and_none_is_said_twice() -> None:
    cluster = make(Features.all().but(id_dropped=True))
    for family, found in by_family(cluster, *PERIOD).items():
        if family.startswith("container_"):
            assert not any(name == "id" for one in found for name, _ in one.labels)
            spans: dict[Labels, list[tuple[float, float]]] = {}
            for one in found:
                own = [(span.since, span.until) for span in one.spans]
                spans.setdefault((*one.labels, ("source", one.source)), []).extend(own)
            for held in spans.values():
                held.sort()
                assert all(a[1] <= b[0] for a, b in pairwise(held))


def test_label_values_are_escaped() -> None:
    assert escape('a"b\\c\nd') == 'a\\"b\\\\c\\nd'
    assert render((("a", ""), ("b", "x"))) == 'b="x"'
    assert render((("a", ""), ("b", "x")), keep_empty=True) == 'a="",b="x"'


def test_honoured_labels_win_and_others_are_exported() -> None:
    exposed = (("pod", "jupyter-a"), ("uid", "1"))
    target = (("job", "ksm"), ("pod", "ksm-0"))
    assert attach(exposed, target, honor=True) == (*exposed, ("job", "ksm"))
    assert attach(exposed, target, honor=False) == (
        ("exported_pod", "jupyter-a"),
        ("uid", "1"),
        *target,
    )


def test_a_scrape_says_what_the_series_say_at_that_moment() -> None:
    instant = PERIOD[0] + 3 * 3600
    running = 0
    for kubelet in (one for one in CLUSTER.emitters if one.kind == "cadvisor"):
        lines = expose(CLUSTER, kubelet, instant).splitlines()
        assert lines[0] == "# TYPE container_cpu_usage_seconds_total counter"
        for pod in CLUSTER.pods:
            if pod.node != kubelet.node or not (pod.running_from or 3e9) < instant < pod.run_until:
                continue
            running += 1
            (line,) = [
                text
                for text in lines
                if text.startswith("container_cpu_usage_seconds_total")
                and ',name=""' in text
                and f'pod="{pod.name}"' in text
            ]
            value = float(line.rsplit(" ", 1)[1])
            assert value == pytest.approx(pod.cpu_counter_at(instant), abs=2e-6)
    assert running > 5


def test_counters_that_dip_are_low_for_a_sample_or_two_and_right_at_their_ends() -> None:
    plain, cluster = Features.none(), make(Features.none().but(dips=True))
    right = {one.labels: one for one in by_family(make(plain), *PERIOD)[CPU_SECONDS]}
    dips = 0
    for series in by_family(cluster, *PERIOD)[CPU_SECONDS]:
        times = [PERIOD[0] + 60 * n for n in range(720)]
        said = [(series.reading_at(at), right[series.labels].reading_at(at)) for at in times]
        is_low = [float(a) < float(b) for a, b in said if a and b]
        assert not any(is_low[-3:])
        runs = "".join("01"[low] for low in is_low).split("0")
        assert max(len(run) for run in runs) <= 2
        dips += sum(map(bool, runs))
    assert dips > 100
