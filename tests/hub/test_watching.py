"""What the hub sees of the cluster's pods."""

import asyncio

from tests.hub.pods import Users, spawner_of, with_users
from tests.kubernetes.standin import KubernetesStandin


def test_a_hub_that_lost_sight_of_the_cluster_looks_again_and_ends_nothing_meanwhile(
    cluster: KubernetesStandin,
) -> None:
    """KubeSpawner's watch gives up after 50 seconds of failures, and says so to nobody."""

    async def work(users: Users) -> None:
        spawner = spawner_of(await users.user("alice"))
        await spawner.start()
        spawner.pod_reflector.watch_task.cancel()
        await asyncio.wait([spawner.pod_reflector.watch_task])
        away = cluster.fail(503, "list", "pods", calls=1000)
        assert await spawner.poll() is None, "running, as far as the hub knows"
        away.calls = 0
        cluster.remove("pods", spawner.pod_name)
        assert await spawner.poll() is not None
        await spawner.start()
        assert await spawner.poll() is None

    with_users(cluster, work)
