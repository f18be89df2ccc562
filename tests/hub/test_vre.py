"""D4Science's spawner: what its authenticator says becomes a pod."""

from typing import Any

import pytest
from traitlets import TraitError

from hub.spawner.d4science import (
    D4ScienceSpawner,
    safe_profiles,
    with_context,
    with_volumes,
    with_workspace,
)
from hub.spawner.manifests import Parts
from tests.hub.pods import Users, manifest_of, spawner_of, tokens_in, with_users
from tests.kubernetes.standin import KubernetesStandin

CONTEXT = "/example.org/Research/Lab"
STATE: dict[str, Any] = {
    "access_token": "an access token",
    "context": CONTEXT,
    "context_token": "a workspace token",
    "volumes": {"Dataspace": False, "Shared": True, "unknown here": True},
    "profiles": [
        {
            "display_name": "Lab",
            "slug": "lab",
            "kubespawner_override": {"image": "example.org/vre:1", "privileged": True},
        }
    ],
}
NFS = {"nfs": {"server": "nfs.example.org", "path": "/vre"}}
MAPPINGS = {
    "Dataspace": {"mount_path": "/home/jovyan/dataspace", "volume": NFS},
    "Shared": {"mount_path": "/home/jovyan/shared", "volume": NFS},
}
TOKEN_KEY = {"name": "access-token-1", "key": "d4science_token", "optional": True}


def test_the_context_is_told_to_notebook_and_accounting_and_the_token_stays_in_the_secret() -> None:
    token = {"valueFrom": {"secretKeyRef": TOKEN_KEY}}
    assert with_context(Parts(), CONTEXT, "access-token-1") == Parts(
        environment={
            "D4SCIENCE_TOKEN": token,
            "GCUBE_TOKEN": token,
            "D4SCIENCE_CONTEXT": CONTEXT,
            "GCUBE_CONTEXT": CONTEXT,
            "VRE": "Lab",
        },
        extra_annotations={"d4science_context": CONTEXT},
    )


def test_volumes_that_the_configuration_knows_are_mounted_as_the_user_may() -> None:
    assert with_volumes(Parts(), STATE["volumes"], MAPPINGS) == Parts(
        volumes=({"name": "d4science-0", **NFS}, {"name": "d4science-1", **NFS}),
        volume_mounts=(
            {"name": "d4science-0", "mountPath": "/home/jovyan/dataspace", "readOnly": True},
            {"name": "d4science-1", "mountPath": "/home/jovyan/shared", "readOnly": False},
        ),
    )


def test_the_workspace_is_mounted_by_a_side_car() -> None:
    parts = with_workspace(Parts(), "example.org/storage:1", "/workspace", "access-token-1")
    (sidecar,) = parts.extra_containers
    assert sidecar["volumeMounts"] == [
        {
            "name": "d4science-workspace",
            "mountPath": "/workspace",
            "mountPropagation": "Bidirectional",
        }
    ]
    assert parts.volume_mounts[0]["mountPropagation"] == "HostToContainer"


def test_an_information_system_decides_about_image_processors_and_memory_only() -> None:
    (profile,) = safe_profiles(STATE["profiles"])
    assert profile["kubespawner_override"] == {"image": "example.org/vre:1"}


def test_the_pod_is_one_that_kubernetes_takes(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> dict[str, Any]:
        return await manifest_of(spawner_of(await users.user("alice", **STATE)))

    pod = with_users(
        cluster,
        work,
        D4ScienceSpawner,
        sidecar_image="example.org/storage:1",
        volume_mappings=MAPPINGS,
    )
    cluster.create(pod)
    notebook, sidecar = pod["spec"]["containers"]
    assert notebook["image"] == "example.org/vre:1"
    assert {"name": "GCUBE_TOKEN", "valueFrom": {"secretKeyRef": TOKEN_KEY}} in notebook["env"]
    assert sidecar["name"] == "d4science-workspace"
    assert (
        pod["metadata"]["annotations"].items()
        >= {
            "d4science_context": CONTEXT,
            "egi.eu/flavor": "lab",
        }.items()
    )
    assert tokens_in(cluster, "access-token-1") == {
        "access_token": "an access token",
        "d4science_token": "a workspace token",
    }
    assert "a workspace token" not in str(pod)


def test_a_wrong_mapping_stops_the_hub_with_its_name(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> None:
        spawner_of(await users.user("alice"))

    wrong = {"Shared": {"path": "/x", "volume": NFS}}
    with pytest.raises(TraitError, match=r"'Shared'\] needs 'mount_path' and 'volume'"):
        with_users(cluster, work, D4ScienceSpawner, volume_mappings=wrong)
