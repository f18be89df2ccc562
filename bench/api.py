"""The API with a million records: pages of the list, summaries, exports; SQLite and PostgreSQL.

The service is the real one, in a process of its own; twenty clients ask at once, each again as
soon as it has its answer.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import quantiles

import aiohttp
import httpx
import psutil
from sqlalchemy import update

from accounting.service.loops import SUMS_SECONDS
from accounting.simulation.stores.engines import free_port
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.tables import records
from bench import ledger
from bench.figures import Figure
from tests.postgres import run_postgres

CLIENTS = 20
LIST_MS = 50.0
SUMMARY_MS = 150.0
FIRST_MS = 50.0
EXPORT_SECONDS = 5.0
TOKEN = "the-token-of-the-benchmark"  # noqa: S105 - of a throwaway server
_MONTH = "2026-10"
_DAYS = "&by=day&by=vo"

PAGES = (
    "/api/v1/records",
    f"/api/v1/records?month={_MONTH}",
    f"/api/v1/records?month={_MONTH}&vo={ledger.VOS[3]}",
    "/api/v1/records?user=user-10@example.org",
)
SMALLEST = ("/healthz",)
"""What the machine, the server and the clients take by themselves: to compare machines with."""
SUMMARIES, MOVED = (
    tuple(f"/api/v1/summaries?month={month}{by}" for by in ("", "&by=user", _DAYS, "&by=flavor"))
    for month in (_MONTH, ledger.LAST)
)
"""Of a month that has ended, and of the one that polls move."""
POLLS = 5
REFRESH_SECONDS = SUMS_SECONDS + 3.0
"""After a poll, until the service has added up again what was asked lately."""


@dataclass(frozen=True)
class Serving:
    """A service under load: where it is, its process, and a client that is connected."""

    url: str
    process: psutil.Process
    client: httpx.Client

    def asked_ms(self, path: str) -> float:
        """How long one question takes."""
        begun = time.monotonic()
        self.client.get(self.url + path).raise_for_status()
        return (time.monotonic() - begun) * 1000

    def first_ms(
        self, database: Database, wait_seconds: float
    ) -> tuple[list[list[float]], list[float]]:
        """How long each question takes that is the first of its kind after a poll.

        Args:
            database: the ledger's.
            wait_seconds: from the poll to the questions.

        Returns:
            By kind: of all polls; the processor time that the service took, on average, where the
            database is SQLite.
        """
        took: list[list[float]] = [[] for _ in MOVED]
        spent = [0.0] * len(MOVED)
        for _ in range(POLLS):
            _poll(database)
            time.sleep(wait_seconds)
            for kind, path in enumerate(MOVED):
                before = self.processor_ms
                took[kind].append(self.asked_ms(path))
                spent[kind] += (self.processor_ms - before) / POLLS
        return took, spent

    def export(self, path: str) -> tuple[float, float, float]:
        """(seconds, MB, MB of memory that it took on top) of an export."""
        before, peak, size = self.memory_mb, 0.0, 0
        begun = time.monotonic()
        with httpx.stream("GET", self.url + path, headers=HEADERS, timeout=600) as answer:
            answer.raise_for_status()
            for number, piece in enumerate(answer.iter_raw()):
                size += len(piece)
                if number % 20 == 0:
                    peak = max(peak, self.memory_mb)
        return time.monotonic() - begun, size / 1e6, max(0.0, peak - before)

    @property
    def processor_ms(self) -> float:
        """The processor time that the process has taken."""
        return float(sum(self.process.cpu_times()[:2])) * 1000

    @property
    def memory_mb(self) -> float:
        """What the process holds now."""
        return float(self.process.memory_info().rss) / 1e6


HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@contextmanager
def serving(database_url: str, folder: Path) -> Iterator[Serving]:
    """``serve`` on a database; its polls fail, as there is no Prometheus, and then wait."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_SITE_NAME": "BENCH",
        "ACCOUNTING_DATABASE_URL": database_url,
        "ACCOUNTING_PROMETHEUS__URL": f"http://127.0.0.1:{free_port()}",
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_API__TOKEN_FILE": str(token),
        "ACCOUNTING_LOG__LEVEL": "error",
        "ACCOUNTING_POLL__INTERVAL": "1h",
    }
    program = Path(sys.executable).with_name("notebooks-accounting")
    command = [str(program), "serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url)
            with httpx.Client(headers=HEADERS, timeout=120) as client:
                yield Serving(url, psutil.Process(process.pid), client)
        finally:
            process.terminate()


def _wait(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"the service at {url} did not start")


def _poll(database: Database) -> None:
    """Write what a poll writes of pods that run on, from another process than the service."""
    c = records.c
    of_month = (c.year == ledger.LAST.year, c.month == ledger.LAST.month)
    with database.begin() as connection:
        connection.execute(update(records).where(*of_month, c.apart).values(held=c.held))
        note_change(connection, [ledger.LAST])


async def load(url: str, paths: Sequence[str], seconds: float) -> list[float]:
    """The milliseconds of all answers that twenty clients get in a while."""
    took: list[float] = []
    until = time.monotonic() + seconds

    async def client(number: int, session: aiohttp.ClientSession) -> None:
        for path in cycle([*paths[number % len(paths) :], *paths[: number % len(paths)]]):
            begun = time.monotonic()
            if begun >= until:
                return
            async with session.get(url + path) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{path} answered {answer.status}")
            took.append((time.monotonic() - begun) * 1000)

    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as session:
        await asyncio.gather(*(client(number, session) for number in range(CLIENTS)))
    return took


def measure(database_url: str, folder: Path, name: str, seconds: float) -> list[Figure]:
    """All figures on one database."""
    figures = []
    with serving(database_url, folder) as service:
        for path in (*PAGES, *SUMMARIES, *MOVED):
            service.asked_ms(path)
        for what, paths, most in (
            ("the smallest answer", SMALLEST, None),
            ("a page of the list", PAGES, LIST_MS),
            ("a month's summary", SUMMARIES, SUMMARY_MS),
        ):
            took = asyncio.run(load(service.url, paths, seconds))
            cuts = quantiles(took, n=100)
            note = f"{len(took):,} answers, {len(took) / seconds:,.0f}/s; half ≤ {cuts[49]:.1f} ms"
            figures.append(Figure(f"{name}: {what}, p99", cuts[98], "ms", at_most=most, note=note))
        for when, wait in (("at once", 0.0), ("some seconds later", REFRESH_SECONDS)):
            with Database(database_url) as database:
                kinds, spent = service.first_ms(database, wait)
            slowest = [max(took) for took in kinds]
            note = f"of {POLLS} polls; by kind: {_listed(slowest)}; processor time {_listed(spent)}"
            title = f"{name}: first sums after a poll, {when}, slowest"
            figures.append(Figure(title, max(slowest), "ms", at_most=FIRST_MS, note=note))
        for kind in ("csv", "parquet"):
            took_s, size, more = service.export(f"/api/v1/records?format={kind}")
            note = f"{size:,.0f} MB; memory added: {more:.0f} MB"
            title = f"{name}: export of all as {kind}"
            figures.append(Figure(title, took_s, "s", EXPORT_SECONDS, note=note))
    return figures


def _listed(times_ms: Sequence[float]) -> str:
    return ", ".join(f"{ms:.0f}" for ms in times_ms)


def measure_sqlite(kept: Path, folder: Path, count: int, seconds: float) -> list[Figure]:
    """The figures on SQLite; the ledger is made once and kept."""
    return measure(ledger.kept(kept, count), folder, "SQLite", seconds)


def measure_postgres(folder: Path, count: int, seconds: float) -> list[Figure]:
    """The figures on a PostgreSQL server of its own, as Debian sets it up."""
    with run_postgres() as server:
        url = f"{server}/postgres"
        _fill(url, count)
        return measure(url, folder, "PostgreSQL", seconds)


def _fill(url: str, count: int) -> None:
    with Database(url) as database:
        ledger.fill(database, count)
