"""Accelerators: what is held, of which model and share, and what is used of it (cases.md, 5)."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.simulation.stores.engines import run_victoria_metrics
from accounting.store.engine.database import Database
from accounting.store.records import Records
from tests.exactness.matrix import combined
from tests.exactness.notebooks import ENGINES
from tests.exactness.polling import poller
from tests.exactness.test_exact_cases import END, LIFE, START, Case, imported, served, usual

A100 = "NVIDIA-A100-SXM4-40GB"
BUSY = 0.5
WATTS = 300


@dataclass
class Expected:
    """The right accelerator of a case, and a flag of the record."""

    case: Case
    told: dict[str, Any]
    flag: str = ""
    wall: int = LIFE


def holding(number: int, resource: str, amount: float, **labels: str) -> Case:
    """A notebook that asks for a resource, on a node with labels."""
    case = usual(f"devices-{number}", number)
    node = f"node-{number}"
    case.say(f'kube_pod_info{{{case.state},node="{node}"}}', lambda _: 1)
    case.hold(f'{case.state},container="notebook",resource="{resource}"', amount)
    told = "".join(f',label_{name}="{text}"' for name, text in labels.items())
    case.say(f'kube_node_labels{{node="{node}"{told}}}', lambda _: 1)
    return case


def using(case: Case, more: str = "", *, exported: bool = True) -> Case:
    """DCGM's samples of one device, which had counted energy before."""
    prefix = "exported_" if exported else ""
    place = f'{prefix}namespace="{case.name}",{prefix}pod="jupyter-a"'
    other = ',namespace="gpu-operator",pod="dcgm-x"' if exported else ""
    labels = f'{place}{other},UUID="GPU-{case.number}",modelName="NVIDIA A100"{more}'
    case.say(f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{labels}}}", lambda _: BUSY)
    if not more:
        case.say(f"DCGM_FI_DEV_GPU_UTIL{{{labels}}}", lambda _: 90)
    series = f"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{labels}}}"
    case.say(series, lambda at: 7e9 + at * WATTS * 1000)
    return case


PRODUCT = {"nvidia_com_gpu_product": A100, "nvidia_com_gpu_replicas": "1"}
SLICED = {"nvidia_com_gpu_product": f"{A100}-SHARED", "nvidia_com_gpu_replicas": "4"}
NOTHING = {"active_seconds": None, "joules": None}
USED = {"active_seconds": LIFE // 2, "joules": float(LIFE * WATTS), "quality": "measured"}


def whole() -> Expected:
    case = using(holding(60, "nvidia_com_gpu", 1, **PRODUCT))
    return Expected(case, {"type": "GPU", "model": A100, "count": 1.0, "share": 1.0, **USED})


def whole_with_labels_honoured() -> Expected:
    case = using(holding(61, "nvidia_com_gpu", 1, **PRODUCT), exported=False)
    return Expected(case, {"model": A100, "count": 1.0, **USED})


def model_from_the_device_alone() -> Expected:
    case = using(holding(62, "nvidia_com_gpu", 1))
    return Expected(case, {"model": "NVIDIA A100", "count": 1.0, **USED})


def slice_of_a_shared_device() -> Expected:
    """cases.md, 5; DCGM shows the whole device to each pod."""
    case = using(holding(63, "nvidia_com_gpu_shared", 1, **SLICED))
    told = {"model": A100, "count": 0.25, "share": 0.25, "quality": "not told apart", **NOTHING}
    return Expected(case, told, "accelerator use not told apart")


def slice_of_mig() -> Expected:
    mig = ',GPU_I_PROFILE="1g.5gb",GPU_I_ID="7"'
    case = using(holding(64, "nvidia_com_mig_1g_5gb", 1, **PRODUCT), mig)
    told = {"model": f"{A100}-MIG-1g.5gb", "count": 1.0, **USED, "joules": None}
    return Expected(case, told)


def device_that_nothing_tells_of() -> Expected:
    case = holding(65, "amd_com_gpu", 2)
    told = {"model": "amd_com_gpu", "count": 2.0, "quality": "not measured", **NOTHING}
    return Expected(case, told)


def resource_that_nobody_knows() -> Expected:
    case = holding(66, "example_com_dongle", 1)
    return Expected(case, {"type": "", "quality": "unknown resource"}, "unknown resource")


def claim() -> Expected:
    case = usual("devices-67", 67)
    labels = 'claim_name="gpu",resourceclaim_name="x-1",resourceclaim_template_name="large-gpu"'
    case.say(f"kube_pod_resourceclaim_info{{{case.state},{labels}}}", lambda _: 1)
    told = {"model": "large-gpu", "count": None, "quality": "not countable"}
    return Expected(case, told, "accelerators not countable")


def slice_of_mig_with_media_engines() -> Expected:
    """The plugin writes a dot where the driver has a plus."""
    mig = ',GPU_I_PROFILE="1g.10gb+me",GPU_I_ID="7"'
    case = using(holding(68, "nvidia_com_mig_1g_10gb_me", 1, **PRODUCT), mig)
    told = {"model": f"{A100}-MIG-1g.10gb.me", "count": 1.0, **USED, "joules": None}
    return Expected(case, told)


def slice_of_mig_beside_one_with_media_engines() -> Expected:
    """What the other one does is not its use."""
    mig = ',GPU_I_PROFILE="1g.10gb+me",GPU_I_ID="7"'
    case = using(holding(69, "nvidia_com_mig_1g_10gb", 1, **PRODUCT), mig)
    return Expected(case, {"model": f"{A100}-MIG-1g.10gb", "quality": "not measured", **NOTHING})


def slices_of_a_shared_slice_of_mig() -> Expected:
    labels = {**PRODUCT, "nvidia_com_mig_1g_5gb_replicas": "5"}
    mig = ',GPU_I_PROFILE="1g.5gb",GPU_I_ID="7"'
    case = using(holding(70, "nvidia_com_mig_1g_5gb_shared", 2, **labels), mig)
    told = {"model": f"{A100}-MIG-1g.5gb", "count": 0.4, "quality": "not told apart", **NOTHING}
    return Expected(case, told, "accelerator use not told apart")


def slice_under_the_whole_device_s_name() -> Expected:
    """NVIDIA's default: renameByDefault is off."""
    case = using(holding(71, "nvidia_com_gpu", 1, **SLICED))
    told = {"model": A100, "count": 0.25, "share": 0.25, "quality": "not told apart", **NOTHING}
    return Expected(case, told, "accelerator use not told apart")


def halves_by_percents() -> Expected:
    """HAMi's: half of the cores of each of two devices."""
    case = using(holding(72, "nvidia_com_gpu", 2))
    labels = f'{case.state},container="notebook",resource='
    for name, amount in (("gpucores", 50), ("gpumem", 8000), ("priority", 1)):
        case.hold(f'{labels}"nvidia_com_{name}"', amount)
    return Expected(case, {"count": 1.0, "share": 0.5, "quality": "not told apart", **NOTHING})


def percents_alone() -> Expected:
    case = holding(73, "nvidia_com_gpucores", 30)
    told = {"resource": "nvidia_com_gpu", "count": 0.3, "quality": "not measured", **NOTHING}
    return Expected(case, told)


def two_devices() -> Expected:
    case = using(holding(74, "nvidia_com_gpu", 2, **PRODUCT))
    for series in [name for name in case.seen if name.startswith("DCGM")]:
        case.seen[series.replace('UUID="', 'UUID="2-')] = case.seen[series]
    joules = float(2 * LIFE * WATTS)
    return Expected(case, {"model": A100, "count": 2.0, **USED, "joules": joules})


def device_whose_exporter_is_doubled_and_counts_a_little_back() -> Expected:
    """Each of an HA pair keeps its samples; one of them once said a little less than before."""
    case = using(holding(75, "nvidia_com_gpu", 1, **PRODUCT))
    for series in [name for name in case.seen if name.startswith("DCGM")]:
        twin = [(at + 9, value) for at, value in case.seen[series][:-1]]
        if "ENERGY" in series:  # scraped later, told as of before
            twin = [(at, value - 5000) for at, value in twin]
        case.seen[series.replace("{", '{job="b",', 1)] = twin
    return Expected(case, {"model": A100, "count": 1.0, **USED})


def device_that_was_reset() -> Expected:
    case = using(holding(76, "nvidia_com_gpu", 1, **PRODUCT))
    (series,) = [name for name in case.seen if "ENERGY" in name]
    case.seen[series] = [
        (at, value if at - START < 3600 else (at - START - 3600) * WATTS * 1000)
        for at, value in case.seen[series]
    ]
    told = {"model": A100, "active_seconds": LIFE // 2, "joules": float((LIFE - 60) * WATTS)}
    return Expected(case, told)


def device_of_a_native_sidecar() -> Expected:
    case = using(holding(77, "nvidia_com_gpu", 1, **PRODUCT))
    for series in [name for name in case.seen if "nvidia_com_gpu" in name and "requests" in name]:
        init = series.replace("kube_pod_container", "kube_pod_init_container")
        case.seen[init.replace('"notebook"', '"models"')] = case.seen.pop(series)
    info = f'{case.state},container="models",restart_policy="Always"'
    case.say(f"kube_pod_init_container_info{{{info}}}", lambda _: 1)
    return Expected(case, {"model": A100, "count": 1.0, **USED})


def claim_without_a_template() -> Expected:
    case = usual("devices-78", 78)
    case.say(
        f'kube_pod_resourceclaim_info{{{case.state},claim_name="gpu",resourceclaim_name="mine"}}',
        lambda _: 1,
    )
    told = {"model": "mine", "count": None, "quality": "not countable"}
    return Expected(case, told, "accelerators not countable")


def device_that_is_scraped_after_its_pod_was_last_listed() -> Expected:
    """A window of 1,200 s ends between the two."""
    case, wall = using(holding(90, "nvidia_com_gpu", 1, **PRODUCT)), 3600
    for series, points in case.seen.items():
        later = 30 * series.startswith("DCGM")
        if "namespace_created" not in series:
            case.seen[series] = [(at + later, v) for at, v in points if at <= START + wall]
    told = {"active_seconds": wall // 2, "joules": float(wall * WATTS), "quality": "measured"}
    return Expected(case, told, wall=wall)


def of_vendor(number: int, resource: str, kind: str, more: str = "") -> Expected:
    """A vendor's device, and what its plugin counts beside it."""
    case = holding(number, resource, 1)
    if more:
        case.hold(f'{case.state},container="notebook",resource="{more}"', 100)
    told = {"type": kind, "resource": resource, "count": 1.0, "quality": "not measured"}
    return Expected(case, {**told, **NOTHING})


VENDORS = {
    "intel": of_vendor(80, "gpu_intel_com_i915", "GPU", "gpu_intel_com_millicores"),
    "intel's newer driver": of_vendor(81, "gpu_intel_com_xe", "GPU", "gpu_intel_com_memory_max"),
    "gaudi": of_vendor(82, "habana_ai_gaudi", "Other"),
    "tpu": of_vendor(83, "google_com_tpu", "Other"),
    "neuron": of_vendor(84, "aws_amazon_com_neuron", "Other"),
    "xilinx": of_vendor(85, "amd_com_xilinx_u250", "FPGA"),
}

MADE = (
    slice_of_mig_with_media_engines,
    slice_of_mig_beside_one_with_media_engines,
    slices_of_a_shared_slice_of_mig,
    slice_under_the_whole_device_s_name,
    halves_by_percents,
    percents_alone,
    two_devices,
    device_whose_exporter_is_doubled_and_counts_a_little_back,
    device_that_was_reset,
    device_that_is_scraped_after_its_pod_was_last_listed,
    device_of_a_native_sidecar,
    claim_without_a_template,
    whole,
    whole_with_labels_honoured,
    model_from_the_device_alone,
    slice_of_a_shared_device,
    slice_of_mig,
    device_that_nothing_tells_of,
    resource_that_nobody_knows,
    claim,
)
CASES = {made.__name__.replace("_", " "): made() for made in MADE} | VENDORS


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cases = [expected.case for expected in CASES.values()]
    with served(tmp_path_factory.mktemp("devices"), cases) as url:
        yield url


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_victoria_metrics(tmp_path_factory.mktemp("victoria") / "data") as engine:
        imported(engine.url, [expected.case for expected in CASES.values()])
        yield engine.url


@pytest.mark.parametrize(("name", "engine"), combined(CASES, ENGINES))
def test_what_is_held_and_used_is_told_the_same_in_any_steps(
    request: pytest.FixtureRequest, new_ledger: Callable[[], str], name: str, engine: str
) -> None:
    expected, url = CASES[name], request.getfixturevalue(engine)
    found = []
    for every in (1200, 6 * 3600):
        with Database(new_ledger()) as database, Source(url) as source:
            database.ensure_current()
            one = poller(database, source, scope=Scope(expected.case.name, "jupyter-.*"))
            for until in [*range(START + every, END, every), END]:
                one.poll(until)
            found += list(Records(database).find())
    for record in found:
        (told,) = (asdict(one) for one in record.accelerators)
        assert {name: told[name] for name in expected.told} == expected.told
        assert expected.wall - 120 <= told["held_seconds"] <= expected.wall
        assert expected.flag in {"", *record.flags}
    assert len({record.accelerators for record in found}) == 1
    assert len(found) == 2
