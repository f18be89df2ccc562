"""A world in which pushers of hours are killed and EOSC's accounting fails: hours must end right.

Its metrics are made, corrected and deleted one by one, and the receiver does not de-duplicate. So
what counts is the sum of all metrics of a user, group, definition and day.
"""

import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from accounting.delivery.outlets.hours import Hours, figure_of
from accounting.model.messages import OutletKind, address
from accounting.model.pods import Account, Owner
from accounting.model.time import Month
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.simulation.judges.standin import Fault, Trouble
from accounting.store.engine.database import Database
from accounting.store.records import Records
from accounting.store.tables import delivered, progress
from tests.delivery.books import NOVEMBER, account, ran_on, write
from tests.delivery.crash import KILLED, Nursery, Order
from tests.delivery.eosc import METRICS
from tests.delivery.nursery import DONE

Sums = dict[tuple[str, str, str, str], float]
_DAY = 86400
_QUIET_SECONDS = 60.0


@dataclass
class HoursWorld:
    """One database, a receiver that may be restarted, and pods that go on running."""

    database: Database
    nursery: Nursery
    eosc: Eosc
    standin: EoscStandin
    pages: list[Account] = field(default_factory=list)
    watermark: int = NOVEMBER.start
    records_per_message: int = 2
    kills: int = 0
    pushes: int = 0

    def live_on(self, seconds: float, *, ended: bool = False) -> None:
        """Pods run on; a poll writes it down."""
        for page in self.pages:
            if not page.pod.ended:
                ran_on(page, seconds, ended=ended)
        self.poll()

    def poll(self) -> None:
        """Write down what is; the watermark is behind all of it, and some days are over."""
        write(self.database, self.pages)
        last = max(page.pod.last_running_at for page in self.pages)
        self.watermark = max(self.watermark, int(last) + 2 * _DAY)
        with self.database.begin() as connection:
            connection.execute(progress.update().values(watermark=self.watermark))

    def push(self, dies_at: int | None = None, **how: Any) -> list[int]:
        """Push, perhaps die of it, and wait until the receiver has finished with what it got.

        Args:
            dies_at: die with the n-th answer, before it is noted.
            how: see ``Order``.
        """
        where = {"url": self.standin.url, "token_url": self.standin.token_url, "dies_at": dies_at}
        place = {"records": "hours", "eosc": where}
        url = self.database.url.render_as_string(hide_password=False)
        order = Order(url, [place], "", "", self.records_per_message, **how)
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
        while self.eosc.busy:
            assert time.monotonic() < deadline, "the receiver does not come to rest"
            time.sleep(0.001)

    def restart(self) -> None:
        """End the receiver, and start it anew on the same port; its tokens are good no more."""
        self.standin.stop()
        self.eosc.tokens.clear()
        self.standin = EoscStandin(self.eosc, self.standin.port)
        self.standin.start()

    def finish(self) -> None:
        """A last push, without trouble; then the receiver must hold what the ledger says."""
        self.eosc.troubles.clear()
        for _ in range(3):
            if self.push() == [DONE]:
                break
        else:
            raise AssertionError("something was left without a reason")
        assert self.eosc.hours() == self.ours() == self.told()

    def ours(self) -> Sums:
        """What the ledger says, and 0 for what the receiver was told of and is no more."""
        where = address(self.standin.url, OutletKind.HOURS)
        found: Sums = {}
        months = {record.month for record in Records(self.database).find()}
        with self.database.begin(reading=True) as connection:
            for month in {earlier for one in months for earlier in (one, _before(one))}:
                for figure, seconds in Hours(METRICS)._figures(connection, where, month):
                    day = time.strftime("%Y-%m-%d", time.gmtime(figure.day * _DAY))
                    key = (figure.metric.definition, figure.user, figure.vo, day)
                    found[key] = seconds / 3600
        return found

    def told(self) -> Sums:
        """What the outbox says that the receiver holds."""
        with self.database.begin(reading=True) as connection:
            texts = connection.execute(delivered.select()).all()
        found: Sums = {}
        for row in texts:
            values = json.loads(row.text)
            figure = figure_of(values)
            day = values["time_period_start"][:10]
            found[figure.metric.definition, figure.user, figure.vo, day] = values["value"]
        return found


def _before(month: Month) -> Month:
    return Month.of(month.start - 1)


def notebook(number: int, chance: random.Random) -> Account:
    """Of one of three users, in one of two flavours."""
    page = account(number)
    user, flavor = f"u{chance.randrange(3)}", chance.choice(("small", "large"))
    page.pod.owner = Owner(user, "vo.example.org", flavor)
    return page


@contextmanager
def hours_world(url: str, nursery: Nursery) -> Iterator[HoursWorld]:
    """An empty one."""
    eosc = Eosc(now=lambda: 4e9)
    standin = EoscStandin(eosc)
    standin.start()
    with Database(url) as database:
        database.upgrade()
        made = HoursWorld(database, nursery, eosc, standin)
        try:
            yield made
        finally:
            made.standin.stop()


def random_hours(here: HoursWorld, seed: int) -> None:
    """Days of pods, faults, kills, restarts and rivals, all from one seed; then the check."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    here.records_per_message = chance.choice((1, 2, 5))
    for number in range(chance.randint(2, 4)):
        for page in here.pages:
            if not page.pod.ended and chance.random() < 0.7:
                ran_on(page, chance.uniform(60, 3 * _DAY), ended=chance.random() < 0.3)
        more = chance.randint(0 if here.pages else 1, 3)
        here.pages += [notebook(len(here.pages) + n, chance) for n in range(more)]
        here.poll()
        if chance.random() < 0.2:
            here.restart()
        _trouble(here, chance)
        here.push(**_death(chance) if number else {"dies_at": chance.randint(1, 4)}, seed=seed)
    here.finish()


def _trouble(here: HoursWorld, chance: random.Random) -> None:
    faults = (Fault.LOSE_ANSWER, Fault.LOSE_ANSWER, Fault.CLOSE, Fault.SLOW, 401, 429, 500, 503)
    for _ in range(chance.randint(0, 4)):
        on = chance.choice(("any", "POST", "PATCH", "GET", "TOKEN"))
        here.eosc.troubles.append(Trouble(chance.choice(faults), on, chance.uniform(0, 0.05)))


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
