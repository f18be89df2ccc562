"""A job that runs every night fails for what is new, once, and not for what it told of."""

import subprocess

import pytest
from sqlalchemy import select, update

from accounting.delivery import news
from accounting.delivery.news import News
from accounting.delivery.outbox import Outbox
from accounting.model.messages import Failure, FailureKind
from accounting.model.records import Held
from accounting.model.time import Month
from accounting.store.holds import Holds
from accounting.store.tables import messages, outlets, records
from accounting.web.pages.record import HELD
from tests import commands
from tests.api.serving import Running, Serve
from tests.delivery.books import NOVEMBER, account, write

ASIDE = Failure(FailureKind.REJECTED, "the broker refused it", "see why")


@pytest.fixture
def running(serve: Serve) -> Running:
    found = serve()
    write(found.service.database, [account(1)])
    return found


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return commands.run(*arguments)


def test_a_push_fails_once_for_a_message_that_is_set_aside(running: Running) -> None:
    database = running.service.database
    assert run("push").returncode == 0
    with database.begin() as connection:
        connection.execute(update(messages).values(state="parked", sent_at=None))
    first = run("push")
    assert first.returncode == 3
    assert "1 message is parked, 1 of them new" in first.stderr
    second = run("push")
    assert second.returncode == 0
    assert "1 message is parked: see" in second.stderr
    # tried again in vain, it is news again
    outbox = Outbox(database)
    outbox.retry(1)
    with database.begin() as connection:
        connection.execute(update(messages).values(state="sending"))
        destination = connection.execute(select(messages.c.destination)).scalar_one()
    message = outbox.next(destination)
    assert message is not None
    outbox.set_aside(message, ASIDE)
    assert news.report(database, {}, 1.0) == News(parked=1)
    assert news.report(database, {}, 2.0) == News()


def test_records_that_a_destination_cannot_carry_are_news_when_there_are_more(
    running: Running,
) -> None:
    database = running.service.database
    assert run("push").returncode == 0
    with database.begin(reading=True) as connection:
        destination = connection.execute(select(outlets.c.destination)).scalar_one()
    found = [news.report(database, {destination: count}, 1.0).left_out for count in (2, 2, 3, 1, 2)]
    assert found == [2, 0, 1, 0, 1]


def test_a_poll_does_not_fail_for_held_records_that_were_told_or_acknowledged(
    running: Running,
) -> None:
    database = running.service.database
    refused = [account(number) for number in (2, 3)]
    for one in refused:
        one.pod.image = "50%%off"
    write(database, refused)
    holds, found = Holds(database), {(one.pod.uid, NOVEMBER): Held.INVALID for one in refused}
    assert holds.untold(found) == {Held.INVALID: 2}
    holds.report(1.0)
    assert holds.untold(found) == {}
    assert holds.untold({**found, ("new", Month(2026, 11)): Held.UNMAPPED}) == {Held.UNMAPPED: 1}
    with database.begin() as connection:  # held for another reason, it is news
        of = records.c.uid == refused[0].pod.uid
        connection.execute(update(records).where(of).values(problem="something else"))
    assert holds.untold(found) == {Held.INVALID: 1}


def test_each_kind_of_hold_has_its_cure_on_the_record_s_page() -> None:
    assert set(HELD) == set(Held) - {Held.NO}


def test_a_time_is_read_again_through_the_service(running: Running) -> None:
    asked = ("--since", "2026-11-01T06:00Z", "--until", "2026-11-01T18:00Z")
    where = ("--url", running.url, "--token-file", str(running.token_file))
    done = run("poll", *where, *asked)
    assert "cannot be reached" in done.stderr  # there is no Prometheus: it was asked, though
    (latest, *_) = running.get("/api/v1/runs").json()["runs"]
    assert latest["kind"] == "poll"
    backwards = run("poll", *where, "--since", "2026-11-01T18:00Z", "--until", "2026-11-01")
    assert backwards.returncode == 1
    assert "until is not after since" in backwards.stderr
