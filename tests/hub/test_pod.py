"""A server's pod, as Kubernetes is sent it."""

from typing import Any

import pytest
from kubernetes_asyncio.client import V1Capabilities, V1Container, V1SecurityContext

from accounting.measure.promql import ksm
from hub.spawner import EGISpawner
from tests.hub.pods import (
    PROFILES,
    TOKENS,
    Users,
    manifest_of,
    spawner_of,
    tokens_in,
    with_users,
)
from tests.kubernetes.standin import KubernetesStandin

ODD_NAMES = [
    "x" * 300,
    "alice@example.org",
    "Zoë Ünïcode Œuvre",
    "0123456789abcdef" * 4 + "@egi.eu",
    "-._{userid}{{",
    "7",
]


def test_the_pod_is_as_a_whole_what_it_should_be(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> dict[str, Any]:
        user = await users.user("alice", ["vo.example.org"], primary_group="vo.example.org")
        return await manifest_of(spawner_of(user, "work", profile="big"))

    pod = with_users(cluster, work, profile_list=PROFILES, mount_secrets_volume=True)
    (container,) = pod["spec"]["containers"]
    environment = {entry["name"]: entry["value"] for entry in container.pop("env")}
    assert (
        environment.items()
        >= {
            "SIZE": "big",
            "SECRETS_MOUNT_PATH": "/var/run/secrets/egi.eu/",
            "SECRETS_VOLUME_MOUNTED": "1",
        }.items()
    )
    assert pod == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "jupyter-alice--work",
            "annotations": {
                "hub.jupyter.org/username": "alice",
                "hub.jupyter.org/servername": "work",
                "hub.jupyter.org/kubespawner-version": pod["metadata"]["annotations"][
                    "hub.jupyter.org/kubespawner-version"
                ],
                "hub.jupyter.org/jupyterhub-version": pod["metadata"]["annotations"][
                    "hub.jupyter.org/jupyterhub-version"
                ],
                "egi.eu/primary_group": "vo.example.org",
                "egi.eu/flavor": "big",
            },
            "labels": {
                "app": "jupyterhub",
                "app.kubernetes.io/name": "jupyterhub",
                "app.kubernetes.io/managed-by": "kubespawner",
                "app.kubernetes.io/component": "singleuser-server",
                "heritage": "jupyterhub",
                "component": "singleuser-server",
                "hub.jupyter.org/servername": "work",
                "egi.eu/userid": "1",
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "OnFailure",
            "imagePullSecrets": [],
            "volumes": [
                {"name": "home", "persistentVolumeClaim": {"claimName": "claim-1"}},
                {
                    "name": "secret-1-user",
                    "secret": {"secretName": "access-token-1", "optional": True},
                },
            ],
            "containers": [
                {
                    "name": "notebook",
                    "image": "example.org/lab:1",
                    "lifecycle": {},
                    "ports": [{"name": "notebook-port", "containerPort": 8888}],
                    "resources": {"limits": {}, "requests": {"memory": 8 * 1024**3}},
                    "securityContext": {"allowPrivilegeEscalation": False},
                    "volumeMounts": [
                        {"name": "home", "mountPath": "/home/jovyan"},
                        {
                            "name": "secret-1-user",
                            "mountPath": "/var/run/secrets/egi.eu/",
                            "readOnly": True,
                        },
                    ],
                }
            ],
        },
    }


def test_a_container_may_be_an_object_as_in_zero_to_jupyterhub_s_own_configuration(
    cluster: KubernetesStandin,
) -> None:
    """So it blocks the cloud's metadata, unless told otherwise."""

    async def work(users: Users) -> dict[str, Any]:
        return await manifest_of(spawner_of(await users.user("alice")))

    rights = V1Capabilities(add=["NET_ADMIN"])
    context = V1SecurityContext(privileged=True, run_as_user=0, capabilities=rights)
    block = V1Container(name="block", image="example.org/iptables:1", security_context=context)
    pod = with_users(cluster, work, init_containers=[block], profile_list=PROFILES)
    assert pod["spec"]["initContainers"] == [
        {
            "name": "block",
            "image": "example.org/iptables:1",
            "securityContext": {
                "privileged": True,
                "runAsUser": 0,
                "capabilities": {"add": ["NET_ADMIN"]},
            },
        }
    ]


def within_reach(pod: dict[str, Any]) -> dict[str, Any]:
    """What a process in the notebook's container can read, as a visitor's code can.

    All of its environment and the volumes that it mounts; others' processes with them, if the pod
    shares its processes.
    """
    spec = pod["spec"]
    seen = spec["containers"] if spec.get("shareProcessNamespace") else spec["containers"][:1]
    mounted = {mount["name"] for container in seen for mount in container["volumeMounts"]}
    return {
        "environment": [entry for container in seen for entry in container["env"]],
        "volumes": [volume for volume in spec["volumes"] if volume["name"] in mounted],
        "account": spec.get("automountServiceAccountToken", True),
    }


@pytest.mark.parametrize("shown", [False, True])
def test_a_visitor_of_a_shared_server_reads_the_owner_s_tokens_only_where_they_are_mounted(
    cluster: KubernetesStandin, shown: bool
) -> None:
    sidecars: dict[str, Any] = {
        "extra_containers": [{"name": "dav", "image": "example.org/dav:1"}],
        "init_containers": [
            {"name": "fuse", "image": "example.org/fuse:1", "restartPolicy": "Always"}
        ],
    }

    async def work(users: Users) -> dict[str, Any]:
        user = await users.user("alice", refresh_token="first refresh", **TOKENS)
        spawner = spawner_of(user)
        if shown:
            spawner.mount_secrets_volume = True
        return await manifest_of(spawner)

    pod = with_users(cluster, work, **sidecars)
    assert "refresh" not in "".join(tokens_in(cluster, "access-token-1"))  # nor is it in the Secret
    assert not any(token in str(pod) for token in ("first access", "first id", "first refresh"))
    reached = within_reach(pod)
    assert reached["account"] is False
    assert ("access-token-1" in str(reached)) is shown
    documented = " ".join((EGISpawner.mount_secrets_volume.help or "").split())
    assert "Then visitors of a shared server see them, too" in documented
    assert EGISpawner.mount_secrets_volume.default_value is False


def test_the_accounting_reads_the_annotations_that_the_spawner_writes(
    cluster: KubernetesStandin,
) -> None:
    async def work(users: Users) -> dict[str, Any]:
        user = await users.user("alice", primary_group="vo.example.org")
        return await manifest_of(spawner_of(user, profile="small"))

    annotations = with_users(cluster, work, profile_list=PROFILES)["metadata"]["annotations"]
    # kube-state-metrics puts an underscore for everything that is no letter or digit
    written = {
        "annotation_" + "".join(c if c.isalnum() else "_" for c in name): value
        for name, value in annotations.items()
    }
    read = {name: written.get(name) for name in (ksm.USER, ksm.GROUP, ksm.FLAVOR)}
    assert read == {
        ksm.USER: "alice",
        ksm.GROUP: "vo.example.org",
        ksm.FLAVOR: "small",
    }


def test_a_group_that_leaves_the_user_leaves_the_next_pod(cluster: KubernetesStandin) -> None:
    """Trap 8."""

    async def work(users: Users) -> list[dict[str, str]]:
        user = await users.user("alice", primary_group="vo.example.org")
        spawner = spawner_of(user, profile="small")
        before = await manifest_of(spawner)
        await user.save_auth_state({})
        spawner.user_options = {}
        spawner.profile_list = []
        after = await manifest_of(spawner)  # the same spawner: nothing of the last start is left
        return [pod["metadata"]["annotations"] for pod in (before, after)]

    before, after = with_users(cluster, work, profile_list=PROFILES)
    assert before.keys() - after.keys() == {"egi.eu/primary_group", "egi.eu/flavor"}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_user_name_gives_valid_labels_and_starts(cluster: KubernetesStandin, name: str) -> None:
    """Trap 13."""

    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user(name, **TOKENS))
        await spawner.start()
        await spawner.stop(now=True)

    with_users(cluster, work, extra_labels={"who": "{unescaped_username}"})
    (home,) = cluster.all("persistentvolumeclaims")
    assert home["metadata"]["annotations"]["hub.jupyter.org/username"] == name
    assert tokens_in(cluster, "access-token-1") == TOKENS


def test_a_service_selects_the_pods_of_its_user_only(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> list[dict[str, str]]:
        spawners = [spawner_of(await users.user(name)) for name in ("alice", "bob")]
        return [s.get_service_manifest({}, 8888).spec.selector for s in spawners]

    first, second = with_users(cluster, work)
    assert first != second
    assert "hub.jupyter.org/username" not in first
