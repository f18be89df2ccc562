"""A world in which pushers of hours are killed and EOSC's accounting fails: hours must end right.

Its metrics are made, corrected and deleted one by one, and the receiver does not de-duplicate. So
what counts is the sum of all metrics of a user, group, definition and day.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounting.delivery.outlets.hours import Hours, figure_of
from accounting.model.messages import OutletKind, address
from accounting.model.pods import Account, Owner
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.store.engine.database import Database
from accounting.store.records import Records
from accounting.store.tables import delivered, progress
from tests.delivery.books import account, ran_on, write
from tests.delivery.crash import Nursery
from tests.delivery.crash_http import HttpWorld, before
from tests.delivery.eosc import METRICS

Sums = dict[tuple[str, str, str, str], float]
_DAY = 86400


class HoursWorld(HttpWorld):
    """A ledger, and EOSC's accounting."""

    methods = ("POST", "PATCH", "GET", "TOKEN")
    receiver: Eosc

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

    def poll_at_random(self, chance: random.Random) -> None:
        """See ``HttpWorld``."""
        for page in self.pages:
            if not page.pod.ended and chance.random() < 0.7:
                ran_on(page, chance.uniform(60, 3 * _DAY), ended=chance.random() < 0.3)
        more = chance.randint(0 if self.pages else 1, 3)
        self.pages += [notebook(len(self.pages) + n, chance) for n in range(more)]
        self.poll()

    def place(self, dies_at: int | None) -> dict[str, Any]:
        """See ``HttpWorld``."""
        url = self.standin.url
        return {
            "records": "hours",
            "eosc": {"url": url, "token_url": f"{url}/token"},
            "at": dies_at,
        }

    def begun_anew(self, port: int) -> EoscStandin:
        """See ``HttpWorld``."""
        self.receiver.tokens.clear()
        return EoscStandin(self.receiver, port)

    def check(self) -> None:
        """See ``HttpWorld``."""
        assert self.receiver.hours() == self.ours() == self.told()

    def ours(self) -> Sums:
        """What the ledger says, and 0 for what the receiver was told of and is no more."""
        where = address(self.standin.url, OutletKind.HOURS)
        found: Sums = {}
        months = {record.month for record in Records(self.database).find()}
        with self.database.begin(reading=True) as connection:
            for month in before(months):
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
        database.ensure_current()
        made = HoursWorld(database, nursery, eosc, standin)
        try:
            yield made
        finally:
            made.standin.stop()
