"""The spawner with JupyterHub's own users, on a Kubernetes that can be made to fail."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubespawner.slugs import escape_slug
from tornado.web import HTTPError
from traitlets import TraitError
from traitlets.config import Config

from accounting.measure import promql
from hub.spawner.cluster import Cluster, ClusterError
from hub.spawner.home import Home, Owners, choose
from tests.hub.cloud import FRAGMENTS
from tests.hub.pods import Users, manifest_of, spawner_of, tokens_in, with_users
from tests.kubernetes.standin import KubernetesStandin

TOKENS = {"access_token": "first access", "id_token": "first id"}
PROFILES = [
    {"display_name": "Small", "slug": "small"},
    {
        "display_name": "Big",
        "slug": "big",
        "vo_claims": ["vo.example.org"],
        "kubespawner_override": {"mem_guarantee": "8G", "environment": {"SIZE": "big"}},
    },
]
ODD_NAMES = [
    "x" * 300,
    "alice@example.org",
    "Zoë Ünïcode Œuvre",
    "0123456789abcdef" * 4 + "@egi.eu",
    "-._{userid}{{",
    "7",
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KubernetesStandin]:
    with KubernetesStandin(tmp_path / "cluster") as running:
        yield running


def claim(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **metadata},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def of(user: str) -> dict[str, str]:
    return {"hub.jupyter.org/username": user}


def claim_in(pod: dict[str, Any]) -> str:
    (name,) = (
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "home"
    )
    return str(name)


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
    read = {name: written.get(name) for name in (promql.USER, promql.GROUP, promql.FLAVOR)}
    assert read == {
        promql.USER: "alice",
        promql.GROUP: "vo.example.org",
        promql.FLAVOR: "small",
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


# The home


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


STORAGE = {"component": "singleuser-storage"}
OLD = "3a731b87c1f04d0e9b0a8a3c5d2e7f61"


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


def test_somebody_else_s_claim_is_not_taken_though_the_hub_s_database_names_it(
    cluster: KubernetesStandin,
) -> None:
    cluster.create(claim(OLD, labels=STORAGE, annotations=of("bob")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(spawner_of(alice)))

    assert with_users(cluster, work) == "claim-1"


def test_of_several_homes_the_hub_s_own_is_used_then_the_oldest() -> None:
    at = "2021-03-0{}T00:00:00Z".format
    claims = [
        claim(name, annotations=of("alice"), creationTimestamp=at(day))
        for name, day in (("b", 2), ("a", 3), ("c", 1))
    ]
    claims.append(claim("gone", creationTimestamp=at(1), deletionTimestamp=at(9)))
    claims.append(claim("bob", creationTimestamp=at(1), annotations=of("bob")))
    assert choose(claims, "alice", []) == Home("c", ("b", "a"), ("c", "b", "a"))
    assert choose(claims, "alice", ["a"]) == Home("a", ("c", "b"), ("a", "c", "b"))


def watched(user: Any, caplog: pytest.LogCaptureFixture) -> Any:
    spawner = spawner_of(user)
    spawner.log.addHandler(caplog.handler)
    return spawner


def test_homes_that_are_not_used_are_told_to_the_operator(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("b" * 32, "a" * 32):
        cluster.create(claim(name, labels=STORAGE, annotations=of("alice")))

    async def work(users: Users) -> set[str]:
        alice = await users.user("alice")
        return {claim_in(await manifest_of(watched(alice, caplog))) for _ in range(2)}

    (first,) = with_users(cluster, work)
    assert f"has several homes: {first} is used, " in caplog.text


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

    async def failing(self: Owners, namespace: Cluster) -> Any:
        cluster.fail(500, "list", "persistentvolumeclaims", calls=1000)
        return await usual(self, namespace)

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


# Tokens


def test_fresh_tokens_reach_the_secret_of_a_running_server(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user("alice", **TOKENS))
        await spawner.start()
        assert tokens_in(cluster, "access-token-1") == TOKENS
        await spawner.set_tokens("second access", "")
        assert tokens_in(cluster, "access-token-1") == {
            "access_token": "second access",
            "id_token": "first id",
        }
        await spawner.stop(now=True)

    with_users(cluster, work)
    secret = cluster.get("secrets", "access-token-1")
    assert secret["metadata"]["annotations"]["hub.jupyter.org/username"] == "alice"
    assert "hub.jupyter.org/username" not in secret["metadata"]["labels"]


def test_keys_of_others_in_the_secret_are_kept(cluster: KubernetesStandin) -> None:
    other = {"onedata": base64.b64encode(b"kept").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "access-token-1"}}
    cluster.create({**secret, "data": other})

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice")).set_tokens(**TOKENS)

    with_users(cluster, work)
    assert tokens_in(cluster, "access-token-1") == {"onedata": "kept", **TOKENS}


def test_twelve_first_servers_at_once_share_one_secret_and_one_home(
    cluster: KubernetesStandin,
) -> None:
    """Trap 6."""
    cluster.slow(0.2, "create", "secrets", calls=4)

    async def work(users: Users) -> None:
        user = await users.user("alice", **TOKENS)
        spawners = [spawner_of(user, f"server-{number}") for number in range(12)]
        await asyncio.gather(*(spawner.start() for spawner in spawners))

    with_users(cluster, work)
    assert len(cluster.all("pods")) == 12
    assert {claim_in(pod) for pod in cluster.all("pods")} == {"claim-1"}
    assert tokens_in(cluster, "access-token-1") == TOKENS


def test_writers_that_come_at_the_same_time_lose_nothing(cluster: KubernetesStandin) -> None:
    """Trap 6: two hubs, or the refresh of two servers, each with its own key."""

    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user("alice"))
        await spawner.set_tokens(**TOKENS)
        lost = cluster.fail(409, "update", "secrets", calls=3)
        await asyncio.gather(
            *(spawner.set_tokens(f"access {number}", "") for number in range(6)),
            *(spawner.set_tokens("", f"id {number}") for number in range(6)),
        )
        assert lost.hits == 3

    with_users(cluster, work)
    found = tokens_in(cluster, "access-token-1")
    assert found["access_token"].startswith("access ")
    assert found["id_token"].startswith("id ")


@pytest.mark.parametrize("status", [403, 500])
def test_a_secret_that_cannot_be_read_is_not_taken_for_none(
    cluster: KubernetesStandin, status: int
) -> None:
    """Trap 6."""

    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user("alice"))
        await spawner.set_tokens(**TOKENS)
        cluster.fail(status, "get", "secrets", calls=1000)
        with pytest.raises(ClusterError) as caught:
            await spawner.set_tokens("second", "second")
        cure = "service account may get secrets" if status == 403 else "then try again"
        assert cure in str(caught.value)
        assert "second" not in str(caught.value)

    with_users(cluster, work, k8s_api_request_retry_timeout=1)
    assert tokens_in(cluster, "access-token-1") == TOKENS


def test_a_failure_that_passes_is_not_seen_by_anyone(cluster: KubernetesStandin) -> None:
    cluster.fail(500, "get", "secrets", calls=2)
    cluster.fail(503, "create", "secrets", after=True)  # done, but the answer was lost
    cluster.slow(3, "list", "persistentvolumeclaims")

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice", **TOKENS)).start()

    with_users(cluster, work, k8s_api_request_timeout=1)
    assert tokens_in(cluster, "access-token-1") == TOKENS


# Profiles and additions


def test_the_form_offers_what_is_open_to_the_user_now(cluster: KubernetesStandin) -> None:
    async def work(users: Users) -> list[str]:
        user = await users.user("alice")
        spawner = spawner_of(user)
        forms = [await spawner.get_options_form()]
        await users.user("alice", ["urn:mace:egi.eu:group:vo.example.org:role=member#aai.egi.eu"])
        return [*forms, await spawner.get_options_form()]

    before, after = with_users(cluster, work, profile_list=PROFILES)
    assert ("Small" in before, "Big" in before) == (True, False)
    assert ("Small" in after, "Big" in after) == (True, True)


IMAGES = {"image": {"display_name": "Image", "choices": {"one": {"display_name": "One"}}}}
CHOICE = [{"display_name": "Choice", "slug": "choice", "profile_options": IMAGES}]


@pytest.mark.parametrize(
    ("options", "profiles", "status", "says"),
    [
        ({"profile": "big"}, PROFILES, 403, "'big' is not open to you. Choose one of: small."),
        ({"profile": "none"}, PROFILES, 403, "Choose one of: small."),
        ({}, PROFILES[1:], 403, "None of this service's environments is open to you"),
        ({"profile": "choice", "image": "deleted"}, CHOICE, 400, "Choose again."),
    ],
    ids=["not open", "unknown", "nothing open", "unknown choice"],
)
def test_a_choice_that_is_not_the_users_to_make_is_refused_with_a_message(
    cluster: KubernetesStandin,
    options: dict[str, str],
    profiles: list[dict[str, Any]],
    status: int,
    says: str,
) -> None:
    """Trap 10."""

    async def work(users: Users) -> None:
        await spawner_of(await users.user("alice"), **options).start()

    with pytest.raises(HTTPError) as caught:
        with_users(cluster, work, profile_list=profiles)
    assert caught.value.status_code == status
    assert says in caught.value.jupyterhub_message  # type: ignore[attr-defined]
    assert cluster.all("pods") == []


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
