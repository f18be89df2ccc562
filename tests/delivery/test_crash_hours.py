"""Killed anywhere, however EOSC's accounting behaves: it ends with the ledger's hours, each once.

``make soak`` runs more of the random ones; ``SOAK_RUNS`` says how many.
"""

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from accounting.simulation.judges.standin import Fault, Trouble
from tests.delivery.conftest import NewUrl
from tests.delivery.crash import Nursery
from tests.delivery.crash_hours import HoursWorld, hours_world, notebook
from tests.delivery.crash_http import (
    dies_with_every_answer,
    killed_at_every_boundary,
    random_run,
)
from tests.delivery.nursery import BUSY, DONE
from tests.delivery.soak import IS_SOAK, UNBOUNDED, random_runs

DAY = 86400


@pytest.fixture
def here(tmp_path: Path, nursery: Nursery) -> Iterator[HoursWorld]:
    with hours_world(f"sqlite:///{tmp_path / 'accounting.db'}", nursery) as made:
        made.pages = [notebook(n, random.Random(n)) for n in range(3)]  # noqa: S311 - not for secrets
        yield made


@pytest.mark.timeout(UNBOUNDED)
def test_killed_at_every_boundary_in_turn_nothing_is_lost_or_doubled(here: HoursWorld) -> None:
    """Every statement, commit and request of a push that makes metrics and corrects others.

    In strides, which end at another boundary each time; ``make soak`` takes all of them.
    """
    killed_at_every_boundary(here, lambda: here.live_on(0.6 * DAY), 1 if IS_SOAK else 13)


def test_answers_that_are_lost_one_after_the_other_double_nothing(here: HoursWorld) -> None:
    here.live_on(1.5 * DAY)
    for on in ("POST", "POST", "GET", "TOKEN", "POST", "PATCH"):
        here.receiver.troubles.append(Trouble(Fault.LOSE_ANSWER, on))
        here.push()
        here.live_on(0.3 * DAY)
    here.finish()
    assert len(here.receiver.metrics) == len(here.receiver.hours())


def test_who_dies_with_an_answer_that_is_not_noted_is_followed_by_no_second_metric(
    here: HoursWorld,
) -> None:
    """Of each request in turn: of the token, of lists, of metrics made and of corrections."""
    dies_with_every_answer(here, lambda: here.live_on(0.6 * DAY))
    assert len(here.receiver.metrics) == len(here.receiver.hours())
    asked = {method for method, _, _ in here.receiver.log}
    assert asked >= {"POST", "GET", "PATCH"}


def test_of_two_pushers_at_once_one_tells(here: HoursWorld) -> None:
    here.live_on(3 * DAY)
    here.receiver.troubles += [Trouble(Fault.SLOW, "POST", 0.3) for _ in range(3)]
    assert set(here.push(pushers=2)) <= {DONE, BUSY}
    here.finish()


@pytest.mark.timeout(UNBOUNDED)
def test_random_kills_faults_and_restarts_never_leave_a_difference_in_hours(
    new_url: NewUrl, tmp_path: Path, nursery: Nursery
) -> None:
    def opened(_folder: Path, url: str) -> AbstractContextManager[HoursWorld]:
        return hours_world(url, nursery)

    random_runs(tmp_path, new_url, opened, random_run, few=2)
