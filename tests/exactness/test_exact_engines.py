"""The same data in another engine, another database, or another part of the world."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from accounting.simulation.stores.engines import Engine
from tests.conftest import History
from tests.exactness import polling
from tests.exactness.polling import HOUR, Written, poll

Ledgers = Callable[[], str]


@pytest.mark.parametrize("step", [HOUR, 6 * HOUR, 48 * HOUR])
def test_victoria_metrics_gives_the_same_records(
    history: History, victoria: Engine, new_ledger: Ledgers, polled: Written, step: int
) -> None:
    assert poll(victoria.url, new_ledger(), history.end, step=step) == polled


def test_postgresql_holds_the_same_records(
    history: History, postgres: Ledgers, polled: Written
) -> None:
    cuts = range(history.start + 5 * HOUR, history.end, 5 * HOUR)
    assert poll(history.url, postgres(), *cuts, history.end) == polled


def test_polling_again_changes_nothing_in_postgresql_either(
    history: History, postgres: Ledgers, polled: Written
) -> None:
    ledger = postgres()
    poll(history.url, ledger, history.end)
    assert poll(history.url, ledger, history.end, since=history.start) == polled


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_the_host_s_time_zone_changes_nothing(
    history: History, new_ledger: Ledgers, polled: Written, zone: str
) -> None:
    ledger = new_ledger()
    command = [sys.executable, polling.__file__, history.url, ledger, str(6 * HOUR)]
    environment = {**os.environ, "TZ": zone}
    clock = subprocess.run(
        [sys.executable, "-c", "import time; print(time.timezone)"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(clock.stdout) != 0
    subprocess.run([*command, str(history.end)], env=environment, check=True, capture_output=True)
    assert poll(history.url, ledger) == polled
