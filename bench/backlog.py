"""A backlog of very many records, and one push of it inside one process.

``python -m bench.backlog DATABASE_URL ADDRESSES`` pushes all and prints JSON: seconds, records,
messages, and the peak memory after each tenth, MB.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher, Report
from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.rows import RECORD_COLUMNS, record_row
from accounting.store.tables import records
from accounting.telemetry.logs import configure_logs
from bench.broker import sender_to
from bench.figures import Figure
from bench.process import run

_NOVEMBER = Month(2026, 11)
_AT_ONCE = 20_000
_TENTHS = 10
_RULES = VoRules(default="vo.example.org")
_SITE = Site("BENCH")


def prepare(path: Path, count: int) -> Path:
    """A database with ``count`` due records of as many pods; kept for the next time."""
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with Database(f"sqlite:///{partial}") as database:
        database.upgrade()
        made = _records(count)
        while rows := [record_row(record) for record in islice(made, _AT_ONCE)]:
            with database.begin() as connection:
                database.write(connection, records, RECORD_COLUMNS, rows)
                note_change(connection, {_NOVEMBER})
    partial.rename(path)
    return path


def _records(count: int) -> Iterator[Record]:
    for number in range(count):
        start = _NOVEMBER.start + number % 2_000_000
        pod = Pod(
            uid=f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012d}",
            namespace="hub",
            name=f"jupyter-user-{number % 5000}",
            first_running_at=start + 5.0,
            last_running_at=start + 3600.0 + number % 7200,
            last_listed_at=start + 20_000.0,
            started_at=float(start),
            owner=Owner(f"user-{number % 5000}@example.org", "vo.example.org", "small"),
            resources=Resources(cpu_request=1.0, memory_request_bytes=2.0**31),
            image="registry.example.org/notebook:1",
            ended=True,
            owner_known=True,
        )
        reading = {_NOVEMBER: Reading(start + 3600, number % 3600 + 0.5, 1e9, 2e9)}
        yield from builder.records(Account(pod, {}, reading), _SITE, _RULES)


def measure(database: Path, addresses: dict[str, object]) -> list[Figure]:
    """Push the whole backlog in a process of its own."""
    command = [sys.executable, "-m", "bench.backlog", f"sqlite:///{database}"]
    cost = run([*command, json.dumps(addresses)])
    said = json.loads(cost.output)
    seconds, count = said["seconds"], said["records"]
    peaks = said["peaks_mb"]
    return [
        Figure(
            f"a backlog of {count:,} records",
            seconds,
            "s",
            note=f"{said['messages']:,} messages, {cost.cpu_seconds:,.0f} s of processor time",
        ),
        Figure("… rate", count / seconds, "records/s"),
        Figure("… rate", said["messages"] / seconds, "messages/s"),
        Figure("… peak memory", cost.peak_mb, "MB"),
        Figure("… of it after the first tenth", peaks[0], "MB"),
    ]


def main(url: str, addresses: str) -> None:
    """Push, and print what it cost."""
    configure_logs("warning", as_json=False)
    peaks: list[float] = []

    def notice(report: Report) -> None:
        whole = report.delivered + report.remaining
        if report.delivered * _TENTHS >= (len(peaks) + 1) * whole:
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    with Database(url) as database:
        pusher = Pusher(Outbox(database), sender_to(json.loads(addresses)), Policy())
        begun = time.monotonic()
        report = pusher.push(notice)
        seconds = time.monotonic() - begun
    if not report.is_complete:
        raise SystemExit(f"the push was not complete: {report}")
    figures = {
        "seconds": seconds,
        "records": report.delivered,
        "messages": report.sent,
        "peaks_mb": peaks,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
