"""The chart egi-notebooks: its parts fit together, and each can be left out."""

import re
from pathlib import Path

import pytest

from tests.chart import helm, manifests, upstream
from tests.chart.helm import refusal, render
from tests.chart.umbrella import (
    CHART,
    PRODUCTION,
    own,
    values_of,
)

CASES = sorted(CHART.glob("ci/*-values.yaml"))
BESIDE = CHART / "ci" / "beside-values.yaml"
PARTS = ("jupyterhub", "prometheus", "notebooks-accounting")


def preset(case: Path) -> list[Path]:
    """The preset that a case is given after, if there is one of its name."""
    file = CHART / "presets" / f"{case.stem.removesuffix('-values')}.yaml"
    return [file] if file.exists() else []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_case_makes_manifests_that_kubernetes_takes_and_confined_pods(
    chart: Path, case: Path
) -> None:
    given = [*preset(case), case]
    values = [argument for file in given for argument in ("--values", file)]
    assert helm.run("lint", "--strict", chart, *values).returncode == 0
    made = render(chart, *given)
    ours = own(made)
    assert ours
    versions = manifests.VERSIONS if not upstream.is_real() else manifests.VERSIONS[4:]
    found = {v: [f for m in made for f in manifests.faults(m, v)] for v in versions}
    assert {version: faults for version, faults in found.items() if faults} == {}
    pods = manifests.pods(ours)
    assert {
        name: faults for name, pod in pods.items() if (faults := manifests.unconfined(pod))
    } == {}


def test_each_preset_has_a_case() -> None:
    assert [file for case in CASES for file in preset(case)] == sorted(CHART.glob("presets/*"))


def test_a_whole_namespace_is_as_restricted_as_pod_security_asks(chart: Path) -> None:
    case = CHART / "ci" / "restricted-values.yaml"
    made = render(chart, *preset(case), case)
    pods = manifests.pods(made)
    found = {name: faults for name, pod in pods.items() if (faults := manifests.unrestricted(pod))}
    assert found == {}
    if upstream.is_real():
        assert len(pods) > 14
    hub = values_of(made, "jupyterhub")
    assert hub["singleuser"]["cloudMetadata"]["blockWithIptables"] is False
    # KubeSpawner makes the users' servers of these.
    spawner = hub["hub"]["config"]["KubeSpawner"]
    server = {
        "securityContext": spawner["pod_security_context"],
        "containers": [
            {
                "name": "notebook",
                "securityContext": {
                    "allowPrivilegeEscalation": spawner["allow_privilege_escalation"],
                    **spawner["container_security_context"],
                },
            }
        ],
    }
    assert manifests.unrestricted(server) == []


def test_on_openshift_the_platform_chooses_users_and_groups(chart: Path) -> None:
    case = CHART / "ci" / "openshift-values.yaml"
    made = render(chart, *preset(case), case)
    for name, pod in manifests.pods(made).items():
        contexts = [pod, *pod.get("initContainers", []), *pod["containers"]]
        for context in contexts:
            chosen = context.get("securityContext") or {}
            given = {key for key in ("runAsUser", "runAsGroup", "fsGroup") if chosen.get(key)}
            assert given == set(), (name, context.get("name"))
    assert values_of(made, "jupyterhub")["singleuser"].get("uid") is None


def test_a_hub_behind_a_gateway_has_no_ingress(chart: Path) -> None:
    made = render(chart, CHART / "ci" / "kube-prometheus-stack-values.yaml")
    hub = values_of(made, "jupyterhub")
    assert (hub["ingress"]["enabled"], hub["httpRoute"]["enabled"]) == (False, True)
    if upstream.is_real():
        routes = [m["spec"]["hostnames"] for m in made if m["kind"] == "HTTPRoute"]
        assert ["notebooks.example.org"] in routes
    assert len([m for m in made if m["kind"] == "ServiceMonitor"]) == 3
    assert not [m for m in made if m["metadata"]["name"] == "egi-notebooks-alerts"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_be_left_out(chart: Path, part: str) -> None:
    given = (f"{part}.enabled=false", "notebooks-accounting.prometheus.url=http://thanos:9090")
    names = {m["metadata"]["name"] for m in render(chart, PRODUCTION, settings=given)}
    for other in PARTS:
        there = {f"values-of-{other}", other} & names
        assert bool(there) is (other != part), other


def test_beside_a_hub_and_a_prometheus_only_accounting_is_installed(chart: Path) -> None:
    made = render(chart, BESIDE)
    assert {m["metadata"]["labels"]["app.kubernetes.io/name"] for m in made} == {
        "notebooks-accounting"
    }


@pytest.mark.skipif(not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS")
def test_releases_of_different_names_share_no_object_of_the_cluster(chart: Path) -> None:
    """Nor does one beside the chart prometheus, installed as ``prometheus``."""
    made = [
        {(m["kind"], m["metadata"]["name"]) for m in render(chart, PRODUCTION, release=release)}
        for release in ("one", "two")
    ]
    shared = {kind for kind, name in made[0] & made[1] if kind.startswith("Cluster")}
    assert shared == set()
    assert ("ClusterRole", "prometheus-server") not in made[0]


def test_the_images_are_all_from_one_registry_or_the_lines_to_write_are_said(
    chart: Path,
) -> None:
    given = ("global.imageRegistry=registry.example.org",)
    said = refusal(chart, PRODUCTION, settings=given)
    lines = re.findall(r"((?:jupyterhub|prometheus)[.\w-]+): (registry.example.org/\S+)", said)
    assert ("jupyterhub.hub.image.name", f"{given[0][21:]}/eginotebooks/notebooks-hub") in lines
    assert len(lines) == 10
    made = render(
        chart, PRODUCTION, settings=(*given, *(f"{field}={image}" for field, image in lines))
    )
    images = {
        container["image"]
        for pod in manifests.pods(made).values()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    }
    assert images
    assert [image for image in images if not image.startswith("registry.example.org/")] == []
