"""The service's push loop."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accounting.delivery import pusher
from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.errors import DatabaseError
from accounting.service.push_loop import PushLoop
from accounting.simulation.engines import free_port
from accounting.store.database import Database
from accounting.telemetry import Metrics
from ssm.errors import Refused, Unavailable
from tests.delivery.books import Inbox, account, opened, ran_on, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


def loop_of(
    database: Database, inbox: Inbox, *, interval: float = 3600, first: float = 30, most: int = 500
) -> PushLoop:
    policy = pusher.Policy(most, backoff=Backoff(first, 3600))
    return PushLoop(
        lambda: pusher.Pusher(Outbox(database), inbox, policy, chance=lambda: 0.0),
        interval_seconds=interval,
        metrics=Metrics("1"),
    )


def counted(loop: PushLoop, result: str) -> float:
    value: float = loop._metrics.pushes.labels(result)._value.get()
    return value


def test_what_is_due_is_pushed_and_counted(database: Database) -> None:
    write(database, [account(1), account(2)])
    inbox = Inbox()
    loop = loop_of(database, inbox, most=1)
    loop.push_once()
    assert (len(inbox.bodies), counted(loop, "done")) == (2, 1)
    assert loop._metrics.delivered._value.get() == 2
    assert (loop.error, loop.delay_seconds) == (None, 3600)


def test_after_a_failure_it_waits_as_long_as_the_outbox_says(database: Database) -> None:
    write(database, [account(1)])

    def down() -> None:
        raise Unavailable("No answer", "Wait.")

    loop = loop_of(database, Inbox(before=down))
    loop.push_once()
    assert loop.error is not None
    assert 10 < loop.delay_seconds <= 15
    loop.push_once()  # too early: the outbox says so, and the wait stays
    assert loop.delay_seconds <= 15
    assert (counted(loop, "unavailable"), counted(loop, "incomplete")) == (1, 1)


def test_a_stopped_destination_is_left_alone_until_its_probe(database: Database) -> None:
    write(database, [account(1)])

    def no() -> None:
        raise Refused("No", "Register the DN.")

    loop = loop_of(database, Inbox(before=no))
    loop.push_once()
    assert 6 * 3600 - 60 < loop.delay_seconds <= 6 * 3600


def test_another_pusher_and_a_broken_database_are_outlived(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(database, Inbox())
    with database.exclusive("push"):
        loop.push_once()
    assert counted(loop, "busy") == 1

    def refuse() -> pusher.Pusher:
        raise DatabaseError("full", "Free some space.")

    def divide() -> pusher.Pusher:
        raise ZeroDivisionError

    monkeypatch.setattr(loop, "_pusher_of", refuse)
    loop.push_once()
    assert isinstance(loop.error, DatabaseError)
    monkeypatch.setattr(loop, "_pusher_of", divide)
    loop.push_once()
    assert loop.error.message.startswith("unexpected ZeroDivisionError in ")
    assert counted(loop, "failed") == 2


def test_it_runs_until_it_is_stopped_and_can_be_woken(database: Database) -> None:
    inbox = Inbox()
    loop = loop_of(database, inbox)
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
    loop = loop_of(database, inbox, most=1)
    inbox.after = lambda: loop.stop() if len(inbox.bodies) == 2 else None
    loop.run()
    assert len(inbox.bodies) == 2
    inbox.after = lambda: None
    loop_of(database, inbox, most=1).push_once()
    assert len(inbox.bodies) == 5


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
