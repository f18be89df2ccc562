"""Further inputs of the kinds of cases.md, with other emitters, engines, months' ends and polls."""

from collections.abc import Callable, Iterator

import pytest

from accounting.simulation.stores.engines import run_victoria_metrics
from tests.exactness.matrix import combined
from tests.exactness.notebooks import ENGINES
from tests.exactness.test_exact_cases import END, LIFE, START, Case, imported, served, usual
from tests.exactness.varied import FIRST, Expected, both, half, hold_to, otel, own, without_own

GIB = 2**30
SANDBOX, SECOND = ("ee" * 32, "cd" * 32)


def told(case: Case, series: str, value: Callable[[float], float], since: int, until: int) -> None:
    """What is said of a series in a part of the notebook's life."""
    case.say(series, value)
    case.seen[series] = [p for p in case.seen[series] if since <= p[0] - START <= until]


def leap_of_opentelemetry() -> Expected:
    case = without_own(300)
    case.say(otel(case), half)
    case.seen[otel(case)][40] = (START + 2400, 1.73e9)
    return Expected(case)


def leap_of_a_bare_container() -> Expected:
    case = without_own(301)
    series = case.cgroup(FIRST, "notebook")
    case.say(series, half)
    case.seen[series][60] = (START + 3600, 1.73e9)
    return Expected(case)


def leap_of_traffic() -> Expected:
    case = usual("varied-302", 302)
    series = case.cgroup(f"/kubepods/burstable/pod{case.uid}").replace(
        "container_cpu_usage_seconds_total{", 'container_network_receive_bytes_total{interface="e",'
    )
    case.say(series, lambda at: at * 2**20)
    case.seen[series][30] = (START + 1800, 4e17)
    return Expected(case, {"received_gb": LIFE * 2**20 // 2**30})


def forty_second_conflict() -> Expected:
    return Expected(usual("varied-303", 303, annotation="_conflict42"))


def labelled(number: int, name: str) -> Expected:
    """Only pods with a label count, which is one of many that are called the same."""
    case = usual(f"varied-{number}", number)
    case.say(f'kube_pod_labels{{{case.state},{name}="notebook"}}', lambda _: 1)
    return Expected(case, scope={"label": ("example.org/partOf", "notebook")})


def forty_second_conflict_of_a_required_label() -> Expected:
    return labelled(329, "label_example_org_part_of_conflict42")


def required_label_with_a_capital() -> Expected:
    return labelled(330, "label_example_org_part_of")


def cgroup_that_stands_still_above_nothing() -> Expected:
    """The pod's own cgroup was used once, by the pause container; the notebook restarts."""
    case = usual("varied-304", 304)
    case.say(own(case), lambda _: 6.5)
    slice_ = f"kubepods-burstable-pod{case.uid.replace('-', '_')}.slice:cri-containerd:"
    for box, since, until in ((FIRST, 0, 3000), (SECOND, 3060, LIFE)):
        series = case.cgroup(f"/system.slice/containerd.service/{slice_}{box}", "notebook")
        told(case, series, lambda at, since=since: (at - since) / 2, since, until)  # type: ignore[misc]
    return Expected(case, {"cpu_seconds": 1500 + (LIFE - 3060) // 2})


def still_beside(number: int, of: Callable[[Case], str]) -> Expected:
    """Another source, which reads the right cgroups, speaks between cAdvisor's samples."""
    case = usual(f"varied-{number}", number)
    case.say(own(case), lambda _: 0)
    case.seen[of(case)] = [(START + at, half(at)) for at in range(25, LIFE, 60)]
    return Expected(case, {"cpu_seconds": (LIFE - 35) // 2})


def cgroup_that_stands_still_beside_the_resource_endpoint() -> Expected:
    return still_beside(
        335, lambda case: f'pod_cpu_usage_seconds_total{{namespace="{case.name}",pod="jupyter-a"}}'
    )


def cgroup_that_stands_still_beside_opentelemetry() -> Expected:
    return still_beside(336, otel)


def cri_o_with_its_sandbox_and_a_restart() -> Expected:
    """Whole seconds; the sandbox's own CPU is no container's that counts."""
    case = without_own(305)
    case.say(case.cgroup(SANDBOX, "POD"), lambda at: at // 600)
    for box, since, until in ((FIRST, 0, 3000), (SECOND, 3060, LIFE)):
        series = case.cgroup(box, "notebook")
        told(case, series, lambda at, since=since: (at - since) // 2, since, until)  # type: ignore[misc]
    case.say(case.cgroup("12" * 32, "proxy"), lambda at: at // 4)
    return Expected(case, {"cpu_seconds": 1500 + (LIFE - 3060) // 2 + LIFE // 4})


def containers_then_opentelemetry() -> Expected:
    """cAdvisor of containers only, until the node's kubelet is read by OpenTelemetry."""
    case = without_own(306)
    path = f"/kubepods/burstable/pod{case.uid}/{FIRST}"
    told(case, case.cgroup(path, "notebook"), half, 0, 3000)
    told(case, otel(case), half, 3060, LIFE)
    return Expected(case)


def opentelemetry_beside_cadvisor_then_alone() -> Expected:
    case = usual("varied-307", 307)
    told(case, own(case), half, 0, 3000)
    case.say(otel(case), half)
    case.say(otel(case, "notebook"), half)
    return Expected(case)


def opentelemetry_of_containers_alone() -> Expected:
    case = without_own(308)
    case.say(otel(case, "notebook"), half)
    case.say(otel(case, "proxy"), lambda at: at / 4)
    return Expected(case, {"cpu_seconds": LIFE // 2 + LIFE // 4})


def limits_first_and_a_gpu() -> Expected:
    """Limits come first, by setting; a GPU is requested and limited alike."""
    case = usual("varied-309", 309)
    labels = f'{case.state},container="notebook",resource='
    for resource, amount in (("cpu", 4), ("memory", 2**32), ("nvidia_com_gpu", 1)):
        series = f'kube_pod_container_resource_limits{{{labels}"{resource}"}}'
        case.say(series, lambda _, amount=amount: amount)  # type: ignore[misc]
    case.hold(f'{labels}"nvidia_com_gpu"', 1)
    right = {"gpu_count": 1.0, "cpu_count": 4.0, "memory_mb": 4096}
    return Expected(case, right, scope={"limits_first": True})


def limits_alone() -> Expected:
    """The scrape keeps no requests."""
    case = usual("varied-310", 310)
    for series in [name for name in case.seen if "_requests{" in name]:
        case.seen[series.replace("_requests{", "_limits{")] = case.seen.pop(series)
    labels = f'{case.state},container="notebook",resource="nvidia_com_gpu"'
    case.say(f"kube_pod_container_resource_limits{{{labels}}}", lambda _: 2)
    return Expected(case, {"gpu_count": 2.0, "cpu_count": 2.0, "memory_mb": 2048})


def resized_at_a_month_s_end() -> Expected:
    case = usual("varied-311", 311)
    labels = f'{case.state},container="notebook",resource="cpu"'
    case.hold(labels, 2)
    series = f"kube_pod_container_resource_requests{{{labels}}}"
    case.seen[series] = [(at, 2 if at - START < 3600 else 5) for at, _ in case.seen[series]]
    return Expected(case, {}, {"core_seconds": 3600 * 2 + 3600 * 5})


def resized_by_limits() -> Expected:
    """Nothing is requested, so the limits count."""
    case = usual("varied-341", 341)
    for series in [name for name in case.seen if "_requests{" in name]:
        case.seen[series.replace("_requests{", "_limits{")] = case.seen.pop(series)
    (series,) = (name for name in case.seen if "_limits{" in name and '"cpu"' in name)
    case.seen[series] = [(at, 2 if at - START < 3600 else 5) for at, _ in case.seen[series]]
    return Expected(case, {}, {"core_seconds": 3600 * 2 + 3600 * 5})


def resized_by_limits_that_come_first() -> Expected:
    """By setting; what is requested stays as it is."""
    case = usual("varied-342", 342)
    limit = f'kube_pod_container_resource_limits{{{case.state},container="notebook",resource='
    case.say(f'{limit}"memory"}}', lambda _: 2**31)
    case.say(f'{limit}"cpu"}}', lambda at: 2 if at < 3600 else 5)
    return Expected(case, {}, {"core_seconds": 3600 * 7}, {"limits_first": True})


def resized_within_a_silence() -> Expected:
    """Nothing tells when: it is known from the first sample after it on."""
    case = usual("varied-312", 312)
    labels = f'{case.state},container="notebook",resource="cpu"'
    series = f"kube_pod_container_resource_requests{{{labels}}}"
    case.seen[series] = [(at, 2 if at - START < 3600 else 5) for at, _ in case.seen[series]]
    for name, points in case.seen.items():
        case.seen[name] = [p for p in points if not 1800 < p[0] - START < 5400]
    return Expected(case, {}, {"core_seconds": 5400 * 2 + 1800 * 5})


def resized_twice_up_and_down() -> Expected:
    case = usual("varied-313", 313)
    for resource, unit in (("cpu", 1), ("memory", GIB)):
        series = (
            f'kube_pod_container_resource_requests{{{case.state},container="notebook",'
            f'resource="{resource}"}}'
        )
        case.seen[series] = [
            (at, unit * (4 if 1800 <= at - START < 3600 else 2)) for at, _ in case.seen[series]
        ]
    return Expected(case, {}, {"core_seconds": 1800 * 4 + 5400 * 2})


def annotations_without_a_uid() -> Expected:
    """Only they are scraped by a job that drops the label."""
    case = usual("varied-314", 314)
    (series,) = [name for name in case.seen if name.startswith("kube_pod_annotations")]
    case.seen[series.replace(f',uid="{case.uid}"', "")] = case.seen.pop(series)
    return Expected(case)


def annotations_of_a_job_that_honours_no_labels() -> Expected:
    """Only they: of phases and sizes the labels are as usual."""
    case = usual("varied-315", 315)
    (series,) = [name for name in case.seen if name.startswith("kube_pod_annotations")]
    exported = series.replace("{namespace=", '{namespace="m",pod="ksm-0",exported_namespace=')
    exported = exported.replace(',pod="jupyter', ',exported_pod="jupyter')
    case.seen[exported] = case.seen.pop(series)
    return Expected(case)


def phase_of_two_shards_of_which_one_is_late() -> Expected:
    case = usual("varied-316", 316)
    for series in [name for name in case.seen if name.startswith("kube_pod")]:
        twin = series.replace("{", '{instance="b",', 1)
        case.seen[twin] = [(at + 11, value) for at, value in case.seen[series][:-20]]
    return Expected(case)


def odd_user() -> Expected:
    case = usual("varied-317", 317)
    (series,) = [name for name in case.seen if name.startswith("kube_pod_annotations")]
    case.seen[series.replace("a@example.org", "Jörg %25 ☃@example.org")] = case.seen.pop(series)
    return Expected(case, {"user": "Jörg %25 ☃@example.org"})


def lost(number: int, lost_at: int = 1840) -> Case:
    """Its node is lost, usually at a half hour; kube-state-metrics goes on saying Running."""
    case = without_own(number)
    case.say(f'kube_pod_info{{{case.state},node="n-{number}"}}', lambda _: 1)
    condition = f'node="n-{number}",condition="Ready",status="true"'
    case.seen[f"kube_node_status_condition{{{condition}}}"] = [
        (START + at, int(at < lost_at)) for at in range(-600, END - START, 60)
    ]
    return case


def lost_node_of_bare_ids() -> Expected:
    case = lost(318)
    told(case, case.cgroup(FIRST, "notebook"), half, 0, 1800)
    return Expected(case, {"cpu_seconds": 900, "wall": 1860, "flag": "node lost"})


def lost_node_of_opentelemetry() -> Expected:
    case = lost(319)
    told(case, otel(case), half, 0, 1800)
    return Expected(case, {"cpu_seconds": 900, "wall": 1860, "flag": "node lost"})


def unheard_node_of_opentelemetry() -> Expected:
    """Only the control plane does not hear of it."""
    case = lost(320)
    case.say(otel(case), half)
    return Expected(case)


def lost_node_at_a_month_s_end() -> Expected:
    case = lost(321, 3640)
    told(case, own(case), half, 0, 3600)
    return Expected(case, {"cpu_seconds": 1800, "wall": 3660, "flag": "node lost"})


def node_that_is_lost_twice() -> Expected:
    """It comes back in between, with its pod."""
    case = lost(322)
    told(case, own(case), half, 0, 1800)
    case.seen[own(case)] += [(START + at, at / 2) for at in range(3600, 4861, 60)]
    (series,) = [name for name in case.seen if name.startswith("kube_node_status")]
    case.seen[series] = [
        (at, int(at - START < 1840 or 3600 <= at - START < 4880)) for at, _ in case.seen[series]
    ]
    return Expected(case, {"cpu_seconds": 2430, "wall": 4920, "flag": "node lost"})


def clocked(number: int, ahead: int) -> Case:
    """The node's clock tells the start; the API server's, when the pod was made."""
    case = usual(f"varied-{number}", number)
    case.say(f"kube_pod_start_time{{{case.state}}}", lambda _: START + ahead)
    case.say(f"kube_pod_created{{{case.state}}}", lambda _: START - 5)
    return case


def clock_ahead_into_the_next_month() -> Expected:
    return Expected(clocked(323, 1200), {"flag": "clocks differ"}, month_end=600)


def clock_behind_in_the_month_before() -> Expected:
    case = clocked(324, -1800)
    last = {"flag": "clocks differ", "wall": LIFE + 5}
    return Expected(case, last, month_end=-600, is_in_one=True)


def completion_by_a_clock_in_the_next_month() -> Expected:
    case = clocked(325, 1200)
    running = f'kube_pod_status_phase{{{case.state},phase="Running"}}'
    case.seen[running] += [(START + at, 0) for at in range(LIFE + 60, LIFE + 900, 60)]
    case.seen[running.replace("Running", "Succeeded")] = [
        (at, 1 - value) for at, value in case.seen[running]
    ]
    case.seen[f"kube_pod_completion_time{{{case.state}}}"] = [
        (START + at, START + LIFE + 1220) for at in range(LIFE + 60, LIFE + 900, 60)
    ]
    last = {"flag": "clocks differ", "wall": LIFE + 60}
    return Expected(case, last, month_end=LIFE + 300, is_in_one=True)


def opentelemetry_that_restarts_its_container() -> Expected:
    """Its counter has the container's name, and falls."""
    case = without_own(326)
    case.say(otel(case, "notebook"), lambda at: at / 2 if at < 3600 else (at - 3600) / 4)
    return Expected(case, {"cpu_seconds": 1770 + 900})


def resource_endpoint_of_containers_that_restart() -> Expected:
    case = without_own(327)
    place = f'namespace="{case.name}",pod="jupyter-a"'
    for name, since in (("notebook", 1800), ("proxy", 5400)):
        series = f'container_cpu_usage_seconds_total{{{place},container="{name}"}}'
        case.say(series, lambda at, since=since: at / 2 if at < since else (at - since) / 2)  # type: ignore[misc]
    return Expected(case, {"cpu_seconds": (870 + 2700) + (2670 + 900)})


def everything_beside_everything() -> Expected:
    """All emitters tell of it, each at its own moments."""
    case = usual("varied-328", 328)
    place = f'namespace="{case.name}",pod="jupyter-a"'
    path = f"/kubepods/burstable/pod{case.uid}/{FIRST}"
    others = (
        case.cgroup(path, "notebook"),
        case.cgroup(FIRST, "notebook"),
        f'container_cpu_usage_seconds_total{{{place},container="notebook"}}',
        f"pod_cpu_usage_seconds_total{{{place}}}",
        otel(case),
        otel(case, "notebook"),
    )
    for number, series in enumerate(others, 1):
        case.say(series, half)
        late = 7 * number
        case.seen[series] = [(at + late, value + late / 2) for at, value in case.seen[series][:-1]]
    return Expected(case)


MADE = (
    lost_node_at_a_month_s_end,
    node_that_is_lost_twice,
    clock_ahead_into_the_next_month,
    clock_behind_in_the_month_before,
    completion_by_a_clock_in_the_next_month,
    opentelemetry_that_restarts_its_container,
    resource_endpoint_of_containers_that_restart,
    everything_beside_everything,
    leap_of_opentelemetry,
    leap_of_a_bare_container,
    leap_of_traffic,
    forty_second_conflict,
    forty_second_conflict_of_a_required_label,
    required_label_with_a_capital,
    cgroup_that_stands_still_above_nothing,
    cgroup_that_stands_still_beside_the_resource_endpoint,
    cgroup_that_stands_still_beside_opentelemetry,
    cri_o_with_its_sandbox_and_a_restart,
    containers_then_opentelemetry,
    opentelemetry_beside_cadvisor_then_alone,
    opentelemetry_of_containers_alone,
    limits_first_and_a_gpu,
    limits_alone,
    resized_at_a_month_s_end,
    resized_by_limits,
    resized_by_limits_that_come_first,
    resized_within_a_silence,
    resized_twice_up_and_down,
    annotations_without_a_uid,
    annotations_of_a_job_that_honours_no_labels,
    phase_of_two_shards_of_which_one_is_late,
    odd_user,
    lost_node_of_bare_ids,
    lost_node_of_opentelemetry,
    unheard_node_of_opentelemetry,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE}


ALL = both(CASES.values())


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("varied"), ALL) as url:
        yield url


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("victoria") / "data"
    with run_victoria_metrics(folder) as engine:
        imported(engine.url, ALL)
        yield engine.url


@pytest.mark.parametrize(
    ("name", "engine", "is_at_month_s_end"), combined(CASES, ENGINES, [True, False])
)
def test_the_variation_is_measured_right_and_the_same_in_any_steps(
    request: pytest.FixtureRequest,
    new_ledger: Callable[[], str],
    name: str,
    is_at_month_s_end: bool,
    engine: str,
) -> None:
    url = request.getfixturevalue(engine)
    every = 600 if name.startswith("leap") else 1200  # a poll ends at the leap
    hold_to(
        CASES[name], url, new_ledger, is_at_month_s_end=is_at_month_s_end, every=every, step=700
    )
