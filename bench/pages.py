"""The pages over a ledger of many records: how long each takes that nobody has asked for yet.

A page is asked of a service that keeps no sums: it has just been started. Its processor time is
told beside the time that its reader waits, because the machine may be busy with other things.
"""

import time
from pathlib import Path
from urllib.parse import urlencode

import httpx

from accounting.store.engine.database import Database
from bench import ledger
from bench.api import HEADERS, serving
from bench.figures import Figure
from tests.postgres import run_postgres

PAGE_SECONDS = 0.5
_MONTH, _FIRST = "2026-11", "2025-12"
_YEAR = {"first": _FIRST, "last": _MONTH}
_USER = "user-10@example.org"


def paths() -> list[tuple[str, str]]:
    """(title, address) of all pages, with what people ask of them."""
    usage = [
        {"by": by, "show": show, **span}
        for by in ("vo", "user", "flavor", "image")
        for show, span in (
            ("wall", {}),
            ("wall", _YEAR),
            ("memory", {"since": "2026-10-20", "until": "2026-11-18"}),
        )
    ]
    usage += [
        {"by": "vo", "across": "month", **_YEAR},
        {"by": "user", "across": "month", **_YEAR},
        {"by": "user", "across": "vo", **_YEAR},
        {"by": "user", "compare": "yes", "first": "2026-06", "last": _MONTH},
        {"by": "user", "vo": ledger.VOS[3], **_YEAR},
        {"by": "vo", "user": _USER, **_YEAR},
        {"by": "vo", "user": "user-1", **_YEAR},
        {"by": "user", "since": "2026-08-15", "until": "2026-11-18"},
    ]
    searches = [
        {},
        {"month": _MONTH},
        {"month": _MONTH, "vo": ledger.VOS[3], "sort": "-wall"},
        {"user": _USER},
        {"user": "user-10", **_YEAR},
        {"sort": "-cpu"},
        {"sort": "vo"},
        {"status": "started", "month": _MONTH},
        {"delivery": "held"},
        {"delivery": "due"},
        {"delivery": "sent", "month": _MONTH},
        {"since": "2026-10-20", "until": "2026-11-18"},
        {"flavor": "gpu", **_YEAR},
    ]
    found = [(f"/usage?{urlencode(one)}",) * 2 for one in usage]
    found += [(f"/records?{urlencode(one)}",) * 2 for one in searches]
    deliveries = ("", "/1", "/reconciliation", "/republish")
    plain = ["/", "/gaps", "/metrics", *(f"/deliveries{more}" for more in deliveries)]
    return [*((path, path) for path in plain), *found]


def measure(database_url: str, folder: Path, name: str) -> list[Figure]:
    """The slowest pages of all, and how many there are."""
    took = []
    with serving(database_url, folder) as service, httpx.Client(headers=HEADERS) as client:
        for title, path in paths():
            before, begun = sum(service.process.cpu_times()[:2]), time.monotonic()
            answer = client.get(service.url + path, timeout=120)
            wall = time.monotonic() - begun
            cpu = sum(service.process.cpu_times()[:2]) - before
            if answer.status_code != 200:
                raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:300]}")
            took.append((wall, cpu, title))
    return [
        Figure(f"{name}: {title}", wall, "s", at_most=PAGE_SECONDS, note=f"CPU {cpu:.2f} s")
        for wall, cpu, title in sorted(took, reverse=True)
    ]


def measure_sqlite(kept: Path, folder: Path, count: int) -> list[Figure]:
    """The figures on SQLite; the ledger is made once and kept."""
    return measure(ledger.kept(kept, count), folder, "SQLite")


def measure_postgres(folder: Path, count: int) -> list[Figure]:
    """The figures on a PostgreSQL server of its own."""
    with run_postgres() as server:
        url = f"{server}/postgres"
        with Database(url) as database:
            ledger.fill(database, count)
        return measure(url, folder, "PostgreSQL")
