"""Killed anywhere, however the broker behaves: the receiver's table ends equal to ours.

``make soak`` runs more of the random ones; ``SOAK_RUNS`` says how many.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault
from tests.delivery.books import account, ran_on, with_gpus, write
from tests.delivery.crash import (
    ALL,
    KILLED,
    OTHERS,
    Nursery,
    Place,
    World,
    fill_homes,
    random_run,
    world,
)
from tests.delivery.nursery import BUSY, DONE

RUNS = int(os.environ.get("SOAK_RUNS", "6"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))
ON_POSTGRES = 5
"""Every n-th random run uses PostgreSQL."""

NewUrl = Callable[[Path], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest) -> NewUrl:
    """Makes the URLs of empty databases, in a folder where they are files."""
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder / 'accounting.db'}"
    made: Callable[[], str] = request.getfixturevalue("postgres")
    return lambda _folder: made()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, authority: Authority, host: Issued, nursery: Nursery) -> Iterator[World]:
    url = f"sqlite:///{tmp_path / 'accounting.db'}"
    with world(tmp_path, url, authority, host, nursery) as made:
        yield made


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
    stride = 1 if RUNS > 100 or len(places) == 1 else 7
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


@pytest.mark.timeout(0 if RUNS > 100 else 600)
def test_random_kills_faults_restarts_and_rivals_never_leave_a_difference(
    new_url: NewUrl, tmp_path: Path, authority: Authority, host: Issued, nursery: Nursery
) -> None:
    runs = kills = pushes = 0
    for seed in range(FIRST_SEED, FIRST_SEED + RUNS):
        folder = tmp_path / str(seed)
        url = new_url(folder)
        if url.startswith("sqlite") == (seed % ON_POSTGRES == 0):
            continue
        with world(folder, url, authority, host, nursery) as here:
            try:
                random_run(here, seed)
            except AssertionError as exc:
                raise AssertionError(f"seed {seed}: {exc}") from exc
        runs, kills, pushes = runs + 1, kills + here.kills, pushes + here.pushes
        if runs % 50 == 0:
            print(f"{runs} runs", flush=True)  # noqa: T201 - for make soak
    print(f"{runs} runs, {kills} of {pushes} pushers killed")  # noqa: T201 - for make soak
    assert kills > 0
