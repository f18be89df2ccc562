"""Killed anywhere, however the broker behaves: the receiver's table ends equal to ours.

``make soak`` runs more of the random ones; ``SOAK_RUNS`` says how many.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault
from tests.delivery.books import account, ran_on, with_gpus, write
from tests.delivery.conftest import NewUrl
from tests.delivery.crash import (
    ALL,
    KILLED,
    OTHERS,
    Nursery,
    Place,
    World,
    fill_homes,
    outlets_of,
    random_run,
    world,
)
from tests.delivery.nursery import BUSY, DONE
from tests.delivery.soak import IS_SOAK, UNBOUNDED, random_runs


@pytest.fixture
def here(tmp_path: Path, authority: Authority, host: Issued, nursery: Nursery) -> Iterator[World]:
    url = f"sqlite:///{tmp_path / 'accounting.db'}"
    with world(tmp_path, url, authority, host, nursery) as made:
        yield made


@pytest.mark.timeout(UNBOUNDED)
@pytest.mark.parametrize(
    "places",
    [ALL[:1], ALL[1:], OTHERS],
    ids=["records", "records and summaries", "accelerators and storage"],
)
def test_killed_at_every_boundary_in_turn_nothing_is_lost_doubled_or_reordered(
    here: World, places: Sequence[Place]
) -> None:
    """Every statement, commit and call of a push that splits, builds and sends.

    With two destinations every seventh; ``make soak`` takes all of them.
    """
    here.places = places
    here.pages = [with_gpus(n) for n in range(3)]
    here.records_per_message = 2
    boundary, deaths = 0, 0
    stride = 1 if IS_SOAK or len(places) == 1 else 7
    while True:
        boundary += stride
        for page in here.pages:
            ran_on(page, 60)
        write(here.database, here.pages)
        fill_homes(here, 2)
        if boundary % 3 == 0:
            here.broker.fail(413)
        if here.push(kill_at=boundary) == [DONE]:
            break
        deaths += 1
        assert here.kills == deaths
        here.finish()
    print(f"{deaths} boundaries")  # noqa: T201 - for make soak
    assert deaths > 20
    here.check()


def test_an_answer_that_is_lost_after_the_broker_stored_the_message_doubles_nothing(
    here: World,
) -> None:
    here.pages = [account(n) for n in range(3)]
    write(here.database, here.pages)
    here.broker.fail(Fault.DROP_ANSWER, calls=4)
    for _ in range(4):
        here.push()
        for page in here.pages:
            ran_on(page, 60)
        write(here.database, here.pages)
    here.finish()
    empaids = [stored.attributes["empaid"] for stored in here.broker.log]
    assert len(empaids) == 6
    assert empaids[:5] == [empaids[0]] * 5


def test_of_two_pushers_at_once_one_sends_and_no_message_is_sent_twice(here: World) -> None:
    here.pages = [account(n) for n in range(9)]
    here.records_per_message = 1
    write(here.database, here.pages)
    here.broker.fail(Fault.SLOW, calls=9, seconds=0.05, on="publish")
    assert sorted(here.push(pushers=4)) == [DONE, BUSY, BUSY, BUSY]
    empaids = [stored.attributes["empaid"] for stored in here.broker.log]
    assert len(empaids) == len(set(empaids)) == 9
    here.check()


def test_a_pusher_killed_while_the_broker_works_is_followed_by_the_same_bytes(
    here: World,
) -> None:
    here.pages = [account(1)]
    write(here.database, here.pages)
    here.broker.fail(Fault.SLOW, seconds=0.5, on="publish")
    assert here.push(kill_after=0.4) == [KILLED]
    here.finish()
    assert len({stored.attributes["empaid"] for stored in here.broker.log}) == 1


@pytest.mark.timeout(UNBOUNDED)
def test_random_kills_faults_restarts_and_rivals_never_leave_a_difference(
    new_url: NewUrl, tmp_path: Path, authority: Authority, host: Issued, nursery: Nursery
) -> None:
    opened = partial(world, authority=authority, host=host, nursery=nursery)
    random_runs(tmp_path, new_url, opened, random_run, few=6, outlets_of=outlets_of)
