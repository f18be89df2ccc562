"""Notebooks of which sources that come, change and go tell CPU: never too much, in any steps."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.exactness.notebooks import ENGINES, INTERVAL, START, heartbeat, merged, served
from tests.exactness.patchwork import END, drawn
from tests.exactness.polling import HOUR, poll
from tests.exactness.test_exact_random import CLUSTERS, FIRST

ONCE_WRONG = (50000184,)
"""A cgroup that stands still has a short silence beside OpenTelemetry, after the endpoint."""


@pytest.mark.parametrize("seed", [*ONCE_WRONG, *range(FIRST, FIRST + CLUSTERS)])
def test_whatever_tells_cpu_it_is_never_above_the_truth_and_the_same_in_any_steps(
    tmp_path: Path, new_ledger: Callable[[], str], seed: int
) -> None:
    rng = Random(f"steps/{seed}")  # noqa: S311 - repeatable, not secret
    notebooks = drawn(seed)
    seen = merged(heartbeat(END), *(one.seen for one in notebooks))
    steps = (
        [END],
        [*range(300, END, 300), END],
        [*range(1800, END, 1800), END],
        [*sorted(rng.sample(range(1, END), 4)), END],
    )
    with served(tmp_path, seen, ENGINES[seed % len(ENGINES)]) as url:
        found = [
            poll(url, new_ledger(), *(START + at for at in cuts), since=START - 600, step=6 * HOUR)
            for cuts in steps
        ]
    wrong: list[tuple[object, ...]] = []
    for one in notebooks:
        row, used = found[0].pods[one.uid], one.used(one.until)
        cpu, is_told = row["cpu_seconds"] or 0, any("cpu" in name for name in one.seen)
        if not used - one.lost <= cpu <= used + 1 and is_told:
            wrong.append((one.name, "cpu", cpu, used, one.lost))
        if abs(row["wall_seconds"] - (one.until - one.since)) > 2 * INTERVAL:
            wrong.append((one.name, "wall", row["wall_seconds"], one.until - one.since))
    assert wrong == []
    assert found[1:] == found[:-1]
