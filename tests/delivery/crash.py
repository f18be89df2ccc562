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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accounting.model.messages import address
from accounting.model.pods import Account
from accounting.store.engine.database import Database
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.smime import verify
from ssm.testing.authority import Authority, Issued
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.delivery.books import measured_whole, ran_on, with_gpus, write
from tests.delivery.nursery import BROKEN, BUSY, DONE, LEFT, OUTLETS
from tests.delivery.receivers import Receiver, held, receiver_of
from tests.delivery.volumes import DAY, homes
from tests.delivery.volumes import seen as home_seen

KILLED = -9
_ROOT = Path(__file__).parents[2]
_QUIET_SECONDS = 60.0
_DAYS = 86400.0


@dataclass(frozen=True)
class Place:
    """A destination: its topic, and what it takes, as the settings say it."""

    topic: str
    records: str = "individual"


FIRST = Place("eu-egi-cloud-accounting")
ALL = (FIRST, Place("copy"), Place("sums", "summary"))
OTHERS = (Place("gpus", "accelerators"), Place("homes", "storage"))


@dataclass(frozen=True)
class Order:
    """One push, or several at once.

    Attributes:
        kill_at: die at the n-th boundary; None: do not.
        kill_after: die after so many seconds; None: do not.
        pushers: how many at once.
    """

    url: str
    places: Sequence[dict[str, Any]]
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
    """One database, brokers that may be restarted, and pods that go on running."""

    database: Database
    authority: Authority
    host: Issued
    nursery: Nursery
    folder: Path
    pages: list[Account]
    places: Sequence[Place] = (FIRST,)
    records_per_message: int = 3
    brokers: dict[Place, AmsStandin] = field(default_factory=dict)
    receivers: dict[Place, Receiver] = field(default_factory=dict)
    read: dict[Place, int] = field(default_factory=dict)
    kills: int = 0
    pushes: int = 0
    stored: int = 0

    def __post_init__(self) -> None:
        self.certificate = HostCertificate.load(*self.host).certificate

    @property
    def broker(self) -> AmsStandin:
        """The first destination's."""
        return self.at(self.places[0])

    def at(self, place: Place) -> AmsStandin:
        """A destination's broker; each has its own."""
        if place not in self.brokers:
            self.brokers[place] = AmsStandin(
                self.authority, topic=place.topic, journal=self.folder / place.topic
            )
            self.brokers[place].start()
        return self.brokers[place]

    def ams(self, place: Place) -> AmsSettings:
        """How to reach it."""
        broker = self.at(place)
        return AmsSettings(
            host=broker.host,
            port=broker.port,
            authn_port=broker.authn_port,
            project="accounting",
            topic=place.topic,
            ca_file=self.authority.ca_file,
            timeout_seconds=10,
            suspect_bytes=5000,
        )

    def order(self) -> Order:
        return Order(
            self.database.url.render_as_string(hide_password=False),
            [
                {"records": place.records, "ams": {**asdict(ams), "ca_file": str(ams.ca_file)}}
                for place in self.places
                for ams in (self.ams(place),)
            ],
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
        for broker in self.brokers.values():
            self._wait_for(broker)

    def _wait_for(self, broker: AmsStandin) -> None:
        for port in (broker.port, broker.authn_port):
            with socket.create_connection(("127.0.0.1", port), _QUIET_SECONDS) as last:
                # It is answered after all that came before it were accepted.
                last.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):
                    last.recv(1)
        deadline = time.monotonic() + _QUIET_SECONDS
        while broker.busy:
            assert time.monotonic() < deadline, "the broker does not come to rest"
            time.sleep(0.001)

    def restart_broker(self, place: Place) -> None:
        """End it, and start it anew from its journal on the same ports."""
        old = self.brokers.pop(place)
        old.stop()
        self.brokers[place] = AmsStandin(
            self.authority,
            topic=place.topic,
            port=old.port,
            authn_port=old.authn_port,
            journal=self.folder / place.topic,
        )
        self.brokers[place].start()

    def finish(self) -> None:
        """A last push, without trouble."""
        for broker in self.brokers.values():
            broker.faults.clear()
            broker.broker.producer_limit = 10**6
        for _ in range(3):
            if self.push() == [DONE]:
                break
        else:
            raise AssertionError("something was left without a reason")
        self.check()

    def check(self) -> None:
        """Each receiver's table is ours, and nothing older ever followed something newer."""
        for place in self.places:
            receiver = self.receivers.setdefault(place, receiver_of(place.records))
            log = self.at(place).log
            for stored in log[self.read.get(place, 0) :]:
                receiver.load(verify(stored.data, self.certificate))
            self.read[place] = len(log)
            where = address(self.ams(place).destination, OUTLETS[place.records]().kind)
            assert receiver.table() == receiver.ours(self.database, where), place
            assert receiver.table() == held(self.database, where, receiver), place


@contextmanager
def world(
    folder: Path, url: str, authority: Authority, host: Issued, nursery: Nursery
) -> Iterator[World]:
    """An empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    with Database(url) as database:
        database.ensure_current()
        measured_whole(database)
        made = World(database, authority, host, nursery, folder, [])
        try:
            yield made
        finally:
            for broker in made.brokers.values():
                broker.stop()


def random_run(here: World, seed: int) -> list[str]:
    """Days of pods, faults, kills, restarts and rivals, all from one seed; then the check.

    Returns:
        Which outlets were in it.
    """
    chance, here.records_per_message, here.places = _drawn(seed)
    for number in range(chance.randint(2, 5)):
        _live_on(here, chance)
        _trouble(here, chance)
        # The first one dies for sure: so early that it had something to do.
        death = _death(chance, len(here.places)) if number else {"kill_at": chance.randint(1, 15)}
        here.push(**death, seed=seed)
    here.finish()
    return sorted({place.records for place in here.places})


def outlets_of(seed: int) -> set[str]:
    """Which outlets are in a random run."""
    return {place.records for place in _drawn(seed)[2]}


def _drawn(seed: int) -> tuple[random.Random, int, Sequence[Place]]:
    """What decides a run; how many records a message has; the destinations."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    records_per_message = chance.choice((1, 2, 3, 7))
    places = chance.choice((ALL[:1], ALL[1:], ALL, (*ALL, *OTHERS), OTHERS))
    return chance, records_per_message, places


def _live_on(here: World, chance: random.Random) -> None:
    """Pods start, run on (over the month's end too) and end; a poll writes it down."""
    for page in here.pages:
        if not page.pod.ended and chance.random() < 0.7:
            ran_on(page, chance.uniform(60, 12 * _DAYS), ended=chance.random() < 0.3)
    here.pages += [
        with_gpus(len(here.pages) + n) for n in range(chance.randint(0 if here.pages else 1, 3))
    ]
    write(here.database, here.pages)
    if any(place.records == "storage" for place in here.places):
        fill_homes(here, chance.randint(1, 4))


def fill_homes(here: World, days: int) -> None:
    """Some days of homes that are over: new ones, and others with more in them than before."""
    here.stored += 1
    told = [
        home_seen(number, day=DAY - 12 - day, used=1000 * here.stored)
        for number in range(2)
        for day in range(days)
    ]
    homes(here.database, told)


def _trouble(here: World, chance: random.Random) -> None:
    """What the brokers will do wrong."""
    for place in here.places:
        _trouble_at(here, place, chance)


def _trouble_at(here: World, place: Place, chance: random.Random) -> None:
    broker = here.at(place)
    if chance.random() < 0.2:
        here.restart_broker(place)
        broker = here.at(place)
    broker.broker.producer_limit = chance.choice((10**6, 10**6, 5000))
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
        broker.fail(fault, seconds=chance.uniform(0, 0.05), on="any")


def _death(chance: random.Random, places: int) -> dict[str, Any]:
    """When the pusher dies, and whether it has a rival."""
    match chance.randrange(5):
        case 0:
            return {}
        case 1:
            return {"pushers": 2}
        case 2:
            return {"kill_after": chance.uniform(0, 0.15), "pushers": chance.choice((1, 2))}
        case _:
            return {"kill_at": chance.randint(1, 45 * places)}
