"""Killed anywhere, however GreenDIGIT's CIM behaves: it ends with each notebook's days, each once.

``make soak`` runs more of the random ones; ``SOAK_RUNS`` says how many.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.delivery.cim import notebook
from tests.delivery.conftest import NewUrl
from tests.delivery.crash import Nursery
from tests.delivery.crash_energy import EnergyWorld, energy_world
from tests.delivery.crash_http import (
    dies_with_every_answer,
    killed_at_every_boundary,
    random_run,
)
from tests.delivery.soak import IS_SOAK, UNBOUNDED, random_runs


@pytest.fixture
def here(tmp_path: Path, nursery: Nursery) -> Iterator[EnergyWorld]:
    with energy_world(f"sqlite:///{tmp_path / 'accounting.db'}", nursery) as made:
        made.pages = [notebook(n) for n in range(3)]
        yield made


@pytest.mark.timeout(UNBOUNDED)
def test_killed_at_every_boundary_in_turn_each_day_is_there_once(here: EnergyWorld) -> None:
    """Every statement, commit and request of a push.

    In strides, which end at another boundary each time; ``make soak`` takes all of them.
    """
    killed_at_every_boundary(here, here.live_on, 1 if IS_SOAK else 11)


def test_who_dies_with_an_answer_that_is_not_noted_is_followed_by_no_second_record(
    here: EnergyWorld,
) -> None:
    """Of each request in turn: of the token, of the search, and of what was submitted."""
    dies_with_every_answer(here, here.live_on)


@pytest.mark.timeout(UNBOUNDED)
def test_random_kills_faults_and_restarts_never_lose_or_double_a_day(
    new_url: NewUrl, tmp_path: Path, nursery: Nursery
) -> None:
    def opened(_folder: Path, url: str) -> AbstractContextManager[EnergyWorld]:
        return energy_world(url, nursery)

    random_runs(tmp_path, new_url, opened, random_run, few=2)
