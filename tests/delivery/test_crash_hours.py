"""Killed anywhere, however EOSC's accounting behaves: it ends with the ledger's hours, each once.

``make soak`` runs more of the random ones; ``SOAK_RUNS`` says how many.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.simulation.judges.standin import Fault, Trouble
from tests.delivery.crash import Nursery
from tests.delivery.crash_hours import HoursWorld, hours_world, notebook, random_hours
from tests.delivery.nursery import BUSY, DONE

RUNS = int(os.environ.get("SOAK_RUNS", "2"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))
DAY = 86400


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, nursery: Nursery) -> Iterator[HoursWorld]:
    with hours_world(f"sqlite:///{tmp_path / 'accounting.db'}", nursery) as made:
        made.pages = [notebook(n, random.Random(n)) for n in range(3)]  # noqa: S311 - not for secrets
        yield made


@pytest.mark.timeout(0 if RUNS > 100 else 600)
def test_killed_at_every_boundary_in_turn_nothing_is_lost_or_doubled(here: HoursWorld) -> None:
    """Every statement, commit and request of a push that makes metrics and corrects others.

    In strides, which end at another boundary each time; ``make soak`` takes all of them.
    """
    boundary, deaths = 0, 0
    stride = 1 if RUNS > 100 else 13
    while True:
        boundary += stride
        here.live_on(0.6 * DAY)
        if here.push(kill_at=boundary) == [DONE]:
            break
        deaths += 1
        assert here.kills == deaths
        if deaths % 3 == 0:
            here.finish()
    print(f"{deaths} boundaries")  # noqa: T201 - for make soak
    assert deaths > 3
    here.finish()


def test_answers_that_are_lost_one_after_the_other_double_nothing(here: HoursWorld) -> None:
    here.live_on(1.5 * DAY)
    for on in ("POST", "POST", "GET", "TOKEN", "POST", "PATCH"):
        here.eosc.troubles.append(Trouble(Fault.LOSE_ANSWER, on))
        here.push()
        here.live_on(0.3 * DAY)
    here.finish()
    assert len(here.eosc.metrics) == len(here.eosc.hours())


def test_who_dies_with_an_answer_that_is_not_noted_is_followed_by_no_second_metric(
    here: HoursWorld,
) -> None:
    """Of each request in turn: of the token, of lists, of metrics made and of corrections."""
    for answer in range(1, 100):
        here.live_on(0.6 * DAY)
        if here.push(dies_at=answer) == [DONE]:
            break
    assert here.kills > 4
    here.finish()
    assert len(here.eosc.metrics) == len(here.eosc.hours())
    asked = {method for method, _, _ in here.eosc.log}
    assert asked >= {"POST", "GET", "PATCH"}


def test_of_two_pushers_at_once_one_tells(here: HoursWorld) -> None:
    here.live_on(3 * DAY)
    here.eosc.troubles += [Trouble(Fault.SLOW, "POST", 0.3) for _ in range(3)]
    assert set(here.push(pushers=2)) <= {DONE, BUSY}
    here.finish()


@pytest.mark.timeout(0 if RUNS > 100 else 600)
def test_random_kills_faults_and_restarts_never_leave_a_difference_in_hours(
    tmp_path: Path, nursery: Nursery
) -> None:
    kills = pushes = 0
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with hours_world(f"sqlite:///{folder / 'accounting.db'}", nursery) as here:
            try:
                random_hours(here, seed)
            except AssertionError as exc:
                raise AssertionError(f"seed {seed}: {exc}") from exc
        kills, pushes = kills + here.kills, pushes + here.pushes
    print(f"{RUNS} runs, {kills} of {pushes} pushers killed")  # noqa: T201 - for make soak
    assert kills > 0
