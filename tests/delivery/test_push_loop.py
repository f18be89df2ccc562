"""The service's push loop."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from accounting.config import Settings
from accounting.delivery import pusher
from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.errors import DatabaseError
from accounting.model.jobs import Ending, JobKind
from accounting.service.jobs import Jobs
from accounting.service.loops import PushLoop
from accounting.simulation.stores.engines import free_port
from accounting.store.engine.database import Database
from accounting.telemetry.metrics import Metrics
from ssm.errors import Refused, Unavailable
from tests.delivery.books import (
    Inbox,
    account,
    opened,
    ran_on,
    table_of,
    table_of_ours,
    write,
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


class Deliveries(Jobs):
    """The jobs, pushing into an inbox."""

    def __init__(self, database: Database, inbox: Inbox, *, first: float, most: int) -> None:
        self.metrics = Metrics("1")
        super().__init__(Settings(site_name="EXAMPLE"), database, self.metrics)
        policy = pusher.Policy(most, backoff=Backoff(first, 3600))
        outbox = Outbox(database)
        self.others: dict[str, Callable[[], pusher.Pusher]] = {}
        self.made: Callable[[], pusher.Pusher] = lambda: pusher.Pusher(
            outbox, inbox, policy, chance=lambda: 0.0
        )

    def _pushers(self, *, at_once: bool) -> dict[str, pusher.Pusher]:
        del at_once
        return {"apel": self.made(), **{name: one() for name, one in self.others.items()}}


def jobs_of(database: Database, inbox: Inbox, *, first: float = 30, most: int = 500) -> Deliveries:
    return Deliveries(database, inbox, first=first, most=most)


def loop_of(jobs: Jobs, interval: float = 3600) -> PushLoop:
    return PushLoop(jobs, interval_seconds=interval)


def counted(jobs: Deliveries, ending: str) -> float:
    value: float = jobs.metrics.pushes.labels(ending)._value.get()
    return value


def test_what_is_due_is_pushed_and_counted(database: Database) -> None:
    write(database, [account(1), account(2)])
    inbox = Inbox()
    jobs = jobs_of(database, inbox, most=1)
    loop = loop_of(jobs)
    ended = loop.push_once()
    assert (len(inbox.bodies), counted(jobs, "done")) == (2, 1)
    assert jobs.metrics.delivered.labels("apel")._value.get() == 2
    assert (ended.error, loop.delay_seconds) == (None, 3600)


def test_after_a_failure_it_waits_as_long_as_the_outbox_says(database: Database) -> None:
    write(database, [account(1)])

    def down() -> None:
        raise Unavailable("No answer", "Wait.")

    jobs = jobs_of(database, Inbox(before=down))
    loop = loop_of(jobs)
    assert loop.push_once().error is not None
    assert 10 < loop.delay_seconds <= 15
    loop.push_once()  # too early: the outbox says so, and the wait stays
    assert loop.delay_seconds <= 15
    assert (counted(jobs, "unavailable"), counted(jobs, "incomplete")) == (1, 1)


def test_a_stopped_destination_is_left_alone_until_its_probe(database: Database) -> None:
    write(database, [account(1)])

    def no() -> None:
        raise Refused("No", "Register the DN.")

    loop = loop_of(jobs_of(database, Inbox(before=no)))
    loop.push_once()
    assert 6 * 3600 - 60 < loop.delay_seconds <= 6 * 3600


def test_another_pusher_and_a_broken_database_are_outlived(database: Database) -> None:
    jobs = jobs_of(database, Inbox())
    loop = loop_of(jobs)
    with database.exclusive("push"):
        loop.push_once()
    assert counted(jobs, "busy") == 1

    def refuse() -> pusher.Pusher:
        raise DatabaseError("full", "Free some space.")

    def divide() -> pusher.Pusher:
        raise ZeroDivisionError

    jobs.made = refuse
    assert isinstance(loop.push_once().error, DatabaseError)
    jobs.made = divide
    error = loop.push_once().error
    assert error is not None
    assert error.message.startswith("unexpected ZeroDivisionError in ")
    assert counted(jobs, "failed") == 2


def test_it_runs_until_it_is_stopped_and_can_be_woken(database: Database) -> None:
    inbox = Inbox()
    loop = loop_of(jobs_of(database, inbox))
    running = threading.Thread(target=loop.run)
    running.start()
    page = account(1)
    for count in (1, 2):
        write(database, [ran_on(page, 60)])
        loop.wake()
        deadline = time.monotonic() + 60
        while len(inbox.bodies) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    loop.stop()
    running.join(60)
    assert not running.is_alive()


def test_it_stops_between_two_messages(database: Database) -> None:
    write(database, [account(n) for n in range(5)])
    inbox = Inbox()
    jobs = jobs_of(database, inbox, most=1)
    loop = loop_of(jobs)

    def stop() -> None:
        if len(inbox.bodies) == 2:
            jobs.stop()
            loop.stop()

    inbox.after = stop
    loop.run()
    assert (len(inbox.bodies), counted(jobs, "stopped")) == (2, 1)
    inbox.after = lambda: None
    jobs_of(database, inbox, most=1).push()
    assert len(inbox.bodies) == 5


def test_a_push_beside_one_of_the_same_service_says_so_and_waits_for_its_turn(
    database: Database,
) -> None:
    write(database, [account(1)])
    arrived, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        assert go_on.wait(60)

    jobs = jobs_of(database, Inbox(before=hold))
    first = threading.Thread(target=jobs.push)
    first.start()
    assert arrived.wait(60)
    busy = jobs.push(waits=False)
    assert busy.ending is Ending.BUSY
    assert busy.error is not None
    assert busy.error.message == "a push is under way in this service"
    seen: list[Mapping[str, Any]] = []

    def watch(progress: Mapping[str, Any]) -> None:
        seen.append(progress)
        go_on.set()

    assert jobs.push(watch).ending is Ending.DONE
    first.join(60)
    assert seen == [{"waits_for": "a push that is under way in this service"}]
    assert (counted(jobs, "done"), counted(jobs, "busy")) == (2, 1)


def test_a_push_that_waits_for_its_turn_ends_when_the_service_stops(database: Database) -> None:
    jobs = jobs_of(database, Inbox())
    with jobs._turns[JobKind.PUSH]:
        ended = jobs.push(lambda _: jobs.stop())
    assert ended.ending is Ending.STOPPED


def test_serve_pushes_by_itself(database: Database, tmp_path: Path) -> None:
    write(database, [account(1)])
    program = Path(sys.executable).with_name("notebooks-accounting")
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_DATABASE_URL": str(database.url),
        "ACCOUNTING_SITE_NAME": "EXAMPLE",
        "ACCOUNTING_PROMETHEUS__URL": f"http://127.0.0.1:{free_port()}",
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_SSM__TRANSPORT": "dirq",
        "ACCOUNTING_SSM__DIRQ_PATH": str(tmp_path / "spool"),
    }
    with subprocess.Popen(
        [program, "serve", "--port", "0"], env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 120
            while not list(tmp_path.glob("spool/*/*")):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.terminate()
            process.wait(60)


def test_a_destination_that_stands_still_keeps_no_other_waiting(database: Database) -> None:
    """It hangs until the other one has got everything, twice."""
    write(database, [account(1), account(2)])
    done = threading.Event()
    quick, slow = Inbox(), Inbox("inbox://slow.example.org")

    def hang() -> None:
        done.wait(60)

    slow.before = hang
    jobs = jobs_of(database, quick)
    jobs.others["slow"] = lambda: pusher.Pusher(Outbox(database), slow)
    ends = []
    hanging = threading.Thread(target=lambda: ends.append(jobs.push(only="slow")))
    hanging.start()
    assert jobs.push(only="apel").ending is Ending.DONE
    write(database, [ran_on(account(1), 60)])
    assert jobs.push(only="apel").ending is Ending.DONE
    assert (len(quick.bodies), slow.bodies) == (2, [])
    done.set()
    hanging.join(60)
    assert [one.ending for one in ends] == [Ending.DONE]
    assert jobs.push(only="slow").ending is Ending.DONE  # what changed behind it meanwhile
    assert table_of(slow.bodies) == table_of(quick.bodies) == table_of_ours(database)


def test_a_push_tells_of_each_destination_and_a_failure_of_one_is_its_own(
    database: Database,
) -> None:
    write(database, [account(1), account(2)])

    def down() -> None:
        raise Unavailable("No answer", "Wait.")

    good, bad = Inbox(), Inbox("inbox://bad.example.org", before=down)
    jobs = jobs_of(database, good)
    jobs.others["bad"] = lambda: pusher.Pusher(Outbox(database), bad, position=1)
    ended = jobs.push()
    assert ended.result is not None
    assert ended.ending is Ending.UNAVAILABLE
    assert [(one["sent"], one["pending"]) for one in ended.result["destinations"]] == [
        (1, 0),
        (0, 1),
    ]
    assert (ended.result["records"], ended.result["sent"]) == (4, 1)
    assert len(good.bodies) == 1
    with database.exclusive(pusher.lock_of(bad.name)):
        ended = jobs.push(at_once=True)
    assert ended.result is not None
    assert "another process" in ended.result["destinations"][1]["error"]["error"]
