"""A world in which pushers of energy are killed and the CIM fails: each day must be there once.

The CIM stores each submission as it is, de-duplicates nothing and corrects nothing. So what counts
is the sum of all its records of a notebook and a day.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accounting.model.pods import Account
from accounting.simulation.judges.cim import BASE, Cim, CimStandin
from accounting.store.engine.database import Database
from accounting.store.tables import delivered
from tests.delivery.books import ran_on
from tests.delivery.cim import DAY, EnergySite, measured, notebook
from tests.delivery.crash import Nursery
from tests.delivery.crash_http import HttpWorld

_JOULES = 3600.0


class EnergyWorld(HttpWorld):
    """A ledger, and GreenDIGIT's CIM."""

    methods = ("POST", "GET", "TOKEN")
    receiver: Cim

    def live_on(self, days: int = 1) -> None:
        """All notebooks that run go on for some days; a poll writes it down."""
        for page in self.pages:
            if not page.pod.ended:
                self._runs_on(page, days)
        self._poll()

    @staticmethod
    def _runs_on(page: Account, days: int) -> None:
        """Each day takes more than the one before: a day that is told as another one is seen."""
        for _ in range(days):
            so_far = len(page.days)
            joules = _JOULES * (so_far + 1) * (so_far + 2) / 2
            measured(page, (so_far, 100.0 * (so_far + 1), joules))
            ran_on(page, DAY)

    def _poll(self) -> None:
        last = max(page.pod.last_running_at for page in self.pages)
        self.watermark = max(self.watermark, int(last) + 2 * DAY)
        site = EnergySite(self.database, self.receiver, self._cim)
        site.poll(self.pages, self.watermark)

    def poll_at_random(self, chance: random.Random) -> None:
        """See ``HttpWorld``."""
        for page in self.pages:
            if not page.pod.ended and chance.random() < 0.7:
                self._runs_on(page, chance.randint(1, 12))
                page.pod.ended = chance.random() < 0.3
        more = chance.randint(0 if self.pages else 1, 3)
        self.pages += [notebook(len(self.pages) + n) for n in range(more)]
        self._poll()

    @property
    def _cim(self) -> CimStandin:
        assert isinstance(self.standin, CimStandin)
        return self.standin

    def place(self, dies_at: int | None) -> dict[str, Any]:
        """See ``HttpWorld``."""
        return {"records": "energy", "cim": {"base": self.standin.url + BASE}, "at": dies_at}

    def begun_anew(self, port: int) -> CimStandin:
        """See ``HttpWorld``."""
        self.receiver.tokens.clear()
        return CimStandin(self.receiver, port)

    def check(self) -> None:
        """See ``HttpWorld``."""
        held = self.receiver.watt_hours()
        assert held == self.told()
        assert len(self.receiver.events) == len(held)
        assert sorted(held.values()) == sorted(
            day + 1.0 for page in self.pages for day in range(len(page.days))
        )

    def told(self) -> dict[tuple[str, str], float]:
        """What the outbox says that the receiver holds."""
        with self.database.begin(reading=True) as connection:
            texts = [json.loads(row.text) for row in connection.execute(delivered.select())]
        return {(one["ExecUnitID"], one["StartExecTime"]): one["EnergyWh"] for one in texts}


@contextmanager
def energy_world(url: str, nursery: Nursery) -> Iterator[EnergyWorld]:
    """An empty one."""
    cim = Cim()
    standin = CimStandin(cim)
    standin.start()
    with Database(url) as database:
        database.ensure_current()
        made = EnergyWorld(database, nursery, cim, standin)
        try:
            yield made
        finally:
            made.standin.stop()
