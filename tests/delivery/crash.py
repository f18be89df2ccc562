"""A world in which pushers are killed, brokers fail, and the receiver must end up right.

The receiver's table is computed from the broker's log as the repository does it, and must equal
our records; and per pod and month nothing older may ever have followed something newer.
"""

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import text

from accounting.model.pods import Account
from accounting.records import apel
from accounting.simulation.judges.repository import Repository
from accounting.store.database import Database
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.smime import verify
from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.delivery.books import account, ran_on, table_of_ours, write
from tests.delivery.nursery import BROKEN, BUSY, DONE, LEFT

KILLED = -9
_ROOT = Path(__file__).parents[2]
_QUIET_SECONDS = 60.0
_DAYS = 86400.0


@dataclass(frozen=True)
class Order:
    """One push, or several at once.

    Attributes:
        kill_at: die at the n-th boundary; None: do not.
        kill_after: die after so many seconds; None: do not.
        pushers: how many at once.
    """

    url: str
    ams: dict[str, Any]
    cert: str
    key: str
    records_per_message: int
    kill_at: int | None = None
    kill_after: float | None = None
    pushers: int = 1
    seed: int = 0


class Nursery:
    """The process that children are forked from; see ``nursery.py``."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.delivery.nursery"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.stdout
        self._process.stdout.close()
        assert self._process.wait(60) == 0

    def push(self, order: Order) -> list[int]:
        """The children's exit codes."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        codes: list[int] = json.loads(self._process.stdout.readline())
        assert set(codes) <= {DONE, LEFT, BUSY, KILLED}, (BROKEN, codes)
        return codes


@dataclass
class World:
    """One database, one broker that may be restarted, and pods that go on running."""

    database: Database
    broker: AmsStandin
    authority: Authority
    host: Issued
    nursery: Nursery
    journal: Path
    pages: list[Account]
    records_per_message: int = 3
    repository: Repository = field(default_factory=Repository)
    latest: dict[tuple[str, Any], tuple[int, bool]] = field(default_factory=dict)
    kills: int = 0
    pushes: int = 0

    def __post_init__(self) -> None:
        self.certificate = HostCertificate.load(*self.host).certificate

    def order(self) -> Order:
        ams = AmsSettings(
            host=self.broker.host,
            port=self.broker.port,
            authn_port=self.broker.authn_port,
            project="accounting",
            topic="eu-egi-cloud-accounting",
            ca_file=self.authority.ca_file,
            timeout_seconds=10,
            suspect_bytes=5000,
        )
        return Order(
            self.database.url.render_as_string(hide_password=False),
            {**asdict(ams), "ca_file": str(ams.ca_file)},
            str(self.host.cert),
            str(self.host.key),
            self.records_per_message,
        )

    def push(self, **how: Any) -> list[int]:
        """Push, perhaps die of it, and wait until the broker has finished with what it got."""
        codes = self.nursery.push(replace(self.order(), **how))
        self.pushes += len(codes)
        self.kills += codes.count(KILLED)
        self._wait_until_quiet()
        return codes

    def _wait_until_quiet(self) -> None:
        """What `Policy.settle_seconds` is for: a dead pusher's request may still be at work."""
        for port in (self.broker.port, self.broker.authn_port):
            with socket.create_connection(("127.0.0.1", port), _QUIET_SECONDS) as last:
                # It is answered after all that came before it were accepted.
                last.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):
                    last.recv(1)
        deadline = time.monotonic() + _QUIET_SECONDS
        while self.broker.busy:
            assert time.monotonic() < deadline, "the broker does not come to rest"
            time.sleep(0.001)

    def restart_broker(self) -> None:
        """End it, and start it anew from its journal on the same ports."""
        port, authn_port = self.broker.port, self.broker.authn_port
        self.broker.stop()
        self.broker = AmsStandin(
            self.authority, port=port, authn_port=authn_port, journal=self.journal
        )
        self.broker.start()

    def finish(self) -> None:
        """A last push, without trouble."""
        self.broker.faults.clear()
        self.broker.broker.producer_limit = 10**6
        for _ in range(3):
            if self.push() == [DONE]:
                break
        else:
            raise AssertionError("something was left without a reason")
        self.check()

    def check(self) -> None:
        """The receiver's table is ours, and nothing older ever followed something newer."""
        for stored in self.broker.log[self.repository.accepted :]:
            for record in self.repository.load(verify(stored.data, self.certificate)):
                key = (record.uuid, record.month)
                now = (record.integer("WallDuration"), record.text("Status") == "completed")
                before = self.latest.get(key, (0, False))
                assert before <= now, f"{key}: {now} after {before}"
                self.latest[key] = now
        theirs = {
            key: (row.text("Status"), row.integer("WallDuration"), row.integer("CpuDuration"))
            for key, row in self.repository.rows.items()
        }
        assert theirs == table_of_ours(self.database)
        with self.database.begin(reading=True) as connection:
            held = connection.execute(text("SELECT uid, text FROM delivered")).all()
        assert {
            (uid, apel.parsed(said)["WallDuration"], apel.parsed(said)["Status"])
            for uid, said in held
        } == {(uid, str(wall), status) for (uid, _), (status, wall, _) in theirs.items()}


@contextmanager
def world(
    folder: Path, url: str, authority: Authority, host: Issued, nursery: Nursery
) -> Iterator[World]:
    """An empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = folder / "journal"
    with Database(url) as database:
        database.upgrade()
        broker = AmsStandin(authority, journal=journal)
        broker.start()
        made = World(database, broker, authority, host, nursery, journal, [])
        try:
            yield made
        finally:
            made.broker.stop()


def random_run(here: World, seed: int) -> None:
    """Days of pods, faults, kills, restarts and rivals, all from one seed; then the check."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    here.records_per_message = chance.choice((1, 2, 3, 7))
    for number in range(chance.randint(2, 5)):
        _live_on(here, chance)
        _trouble(here, chance)
        # The first one dies for sure: so early that it had something to do.
        death = _death(chance) if number else {"kill_at": chance.randint(1, 15)}
        here.push(**death, seed=seed)
    here.finish()


def _live_on(here: World, chance: random.Random) -> None:
    """Pods start, run on (over the month's end too) and end; a poll writes it down."""
    for page in here.pages:
        if not page.pod.ended and chance.random() < 0.7:
            ran_on(page, chance.uniform(60, 12 * _DAYS), ended=chance.random() < 0.3)
    here.pages += [
        account(len(here.pages) + n) for n in range(chance.randint(0 if here.pages else 1, 3))
    ]
    write(here.database, here.pages)


def _trouble(here: World, chance: random.Random) -> None:
    """What the broker will do wrong."""
    if chance.random() < 0.2:
        here.restart_broker()
    here.broker.broker.producer_limit = chance.choice((10**6, 10**6, 5000))
    for _ in range(chance.randint(0, 3)):
        fault = chance.choice(
            (
                Fault.DROP_ANSWER,
                Fault.DROP_ANSWER,
                Fault.CLOSE,
                401,
                429,
                503,
                500,
                Fault.EMPTY_ERROR,
                Fault.EMPTY_OK,
                Fault.SLOW,
            )
        )
        here.broker.fail(fault, seconds=chance.uniform(0, 0.05), on="any")


def _death(chance: random.Random) -> dict[str, Any]:
    """When the pusher dies, and whether it has a rival."""
    match chance.randrange(5):
        case 0:
            return {}
        case 1:
            return {"pushers": 2}
        case 2:
            return {"kill_after": chance.uniform(0, 0.15), "pushers": chance.choice((1, 2))}
        case _:
            return {"kill_at": chance.randint(1, 45)}
