"""What the configuration adds to some pods."""

from typing import Any

import pytest
from traitlets import TraitError
from traitlets.config import Config

from tests.hub.cloud import FRAGMENTS
from tests.hub.pods import Users, manifest_of, spawner_of, with_users
from tests.kubernetes.standin import KubernetesStandin


def test_side_cars_and_volumes_come_from_the_configuration(cluster: KubernetesStandin) -> None:
    rclone = {"name": "rclone", "image": "example.org/rclone:1"}
    addition = {
        "vo_claims": ["vo.example.org"],
        "volumes": [{"name": "dav", "emptyDir": {}}],
        "volume_mounts": [{"name": "dav", "mountPath": "/home/jovyan/dav"}],
        "extra_containers": [rclone],
        "environment": {"DAV_USER": "{unescaped_username}"},
    }

    async def work(users: Users) -> list[dict[str, Any]]:
        member = await users.user("alice", ["vo.example.org"])
        other = await users.user("bob")
        return [await manifest_of(spawner_of(user)) for user in (member, other)]

    member, other = with_users(cluster, work, additions=[addition])
    notebook, sidecar = member["spec"]["containers"]
    assert {"name": "DAV_USER", "value": "alice"} in notebook["env"]
    assert sidecar == {
        **rclone,
        "volumeMounts": [
            {"name": "secret-1", "mountPath": "/var/run/secrets/egi.eu/", "readOnly": True}
        ],
    }
    assert [volume["name"] for volume in member["spec"]["volumes"]] == [
        "home",
        "dav",
        "secret-1",
        "secret-1-user",
    ]
    assert [container["name"] for container in other["spec"]["containers"]] == ["notebook"]
    cluster.create(member)  # and Kubernetes takes it


def test_a_wrong_addition_stops_the_hub_with_its_place(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> None:
        spawner_of(await users.user("alice"))

    with pytest.raises(TraitError, match=r"EGISpawner.additions\[1\]: unknown key 'volume'"):
        with_users(cluster, work, additions=[{}, {"volume": []}])


def test_the_documented_additions_make_a_pod_that_kubernetes_takes(
    cluster: KubernetesStandin,
) -> None:
    config = Config()
    for name in ("spawner", "additions"):
        text = (FRAGMENTS / f"{name}.py").read_text(encoding="utf-8")
        exec(compile(text, name, "exec"), {"get_config": lambda: config})  # noqa: S102 - our own

    async def work(users: Users) -> dict[str, Any]:
        user = await users.user("alice", ["vo.example.org"])
        return await manifest_of(spawner_of(user, profile="large"))

    pod = with_users(cluster, work, **config.EGISpawner)
    cluster.create(pod)
    names = [container["name"] for container in pod["spec"]["containers"]]
    assert names == ["notebook", "webdav", "datahub"]
    for sidecar in pod["spec"]["containers"][1:]:
        paths = [mount["mountPath"] for mount in sidecar["volumeMounts"]]
        assert "/var/run/secrets/egi.eu/" in paths


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"claims": ["cvmfs"]}, "unknown key 'claims'"),
        ({"claim": "CVMFS"}, "not the name of a PersistentVolumeClaim"),
        ({"path": "cvmfs"}, "not an absolute path"),
        ({"path": "/"}, "not an absolute path"),
        ({"repositories": "software.example.org"}, "'repositories' is not a list"),
        ({"repositories": ["../secret"]}, "not a repository"),
        ({"repositories": ["software"]}, "not a repository"),
        ({"profiles": [1]}, "'profiles' is not a list of texts"),
    ],
)
def test_a_wrong_setting_of_cvmfs_stops_the_hub(
    cluster: KubernetesStandin, given: dict[str, Any], said: str
) -> None:
    async def work(users: Users) -> None:
        spawner_of(await users.user("alice"))

    with pytest.raises(TraitError, match=said):
        with_users(cluster, work, cvmfs=given)
