"""What answers say in the domain's words: cgroup paths, spellings of labels, nonsense."""

from collections import Counter as Tally
from math import inf, nan

import pytest

from accounting.measure.source.prometheus import CgroupLabels, CgroupRow
from accounting.measure.usage import cgroups, samples, sizes
from accounting.measure.usage.cgroups import Cgroup
from accounting.measure.usage.counters import series
from accounting.measure.usage.samples import RawSeries, Rejected, Row, Samples, Sighting, Times
from accounting.model.pods import POD_LEVEL, CounterKind, Implausible, Owner, Resources, SeriesKey
from accounting.model.time import EARLIEST_AT

UID = "6b4f0d5e-0000-4000-8000-0000000000ab"
LOW = UID.replace("-", "_")
BOX = "0123456789abcdef" * 4
NEST = "/docker/" + "5d" * 32

SLICE = f"/kubepods.slice/kubepods-pod{LOW}.slice"
KIND = f"/system.slice/docker-{'5d' * 32}.scope/kubelet.slice/kubelet-kubepods.slice"

PATHS = [
    (
        "1: systemd",
        f"/kubepods.slice/kubepods-burst.slice/kubepods-burst-pod{LOW}.slice",
        POD_LEVEL,
    ),
    ("2: systemd, guaranteed", SLICE, POD_LEVEL),
    ("3: cgroupfs", f"/kubepods/besteffort/pod{UID}", POD_LEVEL),
    ("4: cgroupfs, guaranteed", f"/kubepods/pod{UID}", POD_LEVEL),
    ("5: kind", f"{NEST}/kubelet/kubepods/burstable/pod{UID}", POD_LEVEL),
    ("6: kind with systemd", f"{KIND}/kubelet-kubepods-pod{LOW}.slice", POD_LEVEL),
    ("7: containerd", f"{SLICE}/cri-containerd-{BOX}.scope", BOX),
    ("8: docker", f"/kubepods/burstable/pod{UID}/{BOX}", BOX),
    ("9: docker with systemd", f"{SLICE}/docker-{BOX}.scope", BOX),
    ("10: cri-o", f"{SLICE}/crio-{BOX}.scope", BOX),
    ("11: cri-o, inner cgroup", f"{SLICE}/crio-{BOX}.scope/container", BOX),
    ("12: kind, a container", f"{NEST}/kubelet/kubepods/burstable/pod{UID}/{BOX}", BOX),
    ("13: no container's id", f"/kubepods/pod{UID}/init", "init"),
]
NOBODYS = ["", "/", "/kubepods.slice", "/system.slice/kubelet.service", "/kubepods/podium", NEST]


@pytest.mark.parametrize(("case", "path", "level"), PATHS, ids=[c[0] for c in PATHS])
def test_a_cgroup_s_path_names_pod_and_level(case: str, path: str, level: str) -> None:
    assert cgroups.cgroup(path) == Cgroup(UID, level), case


@pytest.mark.parametrize("path", NOBODYS)
def test_a_path_of_no_pod_names_none(path: str) -> None:
    assert cgroups.cgroup(path) == Cgroup("", POD_LEVEL)


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        ({"pod": "jupyter-a"}, "jupyter-a"),
        ({"pod": "kube-state-metrics-x", "exported_pod": "jupyter-a"}, "jupyter-a"),
        ({"pod": "jupyter-a", "exported_pod": ""}, "jupyter-a"),
        ({}, ""),
    ],
)
def test_labels_are_read_where_honor_labels_is_off(labels: dict[str, str], value: str) -> None:
    assert samples.label(labels, "pod") == value


USER = "annotation_hub_jupyter_org_username"
GROUP = "annotation_egi_eu_primary_group"
FLAVOR = "annotation_egi_eu_flavor"
ANNOTATIONS = [
    ("1: as usual", {USER: "a", GROUP: "g", FLAVOR: "f"}, Owner("a", "g", "f")),
    ("2: none", {"uid": "u"}, Owner()),
    ("3: in conflict", {f"{USER}_conflict1": "a", f"{USER}_conflict2": "b"}, Owner("a")),
    ("4: the plain one first", {USER: "a", f"{USER}_conflict1": "b"}, Owner("a")),
    ("5: empty", {USER: "", f"{USER}_conflict2": "b", GROUP: " "}, Owner("b")),
    ("6: blanks around", {USER: " a "}, Owner("a")),
    ("7: any text", {USER: "Ž \"'\\用户"}, Owner("Ž \"'\\用户")),
]


@pytest.mark.parametrize(("case", "labels", "owner"), ANNOTATIONS, ids=[c[0] for c in ANNOTATIONS])
def test_the_owner_is_what_the_annotations_say(
    case: str, labels: dict[str, str], owner: Owner
) -> None:
    assert samples.owner_of(labels) == owner, case


VALUES = [
    (5.0, None),
    (0.0, None),
    (100.0, None),
    (-0.1, "negative"),
    (nan, "not a number"),
    (100.1, "absurdly large"),
    (inf, "absurdly large"),
    (-inf, "negative"),
]


@pytest.mark.parametrize(("value", "reason"), VALUES)
def test_a_value_that_cannot_be_true_has_its_reason(value: float, reason: str | None) -> None:
    assert samples.implausible(value, 0.0, 100.0) == reason


def test_a_time_before_kubernetes_is_too_small() -> None:
    assert samples.implausible(1000.0, EARLIEST_AT, 2e9) == "too small"


def test_several_emitters_of_a_pod_are_one_sighting() -> None:
    found = Samples()
    samples.merge_sightings(
        found,
        [
            Sighting(UID, "hub", "a", 40.0, 70.0, 70.0),
            Sighting(UID, "hub", "a", 10.0, 55.0, 100.0),
            Sighting(UID, "hub", "a", None, None, 85.0),
            Sighting("", "hub", "b", 10.0, 20.0, 20.0),
        ],
    )
    assert found.sightings == {UID: Sighting(UID, "hub", "a", 10.0, 70.0, 100.0)}
    assert found.rejected == Tally({Rejected("kube_pod_status_phase", Implausible.NO_UID): 1})


def test_times_are_kept_if_they_can_be_true() -> None:
    found, now = Samples(), 1_762_000_000.0
    rows: list[Row] = [
        ({"__name__": "kube_pod_created", "uid": UID}, now - 60),
        ({"__name__": "kube_pod_start_time", "uid": UID}, nan),
        ({"__name__": "kube_pod_completion_time", "uid": UID}, now + 60),
        ({"__name__": "kube_pod_created", "uid": "other"}, 0.0),
    ]
    samples.merge_times(found, rows, now)
    assert found.times == {UID: Times(created_at=now - 60)}
    assert found.rejected == Tally(
        {
            Rejected("kube_pod_start_time", Implausible.NOT_A_NUMBER): 1,
            Rejected("kube_pod_completion_time", Implausible.TOO_LARGE): 1,
            Rejected("kube_pod_created", Implausible.TOO_SMALL): 1,
        }
    )


def asked(kind: str, resource: str, value: float) -> Row:
    name = f"kube_pod_container_resource_{kind}"
    return {"__name__": name, "uid": UID, "resource": resource}, value


RESOURCES = [
    (
        "1: requests and limits",
        [
            asked("requests", "cpu", 1),
            asked("limits", "cpu", 2),
            asked("requests", "memory", 5),
            asked("limits", "memory", 6),
        ],
        Resources(1, 2, 5, 6),
    ),
    (
        "2: a request of zero is none",
        [asked("requests", "cpu", 0), asked("limits", "cpu", 2)],
        Resources(None, 2),
    ),
    (
        "3: GPUs",
        [asked("requests", "nvidia_com_gpu", 2)],
        Resources(accelerators=(("nvidia_com_gpu", 2),)),
    ),
    (
        "4: slices of GPUs",
        [asked("requests", "nvidia_com_mig_1g_5gb", 1), asked("requests", "nvidia_com_gpu", 1)],
        Resources(accelerators=(("nvidia_com_gpu", 1), ("nvidia_com_mig_1g_5gb", 1))),
    ),
    (
        "5: limits of GPUs repeat the requests",
        [asked("requests", "amd_com_gpu", 1), asked("limits", "amd_com_gpu", 1)],
        Resources(accelerators=(("amd_com_gpu", 1),)),
    ),
]


@pytest.mark.parametrize(("case", "rows", "resources"), RESOURCES, ids=[c[0] for c in RESOURCES])
def test_resources_are_what_was_asked_for(case: str, rows: list[Row], resources: Resources) -> None:
    found = Samples()
    sizes.merge_resources(found, rows)
    assert found.resources == {UID: resources}, case


def test_resources_that_cannot_be_true_are_left_out() -> None:
    found = Samples()
    rows = [
        asked("requests", "cpu", nan),
        asked("limits", "cpu", 1e6),
        asked("requests", "memory", -1),
    ]
    sizes.merge_resources(found, rows)
    assert found.resources == {}
    assert found.rejected.total() == 3


def test_a_claim_of_unknown_size_leaves_the_disk_unknown() -> None:
    found = Samples()
    mounts: list[Row] = [
        ({"uid": uid, "persistentvolumeclaim": claim}, 1.0)
        for uid, claim in [("a", "home"), ("a", "data"), ("b", "home"), ("b", "lost"), ("c", "bad")]
    ]
    sizes: list[Row] = [
        ({"persistentvolumeclaim": "home"}, 5.0),
        ({"persistentvolumeclaim": "data"}, 7.0),
        ({"persistentvolumeclaim": "bad"}, -7.0),
    ]
    samples.merge_claims(found, mounts, sizes)
    assert found.claims == {"a": 12.0}
    assert found.rejected == Tally(
        {Rejected("kube_persistentvolumeclaim", Implausible.NEGATIVE): 1}
    )


CPU = "container_cpu_usage_seconds_total"
RECEIVED = "container_network_receive_bytes_total"
POD_PATH = f"/kubepods/burstable/pod{UID}"


def of_cgroup(path: str, value: float, interface: str = "") -> CgroupRow:
    return CgroupRow(CgroupLabels(path, interface, "jupyter-a"), (0.0, value))


def test_of_duplicate_counters_the_highest_counts_and_levels_stay_apart() -> None:
    found = Samples()
    rows = [
        of_cgroup(POD_PATH, 5.0),
        of_cgroup(f"{NEST}{POD_PATH}", 6.0),
        of_cgroup(f"{POD_PATH}/{BOX}", 4.0),
        of_cgroup("/", 99.0),
        of_cgroup("", 98.0),
        of_cgroup(POD_PATH, nan),
    ]
    series.merge_readings(found, rows, CPU)
    series.merge_readings(found, [of_cgroup(f"{POD_PATH}/{BOX}", 3.0, "eth0")], RECEIVED)
    assert found.readings == {
        UID: {
            SeriesKey(CounterKind.CPU, POD_LEVEL): 6.0,
            SeriesKey(CounterKind.CPU, BOX): 4.0,
            SeriesKey(CounterKind.RECEIVED, f"{BOX}/eth0"): 3.0,
        }
    }
    assert found.rejected == Tally({Rejected(CPU, Implausible.NOT_A_NUMBER): 1})


def test_a_counter_s_name_is_read_out_of_its_cgroup_once() -> None:
    known = Samples()
    rows = [of_cgroup(POD_PATH, 5.0), of_cgroup("/", 9.0)]
    series.merge_readings(known, rows, CPU)
    assert known.readings == {UID: {SeriesKey(CounterKind.CPU, POD_LEVEL): 5.0}}
    assert known.series[CPU, POD_PATH, ""] == (UID, SeriesKey(CounterKind.CPU, POD_LEVEL))
    # Another name would not be read out of this path.
    named = {(CPU, POD_PATH, ""): ("another", SeriesKey(CounterKind.CPU, POD_LEVEL))}
    again = Samples(known_series=named)
    series.merge_readings(again, [*rows, of_cgroup(f"{POD_PATH}/{BOX}", 2.0)], CPU)
    assert set(again.readings) == {"another", UID}
    gone = Samples(known_series=again.series)
    series.merge_readings(gone, rows[:1], CPU)
    assert gone.series == named


def uid_at(name: str, at: float) -> str:
    return {"jupyter-a": "first" if at < 100 else "second"}.get(name, "")


RAW = [
    ("1: by its cgroup", {"id": POD_PATH, "pod": "jupyter-a"}, {UID: POD_LEVEL}),
    ("2: by name and time", {"pod": "jupyter-a"}, {"first": POD_LEVEL, "second": POD_LEVEL}),
    ("3: nobody's name", {"pod": "hub"}, {}),
    ("4: a cgroup of no pod", {"id": "/", "pod": "jupyter-a"}, {}),
    ("5: a container", {"id": f"{POD_PATH}/{BOX}", "container": "notebook"}, {UID: BOX}),
    ("6: the sandbox", {"id": f"{POD_PATH}/{BOX}", "container": "POD"}, {}),
    ("7: containerd's sandbox", {"id": f"{POD_PATH}/{BOX}", "container": "", "image": "pause"}, {}),
    ("8: its sandbox without id", {"pod": "jupyter-a", "container": "", "image": "pause"}, {}),
    (
        "9: a container without id",
        {"pod": "jupyter-a", "container": "notebook", "name": "n"},
        {"first": "name/n", "second": "name/n"},
    ),
    (
        "10: containerd's, whose name is its id",
        {"pod": "jupyter-a", "container": "notebook", "name": BOX},
        {"first": BOX, "second": BOX},
    ),
]


@pytest.mark.parametrize(("case", "labels", "owners"), RAW, ids=[c[0] for c in RAW])
def test_raw_samples_belong_to(case: str, labels: dict[str, str], owners: dict[str, str]) -> None:
    found = Samples()
    lines: list[RawSeries] = [({"__name__": CPU, **labels}, [(50.0, 1.0), (150.0, 2.0)])]
    series.merge_raw(found, lines, uid_at)
    merged = {uid: key.series for uid, counters in found.raw.items() for key in counters}
    assert merged == owners, case


def test_raw_samples_of_all_emitters_come_in_order_of_time() -> None:
    found = Samples()
    labels = {"__name__": CPU, "id": POD_PATH}
    lines: list[RawSeries] = [
        (labels, [(30.0, 3.0), (90.0, -1.0)]),
        ({**labels, "job": "other"}, [(10.0, 1.0), (60.0, 6.0)]),
    ]
    series.merge_raw(found, lines, uid_at)
    line = [(10.0, 1.0), (30.0, 3.0), (60.0, 6.0)]
    assert found.raw == {UID: {SeriesKey(CounterKind.CPU, POD_LEVEL): line}}
    assert found.rejected == Tally({Rejected(CPU, Implausible.NEGATIVE): 1})


def test_memory_without_id_is_the_peak_of_the_pod_that_had_the_name_then() -> None:
    found = Samples()
    series.merge_memory_peaks(found, [of_cgroup(POD_PATH, 5.0), of_cgroup("", 9.0)])
    series.merge_raw_memory(
        found, [({"pod": "jupyter-a"}, [(50.0, 3.0), (60.0, 4.0), (150.0, 2.0)])], uid_at
    )
    assert found.memory_peaks == {UID: 5.0, "first": 4.0, "second": 2.0}
