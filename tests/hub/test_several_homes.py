"""Several homes of one user: which is used, and that the operator is told of the others."""

import pytest

from hub.spawner.home import Home, choose
from tests.hub.pods import (
    OLD,
    STORAGE,
    Users,
    claim,
    claim_in,
    manifest_of,
    of,
    watched,
    with_users,
)
from tests.kubernetes.standin import KubernetesStandin


def test_of_several_homes_the_hub_s_own_is_used_then_the_oldest() -> None:
    at = "2021-03-0{}T00:00:00Z".format
    claims = [claim(name, creationTimestamp=at(day)) for name, day in (("b", 2), ("a", 3))]
    claims.append(claim("c", creationTimestamp=at(1), labels=of("alice")))
    assert choose(claims, []) == Home("c", ("b", "a"), ("b", "a"))
    assert choose(claims, ["a"]) == Home("a", ("c", "b"), ("a", "b"))


def test_a_claim_without_a_volume_comes_after_those_with_one() -> None:
    server = {"hub.jupyter.org/servername": "work"}
    claims = [
        {**claim("lost"), "status": {"phase": "Lost"}},
        {**claim("waiting"), "status": {"phase": "Pending"}},
        {**claim("of-a-server", annotations=server), "status": {"phase": "Bound"}},
        {**claim("bound"), "status": {"phase": "Bound"}},
    ]
    assert choose(claims, ["lost", "waiting"]) == Home(
        "bound",
        ("of-a-server", "lost", "waiting"),
        ("bound", "of-a-server", "lost", "waiting"),
    )


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


def test_a_home_beside_the_one_that_the_database_names_is_told_of_at_the_first_start(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (OLD, "claim-1"):
        cluster.create(claim(name, labels=STORAGE, annotations=of("alice")))

    async def work(users: Users) -> str:
        alice = await users.user("alice")
        users.remember(alice, pvc_name=OLD)
        return claim_in(await manifest_of(watched(alice, caplog)))

    assert with_users(cluster, work) == OLD
    assert f"has several homes: {OLD} is used, claim-1 not" in caplog.text


def test_a_home_beside_the_one_with_the_label_is_told_of_by_one_listing_for_all(
    cluster: KubernetesStandin, caplog: pytest.LogCaptureFixture
) -> None:
    """An instance may have made a new home where it did not find the old one."""
    for number, name in enumerate(("alice", "bob"), 1):
        labels = {**STORAGE, **of(name)}
        cluster.create(claim(f"claim-{number}", labels=labels, annotations=of(name)))
        cluster.create(claim(f"{number:032x}", labels=STORAGE, annotations=of(name)))

    async def work(users: Users) -> list[str]:
        found = [await users.user(name) for name in ("alice", "bob")]
        users.remember(found[1], pvc_name=f"{2:032x}")
        return [claim_in(await manifest_of(watched(user, caplog))) for user in found]

    assert with_users(cluster, work) == ["claim-1", f"{2:032x}"]
    assert f"has several homes: claim-1 is used, {1:032x} not" in caplog.text
    assert f"has several homes: {2:032x} is used, claim-2 not" in caplog.text
    assert len([r for r in cluster.requests if r.selector == "component=singleuser-storage"]) == 1
