"""Random runs, each from a seed: a few in the tests, SOAK_RUNS of them in ``make soak``."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

RUNS = int(os.environ.get("SOAK_RUNS", "0"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))
IS_SOAK = RUNS > 100
UNBOUNDED = 0 if IS_SOAK else 600
"""Seconds that a test may take; pytest-timeout's word for no end is 0."""
_ON_POSTGRES = 5 if IS_SOAK else 2
"""Every n-th random run uses PostgreSQL."""
_SURELY = 5
"""Of so many runs, a pusher was killed in one at least."""


class Killed(Protocol):
    """A world in which pushers are killed."""

    kills: int
    pushes: int


W = TypeVar("W", bound=Killed)


def random_runs(
    folder: Path,
    new_url: Callable[[Path], str],
    opened: Callable[[Path, str], AbstractContextManager[W]],
    run: Callable[[W, int], Iterable[str]],
    *,
    few: int,
) -> None:
    """Run those that use one kind of database, each in a world of its own; all end in a check.

    Args:
        folder: for their files.
        new_url: makes the URLs of empty databases.
        opened: makes a world in a folder, at a URL.
        run: runs one; returns which outlets were in it.
        few: how many there are, where SOAK_RUNS says nothing.
    """
    runs = kills = pushes = 0
    outlets: Counter[str] = Counter()
    for seed in range(FIRST_SEED, FIRST_SEED + (RUNS or few)):
        here = folder / str(seed)
        here.mkdir(parents=True)
        url = new_url(here)
        if url.startswith("sqlite") == (seed % _ON_POSTGRES == 0):
            continue
        with opened(here, url) as world:
            try:
                outlets.update(run(world, seed))
            except AssertionError as exc:
                raise AssertionError(f"seed {seed}: {exc}") from exc
            kills, pushes = kills + world.kills, pushes + world.pushes
        runs += 1
        if runs % 50 == 0:
            print(f"{runs} runs", flush=True)  # noqa: T201 - for make soak
    of_outlets = ", ".join(f"{name} {count}" for name, count in sorted(outlets.items()))
    print(  # noqa: T201 - for make soak
        f"{runs} runs ({of_outlets}), no difference at any receiver; {kills} of {pushes} pushers"
        " killed",
        flush=True,
    )
    assert kills > 0 or runs < _SURELY
