"""Random runs, each from a seed: a few in the tests, SOAK_RUNS of them in ``make soak``.

``SOAK_DATABASE`` (sqlite or postgresql) makes all of them on one kind of database, ``SOAK_OUTLET``
(such as storage) only those that have this outlet.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

RUNS = int(os.environ.get("SOAK_RUNS", "0"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))
IS_SOAK = RUNS > 100
DATABASE = os.environ.get("SOAK_DATABASE", "")
OUTLET = os.environ.get("SOAK_OUTLET", "")
UNBOUNDED = 0 if RUNS else 600
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
    outlets_of: Callable[[int], Collection[str]] | None = None,
) -> None:
    """Run those that use one kind of database, each in a world of its own; all end in a check.

    Args:
        folder: for their files.
        new_url: makes the URLs of empty databases.
        opened: makes a world in a folder, at a URL.
        run: runs one; returns which outlets were in it.
        few: how many there are, where SOAK_RUNS says nothing.
        outlets_of: which outlets a seed has, where that differs from seed to seed.
    """
    runs = kills = pushes = 0
    outlets: Counter[str] = Counter()
    is_sqlite = new_url(folder).startswith("sqlite")
    for seed in range(FIRST_SEED, FIRST_SEED + (RUNS or few)):
        if not _is_on(seed, is_sqlite=is_sqlite):
            continue
        if OUTLET and outlets_of is not None and OUTLET not in outlets_of(seed):
            continue
        here = folder / str(seed)
        here.mkdir(parents=True)
        url = new_url(here)
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


def _is_on(seed: int, *, is_sqlite: bool) -> bool:
    """Whether a seed's run is on this kind of database."""
    if DATABASE:
        return is_sqlite == (DATABASE == "sqlite")
    return is_sqlite == (seed % _ON_POSTGRES != 0)
