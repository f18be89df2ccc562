"""What the doctor says of accelerators, by the labels that nodes show; and of who tells CPU."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.config import load
from accounting.doctor.examination import examine
from tests.exactness.test_exact_accelerators import SLICED, holding
from tests.exactness.test_exact_cases import LIFE, START, Case, served, usual

GPU_PARTS = "nvidia_com_gpu_shared"
CLUSTERS = {
    "labelled": (holding(240, GPU_PARTS, 1, **SLICED), "ok", "nodes tell of nvidia_com_gpu_shared"),
    "unlabelled": (holding(241, GPU_PARTS, 1), "warning", "each counts as a whole one"),
    "model-less": (holding(242, "amd_com_gpu", 1), "warning", "no label of a node tells the model"),
    "strange": (holding(243, "example_com_dongle", 1), "warning", "no rule knows"),
}


def on_two_nodes() -> Case:
    """The second one's kubelet is scraped by a job that honours no labels."""
    case = usual("on-two-nodes", 244)
    for node, place in (
        ("n-1", 'namespace="on-two-nodes",pod="jupyter-a"'),
        ("n-2", 'namespace="m",exported_namespace="on-two-nodes",exported_pod="jupyter-b"'),
    ):
        labels = f'{place},node="{node}",id="/kubepods/burstable/pod{case.uid}"'
        case.say(f"container_cpu_usage_seconds_total{{{labels}}}", lambda at: at / 2)
    return case


ON_TWO_NODES = on_two_nodes()


def scheduled(number: int, until: int) -> Case:
    """kube-scheduler is scraped up to then; it names pods only."""
    case = usual(f"scheduled-{number}", number)
    place = f'namespace="{case.name}",pod="jupyter-a"'
    series = f'kube_pod_resource_request{{{place},resource="cpu",unit="cores"}}'
    case.say(series, lambda at: 2.0 if at <= until else -1.0)
    return case


SCHEDULED = {
    "told": (scheduled(245, LIFE), [("ok", "tells what pods hold")]),
    "silent": (scheduled(246, LIFE - 1200), [("warning", "is silent now")]),
    "never told": (usual("scheduled-247", 247), []),
}


def clustered(name: str, case: Case) -> Case:
    case.seen = {
        series.replace("{", f'{{cluster="{name}",', 1): points
        for series, points in case.seen.items()
    }
    return case


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cases = [clustered(name, case) for name, (case, *_) in CLUSTERS.items()]
    cases.append(clustered("two nodes", ON_TWO_NODES))
    cases += [clustered(name, case) for name, (case, _) in SCHEDULED.items()]
    with served(tmp_path_factory.mktemp("doctor"), cases) as url:
        yield url


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_doctor_says_whether_nodes_tell_of_what_notebooks_hold(
    store: str, tmp_path: Path, name: str
) -> None:
    case, state, said = CLUSTERS[name]
    found = examined(store, tmp_path, case, matchers=f'cluster="{name}"')
    assert [(one, said in text) for one, text in found] == [(state, True)]


def test_a_share_in_the_settings_needs_no_label(store: str, tmp_path: Path) -> None:
    case, *_ = CLUSTERS["unlabelled"]
    own = {"accelerators": {"nvidia.com/gpu.shared": {"share": 0.5, "model": "A100"}}}
    found = examined(store, tmp_path, case, record=own, matchers='cluster="unlabelled"')
    assert [state for state, _ in found] == ["ok"]


def test_the_doctor_names_what_tells_cpu_on_each_node_however_it_is_scraped(
    store: str, tmp_path: Path
) -> None:
    found = examined(
        store, tmp_path, ON_TWO_NODES, about="CPU by node", matchers='cluster="two nodes"'
    )
    (said,) = (text for _, text in found)
    assert "n-1" in said
    assert "n-2" in said


@pytest.mark.parametrize("name", SCHEDULED)
def test_the_doctor_says_if_kube_scheduler_is_scraped_no_more(
    store: str, tmp_path: Path, name: str
) -> None:
    case, right = SCHEDULED[name]
    found = examined(store, tmp_path, case, about="sizes", matchers=f'cluster="{name}"')
    assert [state for state, _ in found] == [state for state, _ in right]
    assert all(said in text for (_, text), (_, said) in zip(found, right, strict=True))


def examined(
    store: str,
    folder: Path,
    case: Case,
    record: object = None,
    about: str = "accelerators",
    **prometheus: str,
) -> list[tuple[str, str]]:
    text = {
        "site_name": "SITE",
        "database_url": f"sqlite:///{folder}/a.db",
        "prometheus": {"url": store, "namespace": case.name, **prometheus},
        "record": record or {},
    }
    file = folder / "settings.yaml"
    file.write_text(json.dumps(text))
    findings = examine(load(file), START + LIFE)
    return [(one.state, one.what) for one in findings if one.name == about]
