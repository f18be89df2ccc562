"""What the doctor says of accelerators, by the labels that nodes show."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.config import load
from accounting.doctor.examination import examine
from tests.exactness.test_exact_accelerators import SLICED, holding
from tests.exactness.test_exact_cases import LIFE, START, Case, served

GPU_PARTS = "nvidia_com_gpu_shared"
CLUSTERS = {
    "labelled": (holding(240, GPU_PARTS, 1, **SLICED), "ok", "nodes tell of nvidia_com_gpu_shared"),
    "unlabelled": (holding(241, GPU_PARTS, 1), "warning", "each counts as a whole one"),
    "model-less": (holding(242, "amd_com_gpu", 1), "warning", "no label of a node tells the model"),
    "strange": (holding(243, "example_com_dongle", 1), "warning", "no rule knows"),
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


def examined(
    store: str, folder: Path, case: Case, record: object = None, **prometheus: str
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
    return [(one.state, one.what) for one in findings if one.name == "accelerators"]
