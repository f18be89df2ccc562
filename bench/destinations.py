"""Pushing to several receivers of different speeds, as the service does: all at once."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accounting.config import Settings
from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.records.formats.apel import MAX_RECORDS
from accounting.service.jobs import Jobs
from accounting.store.engine.database import Database
from bench.figures import Figure

ANSWERS_MS = (50, 100, 150, 200, 250)
"""How long each receiver takes for a message."""


@dataclass(frozen=True)
class Receiver:
    """A receiver that takes its time and keeps nothing."""

    answer_ms: int
    ascii_only: bool = False

    @property
    def name(self) -> str:
        """The destination."""
        return f"bench://{self.answer_ms}-ms.example.org"

    def send(self, body: str, message_id: str) -> str:
        """Wait, as for an answer."""
        del body, message_id
        time.sleep(self.answer_ms / 1000)
        return "1"

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def check(self) -> tuple[str, ...]:
        """Nothing can be wrong."""
        return ()


class _Deliveries(Jobs):
    """The service's pushes, to receivers of different speeds."""

    def __init__(self, database: Database, receivers: Sequence[Receiver], size: int) -> None:
        super().__init__(Settings(site_name="BENCH"), database)
        self._made = {
            one.name: Pusher(Outbox(database), one, Policy(size), position=position)
            for position, one in enumerate(receivers)
        }

    def _pushers(self, *, at_once: bool) -> dict[str, Pusher]:
        del at_once
        return self._made


def measure(records: Path, folder: Path) -> list[Figure]:
    """The slowest receiver alone, then five at once; everything is due at each.

    With messages as large as the settings have them, and with the largest: these take as long to
    answer, so more of the time is ours.

    Args:
        records: a database in which all records are due.
        folder: for copies of it.
    """
    figures = []
    for size in (Policy().records_per_message, MAX_RECORDS):
        figures += _compared(records, folder, size)
    return figures


def _compared(records: Path, folder: Path, size: int) -> list[Figure]:
    """The same with so many records in each message."""
    receivers = [Receiver(ms) for ms in ANSWERS_MS]
    alone, _ = _push(records, folder / "one.db", receivers[-1:], size)
    together, outcome = _push(records, folder / "five.db", receivers, size)
    count, messages = (outcome[name] // len(receivers) for name in ("records", "sent"))
    speeds = ", ".join(map(str, ANSWERS_MS))
    note = f"{count:,} records in {messages} messages; answers take {speeds} ms"
    at_once = f"messages of {size}"
    return [
        Figure(f"{at_once}: push to the slowest receiver alone", alone, "s"),
        Figure(f"{at_once}: push to five receivers at once", together, "s", note=note),
        Figure(f"… {at_once}: against the slowest alone", together / alone, "times", at_most=1.3),
        Figure(
            f"… {at_once}: one after another, that would wait",
            sum(ANSWERS_MS) / 1000 * messages,
            "s",
            note="answers alone",
        ),
    ]


def _push(
    records: Path, copy: Path, receivers: Sequence[Receiver], size: int
) -> tuple[float, Mapping[str, int]]:
    """Seconds of a push with messages of so many records, and what it did."""
    shutil.copy(records, copy)
    with Database(f"sqlite:///{copy}") as database:
        database.upgrade()
        due = Outbox(database).due_count(destination=receivers[0].name)
        begun = time.monotonic()
        outcome = _Deliveries(database, receivers, size).push()
        seconds = time.monotonic() - begun
    copy.unlink()
    done = outcome.result or {}
    if done.get("records") != due * len(receivers):
        raise RuntimeError(f"{done.get('records')} of {due * len(receivers)} records were pushed")
    return seconds, done
