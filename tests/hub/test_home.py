"""One home for each user, found among claims of all kinds."""

import asyncio
from typing import Any

import pytest
from kubernetes_asyncio import client as clients
from kubespawner.slugs import escape_slug
from tornado.web import HTTPError

from hub.spawner.cluster import Cluster
from hub.spawner.home import Owners
from tests.hub.pods import (
    OLD,
    STORAGE,
    TOKENS,
    Users,
    claim,
    claim_in,
    manifest_of,
    of,
    spawner_of,
    tokens_in,
    watched,
    with_users,
)
from tests.kubernetes.standin import KubernetesStandin


def test_every_server_of_a_user_has_the_same_home_and_it_outlives_them(
    cluster: KubernetesStandin,
) -> None:
    """Trap 4."""

    async def work(users: Users) -> None:
        user = await users.user("alice")
        servers = [spawner_of(user, name) for name in ("", "work", "play")]
        await asyncio.gather(*(spawner.start() for spawner in servers))
        pods = cluster.all("pods")
        assert [claim_in(pod) for pod in pods] == ["claim-1"] * 3
        for spawner in servers:
            await spawner.stop(now=True)
        for spawner in servers[1:]:
            await spawner.delete_forever()
        assert [found["metadata"]["name"] for found in cluster.all("persistentvolumeclaims")] == [
            "claim-1"
        ]
        await servers[0].delete_forever()  # the user is deleted

    with_users(cluster, work, delete_pvc=True, pvc_name_template="claim-{userid}--{servername}")
    assert cluster.all("persistentvolumeclaims") == []


def test_a_deleted_user_leaves_the_home_but_no_tokens_unless_it_is_configured(
    cluster: KubernetesStandin,
) -> None:
    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user("alice", **TOKENS))
        await spawner.start()
        await spawner.stop(now=True)
        await spawner.delete_forever()

    with_users(cluster, work)
    assert len(cluster.all("persistentvolumeclaims")) == 1
    assert cluster.all("secrets") == []


def test_a_new_user_with_the_number_of_an_old_one_gets_a_home_and_tokens_of_their_own(
    cluster: KubernetesStandin,
) -> None:
    async def work(users: Users) -> list[str]:
        first = await users.user("alice", **TOKENS)
        pods = [await started(first)]
        users.delete(first)
        second = await users.user("bob", access_token="bob's")
        assert second.id == first.id == 1
        pods += [await started(second), await started(second)]
        return [claim_in(pod) for pod in pods]

    async def started(user: Any) -> dict[str, Any]:
        spawner = spawner_of(user)
        await spawner.start()
        (pod,) = cluster.all("pods")
        await spawner.stop(now=True)
        return pod

    first, *others = with_users(cluster, work)
    assert (first, set(others)) == ("claim-1", {"claim-1-81b637d8"})
    assert tokens_in(cluster, "access-token-1") == {"access_token": "bob's"}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], "claim-1"),
        ([claim("claim-1")], "claim-1"),
        ([claim("claim-alice", annotations=of("alice"))], "claim-alice"),
        ([claim("claim-alice")], "claim-1"),
        ([claim("claim-1", annotations=of("bob"))], "claim-1-2bd806c9"),
        ([claim("old", labels={**of("alice"), "component": "singleuser-storage"})], "old"),
        (
            [
                claim(
                    "claim-alice--work",
                    labels={**of("alice"), "component": "singleuser-storage"},
                    annotations={**of("alice"), "hub.jupyter.org/servername": "work"},
                ),
                claim(
                    "home-of-alice",
                    labels={**of("alice"), "component": "singleuser-storage"},
                    annotations=of("alice"),
                ),
            ],
            "home-of-alice",
        ),
    ],
    ids=[
        "none yet",
        "by name without annotations",
        "by an old name with the user's annotation",
        "not by an old name alone",
        "not somebody else's",
        "by label without annotations",
        "rather the user's than a server's",
    ],
)
def test_the_home_is_found_by_label_and_name_among_claims_of_all_kinds(
    cluster: KubernetesStandin, claims: list[dict[str, Any]], expected: str
) -> None:
    """Trap 5."""
    for found in (*claims, claim("claim-datasets"), claim("claim-2", annotations=of("bob"))):
        cluster.create(found)

    async def work(users: Users) -> dict[str, Any]:
        return await manifest_of(spawner_of(await users.user("alice")))

    data = {"name": "data", "persistentVolumeClaim": {"claimName": "claim-datasets"}}
    home = {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{userid}"}}
    pod = with_users(cluster, work, volumes=[home, data])
    assert claim_in(pod) == expected
    assert data in pod["spec"]["volumes"]
    lists = [r for r in cluster.requests if r.plural == "persistentvolumeclaims" and not r.name]
    selectors = [request.selector for request in lists]
    assert selectors[0] == "component=singleuser-storage,hub.jupyter.org/username=alice"
    assert set(selectors[1:]) <= {"component=singleuser-storage"}  # only where nothing was found


def test_a_home_that_only_its_annotation_tells_of_is_found_and_labelled_once(
    cluster: KubernetesStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Existing instances name claims by a random number, and label nobody."""
    monkeypatch.setattr("hub.spawner.cluster._PAGE", 10)
    for number in range(35):
        name = f"{number:032x}"
        cluster.create(claim(name, labels=STORAGE, annotations=of(f"user-{number}")))
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    cluster.create(claim("of-nobody", labels=STORAGE))

    async def work(users: Users) -> list[str]:
        alice = await users.user("alice")
        return [claim_in(await manifest_of(spawner_of(alice, name))) for name in ("", "work")]

    assert with_users(cluster, work) == [OLD, OLD]
    labels = cluster.get("persistentvolumeclaims", OLD)["metadata"]["labels"]
    assert labels == {**STORAGE, **of("alice")}
    every = [r for r in cluster.requests if r.selector == "component=singleuser-storage"]
    assert len(every) == 4  # the pages of one listing
    assert len(cluster.all("persistentvolumeclaims")) == 37


def test_one_listing_serves_many_users_who_come_at_once(cluster: KubernetesStandin) -> None:
    for number in range(20):
        name = f"{number:032x}"
        cluster.create(claim(name, labels=STORAGE, annotations=of(f"user-{number}")))

    async def work(users: Users) -> list[str]:
        found = [await users.user(f"user-{number}") for number in range(20)]
        pods = await asyncio.gather(*(manifest_of(spawner_of(user)) for user in found))
        return [claim_in(pod) for pod in pods]

    assert with_users(cluster, work) == [f"{number:032x}" for number in range(20)]
    every = [r for r in cluster.requests if r.selector == "component=singleuser-storage"]
    assert len(every) == 1


def test_a_home_that_the_hub_s_database_names_is_found_without_any_mark(
    cluster: KubernetesStandin,
) -> None:
    cluster.create(claim(OLD, labels=STORAGE))
    cluster.create(claim("claim-1", labels=STORAGE, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(spawner_of(alice, "work")))

    assert with_users(cluster, work) == OLD


def test_a_home_that_the_database_names_is_found_beside_one_with_a_label(
    cluster: KubernetesStandin,
) -> None:
    """An empty one was made and labelled before the user's own was looked for."""
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    cluster.create(claim("claim-1", labels={**STORAGE, **of("alice")}, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(spawner_of(alice)))

    assert with_users(cluster, work) == OLD


@pytest.mark.parametrize(
    ("label", "is_taken"),
    [("alice-40example-2eorg", True), ("bob", False), ("alice-example-org---18d3e8a4", False)],
    ids=["as KubeSpawner wrote it before", "another user", "another user's slug"],
)
def test_a_label_tells_whose_a_claim_without_annotation_is(
    cluster: KubernetesStandin, label: str, is_taken: bool
) -> None:
    name = "alice@example.org"
    cluster.create(claim("claim-1", labels={**STORAGE, "hub.jupyter.org/username": label}))

    async def work(users: Users) -> str:
        return claim_in(await manifest_of(spawner_of(await users.user(name))))

    assert (with_users(cluster, work) == "claim-1") is is_taken


async def in_use_and_deleted(spawner: Any, name: str) -> None:
    """Start a server on a claim and ask for the claim's deletion, which waits for the server."""
    await spawner.start()
    assert spawner.pvc_name == name
    found = await spawner.api.delete_namespaced_persistent_volume_claim(name, spawner.namespace)
    assert found.metadata.deletion_timestamp


@pytest.mark.parametrize("name", [OLD, "claim-1"])
def test_no_new_home_is_made_while_the_user_s_own_is_being_deleted(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    cluster.create(claim(name, labels=STORAGE, annotations=of("alice")))

    async def work(users: Users) -> None:
        alice = await users.user("alice")
        await in_use_and_deleted(spawner_of(alice, "work"), name)
        await watched(alice, caplog).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work)
    assert caught.value.status_code == 503
    assert "home is being deleted" in caught.value.jupyterhub_message  # type: ignore[attr-defined]
    assert f"is being deleted: {name}" in caplog.text
    assert len(cluster.all("persistentvolumeclaims")) == 1


def test_of_two_homes_the_one_that_is_not_being_deleted_is_used(
    cluster: KubernetesStandin,
) -> None:
    cluster.create(claim("claim-1", labels=STORAGE, annotations=of("alice")))
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        await in_use_and_deleted(spawner_of(alice, "work"), "claim-1")
        return claim_in(await manifest_of(spawner_of(alice)))

    assert with_users(cluster, work) == OLD


@pytest.mark.parametrize("name", [OLD, "claim-1"])
def test_a_claim_of_another_hub_in_the_namespace_is_not_taken(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    labels = {**STORAGE, **of("alice"), "release": "other"}
    cluster.create(claim(name, labels=labels, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        return claim_in(await manifest_of(watched(alice, caplog)))

    ours = {"app": "jupyterhub", "release": "ours"}
    assert with_users(cluster, work, common_labels=ours) not in (name, "")
    assert f"has a claim of another release: {name}" in caplog.text
    assert with_users(cluster, work, common_labels=ours, earlier_releases=["other"]) == name
    assert with_users(cluster, work) == name  # without releases, names alone decide


def test_a_claim_of_an_earlier_release_that_the_database_names_is_this_hub_s(
    cluster: KubernetesStandin,
) -> None:
    labels = {**STORAGE, "release": "earlier"}
    cluster.create(claim(OLD, labels=labels, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(spawner_of(alice)))

    assert with_users(cluster, work, common_labels={"release": "ours"}) == OLD


def test_a_home_that_is_gone_is_told_to_the_operator(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(watched(alice, caplog)))

    assert with_users(cluster, work) == "claim-1"
    assert f"is gone: {OLD}" in caplog.text


def test_a_listing_whose_pages_expire_for_ever_ends(
    cluster: KubernetesStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.spawner.cluster._PAGE", 1)
    for number in range(3):
        cluster.create(claim(f"{number:032x}", labels=STORAGE, annotations=of("bob")))
    listing = clients.CoreV1Api.list_namespaced_persistent_volume_claim

    async def expiring(self: Any, **options: Any) -> Any:
        if options.get("_continue"):
            raise clients.rest.ApiException(status=410, reason="Expired")
        return await listing(self, **options)

    monkeypatch.setattr(clients.CoreV1Api, "list_namespaced_persistent_volume_claim", expiring)

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice")).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work)
    assert caught.value.status_code == 503


def test_somebody_else_s_claim_is_not_taken_though_the_hub_s_database_names_it(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    """The user may have been renamed, but then so must be the claim's annotation."""
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("bob")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(watched(alice, caplog)))

    assert with_users(cluster, work) == "claim-1"
    assert f"had the claim {OLD}, which has another user's name on it" in caplog.text
    assert "is gone" not in caplog.text
    cluster.remove("persistentvolumeclaims", OLD)
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    assert with_users(cluster, work) == OLD


def test_a_label_that_may_not_be_set_costs_no_home(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    cluster.fail(403, "patch", "persistentvolumeclaims", calls=1000)

    async def work(users: Users) -> str:
        return claim_in(await manifest_of(watched(await users.user("alice"), caplog)))

    assert with_users(cluster, work) == OLD
    assert "may patch persistentvolumeclaims" in caplog.text


def test_no_second_home_is_made_while_all_homes_cannot_be_listed(
    cluster: KubernetesStandin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    usual = Owners.list

    async def failing(self: Owners, namespace: Cluster, age: float) -> Any:
        cluster.fail(500, "list", "persistentvolumeclaims", calls=1000)
        return await usual(self, namespace, age)

    monkeypatch.setattr(Owners, "list", failing)

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice")).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work, k8s_api_request_retry_timeout=1)
    assert caught.value.status_code == 503
    assert len(cluster.all("persistentvolumeclaims")) == 1


def test_a_named_server_s_volume_is_the_user_s_home_whatever_the_template_says(
    cluster: KubernetesStandin,
) -> None:
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("alice")))
    home = {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{userid}{servername}"}}

    async def work(users: Users) -> str:
        return claim_in(await manifest_of(spawner_of(await users.user("alice"), "work")))

    template = "claim-{userid}{servername}"
    assert with_users(cluster, work, volumes=[home], pvc_name_template=template) == OLD
    assert with_users(cluster, work, volumes=[home]) == OLD


def test_homes_of_older_kubespawners_with_escaped_names_are_found(
    cluster: KubernetesStandin,
) -> None:
    name = "alice@example.org"
    cluster.create(claim(f"claim-{escape_slug(name)}", annotations=of(name)))

    async def work(users: Users) -> dict[str, Any]:
        return await manifest_of(spawner_of(await users.user(name)))

    assert claim_in(with_users(cluster, work)) == "claim-alice-40example-2eorg"


def test_no_second_home_is_made_while_the_first_cannot_be_seen(
    cluster: KubernetesStandin,
) -> None:
    cluster.fail(500, "list", "persistentvolumeclaims", calls=1000)

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice")).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work, k8s_api_request_retry_timeout=1)
    assert caught.value.status_code == 503
    assert "Try again in a minute" in caught.value.jupyterhub_message  # type: ignore[attr-defined]
    assert cluster.all("persistentvolumeclaims") == []
