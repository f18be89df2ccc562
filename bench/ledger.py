"""A ledger with many records: twelve months of notebooks, as a large service would have them."""

import hashlib
import random
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    Integer,
    cast,
    create_engine,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    true,
)

from accounting.model.time import Month
from accounting.store import totals
from accounting.store.engine.database import Database
from accounting.store.tables import (
    delivered,
    messages,
    outlets,
    pods,
    progress,
    queued,
    records,
    revisions,
    settled,
    windows,
)

LAST = Month(2026, 11)
MONTHS = 12
VOS = [f"vo{number:02d}.example.org" for number in range(12)]
USERS = 2000
FLAVORS = ("small", "medium", "large", "gpu")
IMAGES = [f"registry.example.org/notebook:{number}" for number in range(6)]
MESSAGE = 500
DESTINATION = "ams://msg.argo.grnet.gr/accounting/eu-egi-cloud-accounting"
"""As the settings name it by themselves, so that a service knows it, too."""
_AT_ONCE = 20_000
_SPANNING = 0.05


def fill(database: Database, count: int) -> None:
    """Write ``count`` records, and all that belongs to them, into an empty ledger."""
    database.upgrade()
    with database.begin() as connection:
        connection.execute(
            insert(progress).values(
                id=1,
                watermark=LAST.end,
                spoken_at=float(LAST.end),
                interval_seconds=60.0,
                revision=0,
            )
        )
        for month in _months():
            connection.execute(
                insert(revisions).values(year=month.year, month=month.month, revision=1)
            )
        connection.execute(
            insert(windows).values(
                start=LAST.end - 300,
                end=LAST.end,
                spoke=True,
                pods=100,
                rejected=0,
                polled_at=1.0,
            )
        )
        for batch in _chunks(_messages(count // MESSAGE)):
            connection.execute(insert(messages), batch)
    made = _notebooks(random.Random(1), count)  # noqa: S311 - the same in every run
    while chunk := list(islice(made, _AT_ONCE)):
        with database.begin() as connection:
            for table, rows in (
                (pods, [pod for pod, _ in chunk]),
                (records, [record for _, found in chunk for record in found]),
            ):
                names = tuple(name for name in (c.name for c in table.columns) if name in rows[0])
                database.write(connection, table, names, list(map(itemgetter(*names), rows)))
    totals.rebuild(database)
    _note_delivery(database)
    if not database.is_sqlite:  # as autovacuum does by and by
        engine = create_engine(database.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()


def _note_delivery(database: Database) -> None:
    """All of it is in messages, and every month is known to be."""
    number = (func.row_number().over(order_by=records.primary_key.columns) - 1) / MESSAGE + 1
    key = (records.c.year, records.c.month, records.c.uid)
    told = select(*key, literal(DESTINATION), records.c.digest, true(), cast(number, Integer))
    # Texts are forgotten, as those of erased users are: they would fill the disk.
    went = select(
        *key,
        literal(DESTINATION),
        cast(number, Integer),
        records.c.digest,
        literal(""),
        literal(1.0),
    )
    with database.begin() as connection:
        database.lift_bounds(connection)
        connection.execute(
            insert(outlets).values(destination=DESTINATION, kind="records", position=0)
        )
        connection.execute(insert(queued).from_select(queued.columns.keys(), told))
        connection.execute(insert(delivered).from_select(delivered.columns.keys(), went))
        _settle(connection)


def _settle(connection: Connection) -> None:
    """All of every month was told, as it is now."""
    c = revisions.c
    months = select(literal(DESTINATION), c.year, c.month, c.revision)
    connection.execute(delete(settled))
    connection.execute(insert(settled).from_select(settled.columns.keys(), months))


def _months() -> list[Month]:
    first = LAST
    for _ in range(MONTHS - 1):
        first = Month(first.year - (first.month == 1), (first.month - 2) % 12 + 1)
    return list(first.until(LAST))


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, _AT_ONCE)):
        yield chunk


def _messages(count: int) -> Iterator[dict[str, Any]]:
    for number in range(1, count + 2):
        yield {
            "id": number,
            "empaid": str(UUID(int=number)),
            "destination": DESTINATION,
            "state": "sent",
            "body": "",
            "records": MESSAGE,
            "built_at": float(number),
            "attempts": 1,
            "tried_at": float(number),
            "error": "",
            "sent_at": float(number),
            "broker_id": str(number),
            "error_kind": "",
            "cure": "",
            "origin": number,
            "part": "",
        }


def _notebooks(
    chance: random.Random, count: int
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(pod, its records), until there are enough records."""
    months = _months()
    made = 0
    while made < count:
        month = months[made * MONTHS // count]
        user = int(USERS * chance.random() ** 2)  # some use it much more than others
        spans = month != LAST and chance.random() < _SPANNING
        start = month.end - 7200 if spans else chance.randrange(month.start, month.end - 43_200)
        end = month.end + 7200 if spans else start + chance.randrange(600, 36_000)
        pod = _pod(str(UUID(int=chance.getrandbits(128), version=4)), user, start, end, chance)
        found = [_record(pod, month, month.last_second)] if spans else []
        found.append(_record(pod, month.next if spans else month, end))
        made += len(found)
        yield pod, found


def _pod(uid: str, user: int, start: int, end: int, chance: random.Random) -> dict[str, Any]:
    flavor = FLAVORS[user % 4]
    return {
        "uid": uid,
        "namespace": "jupyterhub",
        "name": f"jupyter-user-{user}",
        "first_running_at": start + 5.0,
        "last_running_at": float(end),
        "last_listed_at": end + 60.0,
        "created_at": start - 5.0,
        "started_at": float(start),
        "completed_at": float(end),
        "user": f"user-{user}@example.org",
        "primary_group": VOS[user % len(VOS)],
        "flavor": flavor,
        "cpu_request": 2.0,
        "cpu_limit": 4.0,
        "memory_request_bytes": 2.0**32,
        "memory_limit_bytes": 2.0**33,
        "image": chance.choice(IMAGES),
        "disk_bytes": 1e10,
        "peak_memory_bytes": 1e9,
        "ended": True,
        "ended_in_gap": False,
        "owner_known": True,
        "lost_at": None,
        "counters": "[]",
        "readings": "[]",
        "accelerators": '[[["nvidia_com_gpu",1.0]]]' if flavor == "gpu" else "[]",
    }


def _record(pod: dict[str, Any], month: Month, until: int) -> dict[str, Any]:
    start, ended = int(pod["started_at"]), until == int(pod["last_running_at"])
    digest = hashlib.sha256(f"{pod['uid']} {month}".encode()).hexdigest()
    return {
        "uid": pod["uid"],
        "year": month.year,
        "month": month.month,
        "site": "BENCH",
        "compute_service": "notebooks.example.org",
        "cloud_type": "EGI Notebooks",
        "machine": pod["name"],
        "user": pod["user"],
        "group": pod["primary_group"],
        "vo": pod["primary_group"],
        "fqan": f"/{pod['primary_group']}",
        "vo_rule": "plain",
        "vo_source": pod["primary_group"],
        "status": "completed" if ended else "started",
        "created_at": until,
        "start_at": start,
        "end_at": until if ended else None,
        "wall_seconds": until - start,
        "cpu_seconds": (until - start) // 7,
        "cpu_count": 2.0,
        "received_gb": 0,
        "sent_gb": 0,
        "memory_mb": 4096,
        "disk_gb": 10,
        "image": pod["image"],
        "flavor": pod["flavor"],
        "gpu_count": 1.0 if pod["flavor"] == "gpu" else None,
        "gpu_resource": "nvidia_com_gpu" if pod["flavor"] == "gpu" else "",
        "benchmark_type": "",
        "benchmark": None,
        "flags": "[]",
        "held": "",
        "problem": "",
        "digest": digest,
        "used_wall_seconds": until - max(start, month.start - 1),
        "used_cpu_seconds": (until - start) // 7 - max(0, month.start - 1 - start) // 7,
        **_held(pod, until - max(start, month.start - 1)),
    }


def _held(pod: dict[str, Any], seconds: int) -> dict[str, float | None]:
    gpus = 1.0 if pod["flavor"] == "gpu" else None
    return {
        "core_seconds": 2.0 * seconds,
        "memory_mb_seconds": 4096.0 * seconds,
        "gpu_seconds": None if gpus is None else gpus * seconds,
    }


def kept(path: Path, count: int) -> str:
    """The address of a ledger in SQLite, which is made once and kept."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with Database(f"sqlite:///{partial}") as database:
            fill(database, count)
        partial.rename(path)
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()  # it may be of an earlier version, and have seen polls
        with database.begin() as connection:
            _settle(connection)
    return f"sqlite:///{path}"
