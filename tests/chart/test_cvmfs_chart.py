"""CVMFS as a value of the chart: from there to the pod of a user."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import manifests
from tests.chart.helm import Manifest, find, refusal, render
from tests.chart.umbrella import CHART, assembled, configured, values_of
from tests.hub.pods import Users, manifest_of, spawner_of, with_users
from tests.kubernetes.standin import KubernetesStandin

PRODUCTION = CHART / "ci" / "production-values.yaml"
ON = "jupyterhub.custom.cvmfs.enabled=true"


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(tmp_path_factory.mktemp("umbrella"))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path / "cluster") as running:
        yield running


def of_cvmfs(made: list[Manifest]) -> list[str]:
    kinds = ("PersistentVolumeClaim", "StorageClass")
    return [m["kind"] for m in made if m["kind"] in kinds and "cvmfs" in m["metadata"]["name"]]


def pods(cluster: KubernetesStandin, made: list[Manifest], *profiles: str) -> list[dict[str, Any]]:
    """The pods that a hub with these values starts for a member of vo.notebooks.egi.eu."""
    values = values_of(made, "jupyterhub")
    spawner = configured(values).EGISpawner
    group = "urn:mace:egi.eu:group:vo.notebooks.egi.eu:role=member#aai.egi.eu"

    async def work(users: Users) -> list[dict[str, Any]]:
        user = await users.user("alice", [group])
        return [await manifest_of(spawner_of(user, profile=profile)) for profile in profiles]

    profile_list = values["singleuser"]["profileList"]
    found: list[dict[str, Any]] = with_users(cluster, work, profile_list=profile_list, **spawner)
    return found


def mounted(pod: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    return [mount for mount in mounts if mount["name"] == "cvmfs"]


def test_one_value_brings_cvmfs_into_every_notebook(
    chart: Path, cluster: KubernetesStandin
) -> None:
    made = render(chart, PRODUCTION, settings=(ON,))
    claim = find(made, "PersistentVolumeClaim", "cvmfs")
    storage = find(made, "StorageClass", claim["spec"]["storageClassName"])
    assert storage["provisioner"] == "cvmfs.csi.cern.ch"
    assert claim["spec"]["accessModes"] == ["ReadOnlyMany"]
    assert [f for m in (claim, storage) for f in manifests.faults(m, manifests.VERSIONS[-1])] == []
    for pod in pods(cluster, made, "small", "large"):
        assert manifests.faults(pod, manifests.VERSIONS[-1]) == []
        (volume,) = (v for v in pod["spec"]["volumes"] if v["name"] == "cvmfs")
        source = {"claimName": claim["metadata"]["name"], "readOnly": True}
        assert volume["persistentVolumeClaim"] == source
        assert mounted(pod) == [
            {
                "name": "cvmfs",
                "mountPath": "/cvmfs",
                "readOnly": True,
                "mountPropagation": "HostToContainer",
            }
        ]


def test_it_can_be_for_some_profiles_and_of_some_repositories_only(
    chart: Path, cluster: KubernetesStandin, tmp_path: Path
) -> None:
    wanted = {
        "enabled": True,
        "repositories": ["software.example.org", "data.example.org"],
        "profiles": ["large"],
        "vo_claims": ["vo.notebooks.egi.eu"],
    }
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"jupyterhub": {"custom": {"cvmfs": wanted}}}))
    small, large = pods(cluster, render(chart, PRODUCTION, file), "small", "large")
    assert mounted(small) == []
    assert "cvmfs" not in {volume["name"] for volume in small["spec"]["volumes"]}
    assert [(mount["mountPath"], mount["subPath"]) for mount in mounted(large)] == [
        ("/cvmfs/software.example.org", "software.example.org"),
        ("/cvmfs/data.example.org", "data.example.org"),
    ]
    assert {mount["readOnly"] for mount in mounted(large)} == {True}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), []),
        (("jupyterhub.custom.cvmfs=null",), []),
        ((ON, "jupyterhub.enabled=false"), []),
        ((ON, "jupyterhub.custom.cvmfs.createClaim=false"), []),
        ((ON, "jupyterhub.custom.cvmfs.storageClass=cvmfs"), ["PersistentVolumeClaim"]),
    ],
)
def test_what_is_there_already_or_not_wanted_is_not_made(
    chart: Path, settings: tuple[str, ...], expected: list[str]
) -> None:
    assert of_cvmfs(render(chart, PRODUCTION, settings=settings)) == expected


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("enabled=maybe", "enabled is neither true nor false"),
        ("claimName=cvmfs", "claimName is not a value: use enabled, claim"),
        ("claim=null", "claim is empty"),
        ("profiles={huge}", "has huge, which is the slug of no profile: use small, large"),
        ("repositories=software.example.org", "repositories is not a list"),
    ],
)
def test_a_wrong_value_is_refused_with_the_cure(chart: Path, setting: str, said: str) -> None:
    given = (ON, f"jupyterhub.custom.cvmfs.{setting}")
    assert said in refusal(chart, PRODUCTION, settings=given)
