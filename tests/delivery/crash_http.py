"""A receiver over HTTP that fails and is restarted, while the pushers that tell it are killed.

Such receivers do not de-duplicate, so a lost answer or a death must never be followed by a second
figure.
"""

import random
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from accounting.model.pods import Account
from accounting.model.time import Month
from accounting.simulation.judges.standin import Fault, Receiver, Standin, Trouble
from accounting.store.engine.database import Database
from tests.delivery.books import NOVEMBER
from tests.delivery.crash import KILLED, Nursery, Order
from tests.delivery.nursery import DONE

_QUIET_SECONDS = 60.0


@dataclass
class HttpWorld(ABC):
    """One database, a receiver that may be restarted, and pods that go on running."""

    database: Database
    nursery: Nursery
    receiver: Receiver
    standin: Standin
    pages: list[Account] = field(default_factory=list)
    watermark: int = NOVEMBER.start
    records_per_message: int = 2
    kills: int = 0
    pushes: int = 0

    faults: ClassVar[tuple[Fault | int, ...]] = (
        Fault.LOSE_ANSWER,
        Fault.LOSE_ANSWER,
        Fault.CLOSE,
        Fault.SLOW,
        401,
        429,
        500,
        503,
    )
    methods: ClassVar[tuple[str, ...]]

    @abstractmethod
    def place(self, dies_at: int | None) -> dict[str, Any]:
        """The destination, as the nursery takes it."""

    @abstractmethod
    def begun_anew(self, port: int) -> Standin:
        """The receiver with what it holds, on a port; its tokens are good no more."""

    @abstractmethod
    def check(self) -> None:
        """The receiver holds what the ledger says, each figure once."""

    @abstractmethod
    def poll_at_random(self, chance: random.Random) -> None:
        """Pods start, run on and end; a poll writes it down."""

    def push(self, dies_at: int | None = None, **how: Any) -> list[int]:
        """Push, perhaps die of it, and wait until the receiver has finished with what it got.

        Args:
            dies_at: die with the n-th answer, before it is noted.
            how: see ``Order``.
        """
        url = self.database.url.render_as_string(hide_password=False)
        order = Order(url, [self.place(dies_at)], "", "", self.records_per_message, **how)
        codes = self.nursery.push(order)
        self.pushes += len(codes)
        self.kills += codes.count(KILLED)
        self._wait_until_quiet()
        return codes

    def _wait_until_quiet(self) -> None:
        """What `Policy.settle_seconds` is for: a dead pusher's request may still be at work."""
        with socket.create_connection(("127.0.0.1", self.standin.port), _QUIET_SECONDS) as last:
            # It is answered after all that came before it was accepted.
            last.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionError):
                last.recv(1)
        deadline = time.monotonic() + _QUIET_SECONDS
        while self.receiver.busy:
            assert time.monotonic() < deadline, "the receiver does not come to rest"
            time.sleep(0.001)

    def restart(self) -> None:
        """End the receiver, and start it anew on the same port."""
        self.standin.stop()
        self.standin = self.begun_anew(self.standin.port)
        self.standin.start()

    def finish(self) -> None:
        """A last push, without trouble; then the check."""
        self.receiver.troubles.clear()
        for _ in range(3):
            if self.push() == [DONE]:
                break
        else:
            raise AssertionError("something was left without a reason")
        self.check()


def killed_at_every_boundary(here: HttpWorld, live_on: Callable[[], None], stride: int) -> None:
    """Let a push die at each statement, commit and request in turn, until one gets through.

    Args:
        here: the world.
        live_on: makes something to tell before each push.
        stride: takes every n-th boundary only.
    """
    boundary, deaths = 0, 0
    while True:
        boundary += stride
        live_on()
        if here.push(kill_at=boundary) == [DONE]:
            break
        deaths += 1
        assert here.kills == deaths
        if deaths % 3 == 0:
            here.finish()
    print(f"{deaths} boundaries")  # noqa: T201 - for make soak
    assert deaths > 3
    here.finish()


def dies_with_every_answer(here: HttpWorld, live_on: Callable[[], None]) -> None:
    """Let a push die with each answer in turn, before it is noted, until one gets through."""
    for answer in range(1, 100):
        live_on()
        if here.push(dies_at=answer) == [DONE]:
            break
    assert here.kills > 4
    here.finish()


def random_run(here: HttpWorld, seed: int) -> list[str]:
    """Days of pods, faults, kills, restarts and rivals, all from one seed; then the check.

    Returns:
        Which outlet it was.
    """
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    here.records_per_message = chance.choice((1, 2, 5))
    for number in range(chance.randint(2, 4)):
        here.poll_at_random(chance)
        if chance.random() < 0.2:
            here.restart()
        for _ in range(chance.randint(0, 4)):
            fault, on = chance.choice(here.faults), chance.choice(("any", *here.methods))
            here.receiver.troubles.append(Trouble(fault, on, chance.uniform(0, 0.05)))
        here.push(**_death(chance) if number else {"dies_at": chance.randint(1, 4)}, seed=seed)
    here.finish()
    return [here.place(None)["records"]]


def _death(chance: random.Random) -> dict[str, Any]:
    match chance.randrange(6):
        case 0:
            return {}
        case 1:
            return {"pushers": 2}
        case 2:
            return {"kill_after": chance.uniform(0, 0.3), "pushers": chance.choice((1, 2))}
        case 3 | 4:
            return {"dies_at": chance.randint(1, 12)}
        case _:
            return {"kill_at": chance.randint(1, 80)}


def before(months: Iterable[Month]) -> set[Month]:
    """Months, and the one before each."""
    return {earlier for one in months for earlier in (one, Month.of(one.start - 1))}
