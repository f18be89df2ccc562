"""Children that push and are killed: ``python -m tests.delivery.nursery``, one order a line.

Forking is a hundred times as fast as starting Python, and SIGKILL is as final. Orders and answers
are JSON; see ``Order`` and ``Answer`` in ``crash.py``.
"""

import json
import logging
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import event

from accounting.delivery.backoff import Backoff
from accounting.delivery.exchange import Answer, Exchange
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.accelerators import Accelerators
from accounting.delivery.outlets.energy import Energy
from accounting.delivery.outlets.hours import Hours
from accounting.delivery.outlets.outlet import Outlet
from accounting.delivery.outlets.records import CloudRecords
from accounting.delivery.outlets.storage import Storage
from accounting.delivery.outlets.summaries import Summaries
from accounting.delivery.pusher import Policy, Pusher, Report
from accounting.errors import Busy
from accounting.store.engine.database import Database
from ssm.ams import AmsSettings
from ssm.sender import AmsSender, Sender
from tests.delivery import cim, eosc

DONE, LEFT, BUSY, BROKEN = 0, 3, 75, 70
OUTLETS: dict[str, Callable[[], Outlet]] = {
    "individual": CloudRecords,
    "summary": Summaries,
    "hours": lambda: Hours(eosc.METRICS),
    "energy": lambda: Energy(cim.ENERGY),
    "accelerators": Accelerators,
    "storage": Storage,
}
NEVER_CLOSED = 1e9


def main() -> None:
    """Serve orders until there are no more."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(_carried_out(order)), flush=True)  # noqa: T201 - the answer


def _carried_out(order: dict[str, Any]) -> list[int]:
    """The exit codes of all children; a killed one's is negative."""
    children = [_born(order, number) for number in range(order["pushers"])]
    if order["kill_after"] is not None:
        time.sleep(order["kill_after"])
        for child in children:  # not waited for yet, so the number is still its own
            os.kill(child, signal.SIGKILL)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _born(order: dict[str, Any], number: int) -> int:
    child = os.fork()
    if child:
        return child
    code = BROKEN
    try:
        random.seed(order["seed"] + number)
        code = _push(order)
    except Busy:
        code = BUSY
    except BaseException:  # noqa: BLE001 - whatever it is must be seen, and this process must end
        traceback.print_exc()
    finally:
        os._exit(code)
    return 0


def _push(order: dict[str, Any]) -> int:
    kill_at, passed = order["kill_at"], 0

    def boundary(*_: Any) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    policy = Policy(
        order["records_per_message"],
        NEVER_CLOSED,
        Backoff(0.001, 0.001),
        settle_seconds=0,
        at_once=True,
    )
    with Database(order["url"]) as database:
        _watch(database, boundary)

        def push(place: dict[str, Any]) -> Report:
            outbox = Outbox(database, OUTLETS[place["records"]]())
            sender = _sender(order, place, database, boundary)
            return Pusher(outbox, sender, policy, passed=boundary).push()

        # All at once, as the service does: each boundary is one of any of them.
        with ThreadPoolExecutor(len(order["places"])) as pool:
            reports = list(pool.map(push, order["places"]))
    return DONE if all(report.is_complete for report in reports) else LEFT


def _sender(
    order: dict[str, Any],
    place: dict[str, Any],
    database: Database,
    boundary: Callable[..., None],
) -> Sender:
    if "eosc" in place:
        hours = eosc.sender_to(**place["eosc"], database=database)
        return _dying(hours, (hours._api._exchange, hours._api._login._exchange), boundary, place)
    if "cim" in place:
        energy = cim.sender_to(**place["cim"])
        return _dying(energy, (energy._exchange, energy._login._exchange), boundary, place)
    given = {**place["ams"], "ca_file": Path(place["ams"]["ca_file"])}
    return AmsSender(AmsSettings(**given), Path(order["cert"]), Path(order["key"]))


def _dying(
    sender: Sender,
    exchanges: Iterable[Exchange],
    boundary: Callable[..., None],
    place: dict[str, Any],
) -> Sender:
    """Every request over HTTP, and every answer to one, is a boundary.

    If the place says ``at``, this process ends when it has the n-th answer, and nobody noted it.
    """
    answers = 0
    for exchange in exchanges:
        ask = exchange.ask

        def watched(*said: Any, ask: Callable[..., Answer] = ask, **what: Any) -> Answer:
            boundary()
            answer = ask(*said, **what)
            nonlocal answers
            answers += 1
            if answers == place["at"]:
                os.kill(os.getpid(), signal.SIGKILL)
            boundary()
            return answer

        exchange.ask = watched  # type: ignore[method-assign] # a test's
    return sender


def _watch(database: Database, boundary: Callable[..., None]) -> None:
    """The begin of every statement and of every commit is a boundary too."""
    for moment in ("before_cursor_execute", "commit"):
        event.listen(database.engine, moment, boundary)


if __name__ == "__main__":
    main()
