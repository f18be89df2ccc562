"""Ledgers with a few pods in them, for the tests of what leaves the house."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from accounting.model.accelerators import Surroundings
from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.time import Month, Window
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.simulation.judges.repository import Repository
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, Progress, Step
from accounting.store.records import Records
from accounting.store.tables import windows

SITE = Site("EXAMPLE-SITE")
RULES = VoRules(default="vo.example.org")
NOVEMBER = Month(2026, 11)
START = NOVEMBER.start + 3600


def account(number: int, *, user: str = "", group: str = "vo.example.org") -> Account:
    """A pod that has run for an hour and still runs."""
    pod = Pod(
        uid=f"00000000-0000-4000-8000-{number:012d}",
        namespace="hub",
        name=f"jupyter-{number}",
        first_running_at=START + 10.0,
        last_running_at=START + 3600.0,
        last_listed_at=START + 3600.0,
        started_at=float(START),
        owner=Owner(user or f"user-{number}@example.org", group, "small"),
        resources=Resources(cpu_request=1.0, memory_request_bytes=2.0**31),
        image="registry.example.org/notebook:1",
        owner_known=True,
    )
    return Account(pod, {}, {NOVEMBER: Reading(START + 3600, 120.5, 1e9, 2e9)})


def with_gpus(number: int, count: float = 1.0, **changes: object) -> Account:
    """A pod that holds GPUs: its node says which."""
    page = account(number)
    amounts = (("nvidia_com_gpu", count),)
    page.pod.resources = replace(page.pod.resources or Resources(), accelerators=amounts)
    page.pod.surroundings = Surroundings((("nvidia_com_gpu_product", "NVIDIA-A100"),))
    for name, value in changes.items():
        setattr(page, name, value)
    return page


def ran_on(page: Account, seconds: float, *, ended: bool = False) -> Account:
    """The same pod some time later."""
    pod = page.pod
    pod.last_running_at += seconds
    pod.last_listed_at = pod.last_running_at
    pod.ended = ended
    old = max(page.readings.values(), key=lambda reading: reading.at)
    at, cpu = old.at + int(seconds), (old.cpu_seconds or 0) + seconds / 2
    page.readings[Month.of(at)] = Reading(at, cpu, old.received_bytes, old.sent_bytes)
    return page


def write(database: Database, pages: Sequence[Account]) -> None:
    """Commit pods as a poll would."""
    ledger = Ledger(database)
    before = ledger.progress()
    start = before.watermark if before else START
    window = Window(start, start + 300)
    ledger.commit(
        Step(
            window=window,
            before=before,
            after=Progress(window.end, float(window.end), 60.0),
            accounts=pages,
            records=[r for page in pages for r in builder.records(page, SITE, RULES)],
            gaps=[],
            spoke=True,
            rejected=0,
        )
    )


def measured_whole(database: Database) -> None:
    """The first window begins with the month."""
    with database.begin() as connection:
        connection.execute(
            windows.insert().values(
                start=NOVEMBER.start - 300,
                end=NOVEMBER.start,
                spoke=True,
                pods=0,
                rejected=0,
                polled_at=1.0,
            )
        )


@contextmanager
def opened(folder: Path) -> Iterator[Database]:
    """An empty ledger in a folder."""
    with Database(f"sqlite:///{folder / 'accounting.db'}") as database:
        database.ensure_current()
        yield database


@dataclass
class Inbox:
    """A destination that keeps bodies; ``trouble`` may raise before or after it has stored one."""

    name: str = "inbox://example.org"
    ascii_only: bool = False
    bodies: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, body: str, message_id: str) -> str:  # noqa: ARG002 - the protocol's name
        """Store a body."""
        self.before()
        with self.lock:
            self.bodies.append(body)
        self.after()
        return str(len(self.bodies))

    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    def check(self) -> tuple[str, ...]:
        """Nothing can be wrong."""
        return ()


def table_of(bodies: Sequence[str]) -> dict[tuple[str, tuple[int, int]], tuple[str, int, int]]:
    """What the repository holds after these messages: (uid, month) → status, wall, CPU."""
    repository = Repository()
    repository.load_all(bodies)
    return {
        key: (row.text("Status"), row.integer("WallDuration"), row.integer("CpuDuration"))
        for key, row in repository.rows.items()
    }


def table_of_ours(database: Database) -> dict[tuple[str, tuple[int, int]], tuple[str, int, int]]:
    """What our records say, in the same words."""
    return {
        (r.uid, (r.month.year, r.month.month)): (r.status.value, r.wall_seconds, r.cpu_seconds or 0)
        for r in Records(database).find()
        if not r.held
    }
