"""The complete deployment in a real cluster, with the real charts where ``UPSTREAM_CHARTS`` is set.

Otherwise what stands in for them is installed: then the charts of this project are what is tried.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.chart import upstream
from tests.chart.umbrella import CHART, assembled
from tests.cluster.conftest import Cluster, namespace_manifest
from tests.cluster.release import Release

CASES = sorted(file.stem.removesuffix("-values") for file in CHART.glob("ci/*-values.yaml"))
DEMO = CHART / "ci" / "demo-values.yaml"


@pytest.fixture(scope="module")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(tmp_path_factory.mktemp("umbrella"))


@pytest.fixture
def notebooks(cluster: Cluster, namespace: str) -> Release:
    return Release("egi", namespace, cluster.kubeconfig, cluster.client)


def values(case: str) -> list[Path]:
    """A case's values, after the preset of its name if there is one."""
    preset = CHART / "presets" / f"{case}.yaml"
    return [*([preset] if preset.exists() else []), CHART / "ci" / f"{case}-values.yaml"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("operators_kinds")
def test_each_case_is_installed_gets_ready_and_goes(
    umbrella: Path, notebooks: Release, cluster: Cluster, case: str
) -> None:
    if case == "restricted":
        cluster.client.apply(namespace_manifest(notebooks.namespace, enforce="restricted"))
    notebooks.deploy(umbrella, *values(case))
    assert notebooks.deployments()
    assert all(notebooks.available())
    assert notebooks.refusals() == []
    if upstream.is_real() and case != "beside":
        assert {"hub", "proxy"} <= names(notebooks)
    notebooks.uninstall()
    assert notebooks.deployments() == []


def test_the_whole_goes_to_other_settings_and_back(umbrella: Path, notebooks: Release) -> None:
    notebooks.deploy(umbrella, DEMO)
    before = templates(notebooks)
    secrets = {one["metadata"]["name"]: one["data"] for one in notebooks.objects("secrets")}
    notebooks.deploy(umbrella, DEMO, **{"notebooks-accounting__siteName": "OTHER"})
    assert templates(notebooks) != before
    notebooks.rollback(1)
    assert templates(notebooks) == before
    assert all(notebooks.available())
    found = {one["metadata"]["name"]: one["data"] for one in notebooks.objects("secrets")}
    assert found == secrets


def names(release: Release) -> set[str]:
    return {one["metadata"]["name"] for one in release.deployments()}


def templates(release: Release) -> dict[str, Any]:
    """What the pods of each Deployment are made from."""
    return {one["metadata"]["name"]: one["spec"]["template"] for one in release.deployments()}
