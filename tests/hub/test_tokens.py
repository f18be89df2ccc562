"""The Secret with a user's tokens, on a Kubernetes that can be made to fail."""

import asyncio
import base64

import pytest

from hub.spawner.cluster import ClusterError
from tests.hub.pods import (
    TOKENS,
    Users,
    claim_in,
    spawner_of,
    tokens_in,
    with_users,
)
from tests.kubernetes.standin import KubernetesStandin


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
