"""Random mixed clusters: who tells CPU, what happens, and how often one polls, drawn by seed.

``make exact`` tries hundreds; the tests a few.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from accounting.simulation.world.features import MIXED, Features, NodeShape
from tests.exactness.hindered import poll_hindered
from tests.exactness.holdings import check_holdings
from tests.exactness.polling import Written
from tests.exactness.test_exact_emitters import SHAPES, check_world

CLUSTERS = int(os.environ.get("EXACT_CLUSTERS", "2"))
FIRST = int(os.environ.get("EXACT_SEED", "1"))
ONCE_WRONG = (20290183,)
"""A node that goes from cAdvisor beside the kubelet's own metrics to these as it reboots."""
SWITCHES = (
    "quick_restarts",
    "container_restarts",
    "month_crossers",
    "short_pods",
    "old_pods",
    "ksm_restarted",
    "ksm_doubled",
    "slow_pending",
    "never_running",
    "evicted",
    "completed",
    "sidecars",
    "unannotated",
    "odd_requests",
    "claims",
    "resized",
    "native_sidecars",
    "init_containers",
    "pod_resources",
    "accelerators",
    "dcgm",
    "dips",
    "node_reboot",
    "spikes",
    "second_job",
    "node_lost",
    "nodes_untold",
)


def drawn(seed: int) -> Features:
    """What happens in the cluster of this seed, on two to five nodes."""
    rng = Random(f"exact/{seed}")  # noqa: S311 - repeatable, not secret
    shapes: list[NodeShape] = [*SHAPES.values(), *MIXED]
    nodes = tuple(
        replace(shape, gpu_replicas=rng.choice((1, 2, 4)))
        for shape in rng.sample(shapes, rng.randint(2, 5))
    )
    return Features(**{name: rng.random() < 0.5 for name in SWITCHES}, nodes=nodes)


@pytest.mark.parametrize("seed", [*ONCE_WRONG, *range(FIRST, FIRST + CLUSTERS)])
def test_a_random_cluster_is_measured_exactly(
    tmp_path: Path, new_ledger: Callable[[], str], seed: int
) -> None:
    pods = Random(f"pods/{seed}").randint(20, 60)  # noqa: S311 - repeatable, not secret
    deaths = Random(f"deaths/{seed}")  # noqa: S311 - repeatable, not secret

    def hindered(url: str, since: int, until: int) -> Written:
        return poll_hindered(url, new_ledger(), since, until, deaths)

    found = check_world(tmp_path, new_ledger, drawn(seed), seed=seed, pods=pods, also=hindered)
    check_holdings(*found)
