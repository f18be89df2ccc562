"""The stand-in against kubernetes_asyncio, the client that KubeSpawner uses."""

import asyncio
import base64
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio import client, config, watch

from tests.kubernetes.standin import KubernetesStandin

Work = Callable[[Any], Awaitable[Any]]
SECONDS = 60


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path / "cluster") as running:
        yield running


@asynccontextmanager
async def api(cluster: KubernetesStandin) -> AsyncIterator[Any]:
    settings = client.Configuration()
    await config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    async with client.ApiClient(settings) as connection:
        yield client.CoreV1Api(connection)


def with_api(cluster: KubernetesStandin, work: Work) -> Any:
    async def inside() -> Any:
        try:
            async with api(cluster) as core:
                return await asyncio.wait_for(work(core), SECONDS)
        finally:
            await cluster.left()

    return asyncio.run(inside())


def pod(name: str = "one", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "example.org/one"}], **spec},
    }


def claim(name: str = "home") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def secret(**data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "data": encoded}


def mounting(name: str, source: dict[str, Any], path: str = "/home/jovyan") -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "example.org/one",
        "volumeMounts": [{"name": name, "mountPath": path}],
    }
    return {"volumes": [{"name": name, **source}], "containers": [container]}


async def refused(work: Awaitable[Any]) -> tuple[int, str]:
    with pytest.raises(client.ApiException) as caught:
        await work
    return caught.value.status, str(caught.value.body)


async def eventually(core: Any, condition: Callable[[Any], Any]) -> None:
    """Until the status of the pod is so."""
    async with watch.Watch() as watcher:
        async for event in watcher.stream(core.list_namespaced_pod, "hub"):
            if condition(event["object"].status):
                return


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def test_a_watch_follows_a_pod_from_pending_to_running_and_away(cluster: KubernetesStandin) -> None:
    async def work(core: Any) -> list[tuple[str, str]]:
        listed = await core.list_namespaced_pod("hub")
        await core.create_namespaced_pod("hub", pod())
        seen = []
        async with watch.Watch() as watcher:
            stream = watcher.stream(
                core.list_namespaced_pod,
                "hub",
                resource_version=listed.metadata.resource_version,
                label_selector="app=one",
            )
            async for event in stream:
                raw = event["raw_object"]
                seen.append((event["type"], raw["status"]["phase"]))
                if len(seen) == 2:
                    assert raw["status"]["containerStatuses"][0]["imageID"]
                    await core.delete_namespaced_pod("one", "hub", grace_period_seconds=1)
                if event["type"] == "DELETED":
                    break
        return seen

    assert with_api(cluster, work) == [
        ("ADDED", "Pending"),
        ("MODIFIED", "Running"),
        ("MODIFIED", "Running"),  # with a deletionTimestamp
        ("DELETED", "Running"),
    ]


def test_a_watch_sees_an_object_leave_its_selection(cluster: KubernetesStandin) -> None:
    async def work(core: Any) -> None:
        await core.create_namespaced_pod("hub", pod())
        async with watch.Watch() as watcher:
            stream = watcher.stream(core.list_namespaced_pod, "hub", label_selector="app=one")
            async for event in stream:
                if event["type"] == "ADDED":
                    patch = {"metadata": {"labels": {"app": None}}}
                    await core.patch_namespaced_pod("one", "hub", patch)
                if event["type"] == "DELETED":
                    break

    with_api(cluster, work)
    assert cluster.get("pods", "one")["metadata"]["labels"] == {}


def test_a_watch_from_a_forgotten_version_is_told_that_it_is_gone(
    cluster: KubernetesStandin,
) -> None:
    async def work(core: Any) -> None:
        version = (await core.list_namespaced_pod("hub")).metadata.resource_version
        await core.create_namespaced_pod("hub", pod())
        cluster.forget()
        async with watch.Watch() as watcher:
            stream = watcher.stream(core.list_namespaced_pod, "hub", resource_version=version)
            async for _ in stream:
                pytest.fail("nothing can be told from a version that is forgotten")

    with pytest.raises(client.ApiException) as caught:
        with_api(cluster, work)
    assert caught.value.status == 410


def test_conflicts_and_missing_things_are_told_as_kubernetes_does(
    cluster: KubernetesStandin,
) -> None:
    async def work(core: Any) -> None:
        made = await core.create_namespaced_secret("hub", secret(a="1"))
        code, body = await refused(core.create_namespaced_secret("hub", secret(a="1")))
        assert (code, '"AlreadyExists"' in body) == (409, True)
        made.data = secret(a="2")["data"]
        await core.replace_namespaced_secret("token", "hub", made)
        code, body = await refused(core.replace_namespaced_secret("token", "hub", made))
        assert (code, "the object has been modified" in body) == (409, True)
        code, body = await refused(core.read_namespaced_secret("other", "hub"))
        assert (code, '"NotFound"' in body) == (404, True)
        code, _ = await refused(core.create_namespaced_secret("nowhere", secret()))
        assert code == 404

    with_api(cluster, work)


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({"metadata": {"name": "One"}}, 422, "RFC 1123"),
        ({"metadata": {"name": "one", "labels": {"u": "x" * 64}}}, 422, "63 characters"),
        ({"metadata": {"name": "one", "labels": {"u": "a@b"}}}, 422, "63 characters"),
        ({"metadata": {"name": "one", "annotations": {"a": 1}}}, 422, "annotations"),
        ({"spec": {"containers": []}, "speck": 1}, 400, "speck"),
        ({"spec": {"containers": [{"name": "main", "immage": "x"}]}}, 400, "immage"),
        ({"spec": {**mounting("home", {"emptyDir": {}}), "volumes": []}}, 422, "Not found"),
    ],
)
def test_what_kubernetes_would_not_take_is_refused(
    cluster: KubernetesStandin, change: dict[str, Any], code: int, why: str
) -> None:
    async def work(core: Any) -> None:
        status, body = await refused(core.create_namespaced_pod("hub", pod() | change))
        assert (status, why in body) == (code, True), body

    with_api(cluster, work)


def test_a_pod_waits_for_its_claim_and_the_claim_outlives_it(cluster: KubernetesStandin) -> None:
    source = {"persistentVolumeClaim": {"claimName": "home"}}

    async def work(core: Any) -> None:
        await core.create_namespaced_pod("hub", pod(**mounting("home", source)))
        await eventually(core, lambda status: status.conditions)
        await core.create_namespaced_persistent_volume_claim("hub", claim())
        await eventually(core, lambda status: status.phase == "Running")
        await core.delete_namespaced_persistent_volume_claim("home", "hub")
        found = await core.read_namespaced_persistent_volume_claim("home", "hub")
        assert found.metadata.deletion_timestamp  # protected while it is in use
        await core.delete_namespaced_pod("one", "hub")

    with_api(cluster, work)
    until(lambda: not cluster.all("persistentvolumeclaims"))
    assert cluster.all("persistentvolumes") == []


def test_what_an_owner_owned_goes_with_it(cluster: KubernetesStandin) -> None:
    owner = cluster.create(pod())["metadata"]
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "one", "uid": owner["uid"]}
    owned = secret(a="1")
    owned["metadata"]["ownerReferences"] = [reference]
    cluster.create(owned)
    cluster.remove("pods", "one")
    assert cluster.find("secrets", "token") is None


def test_faults_hit_the_calls_that_they_are_for(cluster: KubernetesStandin) -> None:
    lost = cluster.fail(500, "create", "secrets", after=True)
    cluster.fail(403, "get", "secrets", calls=2)
    cluster.slow(0.3, "list", "pods")

    async def work(core: Any) -> None:
        assert (await refused(core.create_namespaced_secret("hub", secret())))[0] == 500
        assert (await refused(core.read_namespaced_secret("token", "hub")))[0] == 403
        assert (await refused(core.read_namespaced_secret("token", "hub")))[0] == 403
        await core.read_namespaced_secret("token", "hub")  # the answer was lost, not the secret
        begin = time.monotonic()
        await core.list_namespaced_pod("hub")
        assert time.monotonic() - begin >= 0.3

    with_api(cluster, work)
    assert lost.hits == 1
    assert [(request.verb, request.name) for request in cluster.requests] == [
        ("create", ""),
        *[("get", "token")] * 3,
        ("list", ""),
    ]


def test_nobody_gets_in_without_the_token(cluster: KubernetesStandin) -> None:
    context = ssl.create_default_context(cafile=cluster.folder / "pki" / "ca.pem")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{cluster.url}/api", context=context)  # noqa: S310 - our own server
    caught.value.close()
    assert caught.value.code == 401


def test_a_pod_that_is_really_run_finds_its_volumes_and_sees_secrets_change(
    tmp_path: Path,
) -> None:
    program = (
        "cp /var/run/secrets/example.org/a first; "
        "while cmp -s /var/run/secrets/example.org/a first; do sleep 0.05; done; "
        "cat /var/run/secrets/example.org/a > second; echo $WORD; exit 3"
    )
    container = {
        "name": "main",
        "image": "example.org/one",
        "command": ["sh", "-c", program],
        "env": [{"name": "WORD", "value": "seen"}],
        "volumeMounts": [
            {"name": "home", "mountPath": "/home/jovyan"},
            {"name": "token", "mountPath": "/var/run/secrets/example.org", "readOnly": True},
        ],
    }
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "home"}},
        {"name": "token", "secret": {"secretName": "token"}},
    ]
    with KubernetesStandin(tmp_path / "cluster", run_pods=True) as cluster:
        cluster.create(claim())
        made = cluster.create(secret(a="one"))
        cluster.create(pod(containers=[container], volumes=volumes))
        home = cluster.claim_folder("home")
        until(lambda: (home / "first").exists() and (home / "first").read_text() == "one")
        cluster.replace(made | {"data": secret(a="two")["data"]})
        ended = until(
            lambda: (
                cluster.get("pods", "one")["status"].get("phase") == "Failed"
                and cluster.get("pods", "one")["status"]
            )
        )
        assert ended["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
        assert cluster.log_of("one") == "seen\n"
    assert (home / "second").read_text() == "two"
