"""Pushers of energy are killed anywhere, whatever the CIM answers: each day is there once.

``make soak`` runs more of them; ``SOAK_RUNS`` says how many.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher, Step
from accounting.simulation.judges.standin import Fault, Trouble
from tests.delivery.books import NOVEMBER, opened, ran_on
from tests.delivery.cim import DAY, measured, notebook, sender_to, telling

HOUR = 3600
FIRST = NOVEMBER.start
RUNS = int(os.environ.get("SOAK_RUNS", "5"))
FIRST_SEED = int(os.environ.get("SOAK_SEED", "1"))


class Killed(BaseException):
    """The process ends here."""


def killer(rng: random.Random, chance: float) -> Callable[[Step], None]:
    def passed(step: Step) -> None:
        if rng.random() < chance:
            raise Killed(step)

    return passed


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + RUNS))
def test_random_kills_and_faults_never_lose_or_double_a_day(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - the same in every run
    faults: list[Fault | int] = [Fault.LOSE_ANSWER, Fault.CLOSE, 500, 401]
    with opened(tmp_path) as database, telling(database) as site:
        pages = [ran_on(notebook(n), 25 * HOUR) for n in range(6)]
        for day in range(4):
            for page in pages:
                measured(page, (day, 100.0 * (day + 1), 3600.0 * (day + 1)))
                ran_on(page, DAY)
            site.poll(pages, FIRST + (day + 2) * DAY)
            for _ in range(rng.randrange(4)):
                if rng.random() < 0.6:
                    trouble = Trouble(rng.choice(faults), rng.choice(["GET", "POST"]))
                    site.cim.troubles.append(trouble)
                outbox = Outbox(database, site.outlet)
                pusher = Pusher(
                    outbox,
                    sender_to(site.standin.base),
                    site.policy,
                    now=lambda: site.at,
                    passed=killer(rng, 0.2),
                )
                try:
                    pusher.push()
                except Killed:
                    continue
        site.cim.troubles.clear()
        assert site.push().is_complete
        assert set(site.cim.watt_hours().values()) == {1.0}
        assert len(site.cim.watt_hours()) == 6 * 4
