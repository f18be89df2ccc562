"""Checks of the database."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from accounting.config import Settings
from accounting.doctor.finding import CLOCK, Finding, State
from accounting.errors import AccountingError
from accounting.lookup.messages import Destination, Messages
from accounting.lookup.unmapped import Unmapped, unmapped
from accounting.model.messages import MessageState
from accounting.store.engine.clock import ahead
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.wiring.destinations import names_of
from accounting.wiring.places import FIRST

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre", "beegfs", "9p"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs"),
    }
)
"""File systems whose locks and shared memory SQLite cannot rely on."""


def database(settings: Settings) -> Iterator[Finding]:
    """Whether it is there, writable and of this version."""
    name = "database"
    with Database(settings.database_url) as found:
        if _is_new(settings):
            folder = Path(found.url.database or "").absolute().parent
            if folder.is_dir():
                yield Finding(name, State.OK, f"{found.name} is made by the first poll")
            else:
                what = f"{found.name} cannot be made: there is no folder {folder}"
                yield Finding(name, State.FAILED, what, f"make it with 'mkdir -p {folder}'")
            yield from _place(found)
            return
        yield from _place(found)
        revision = found.revision()
        with found.begin():
            pass  # takes SQLite's write lock: it is there, and the file is writable
        if revision is None:
            yield Finding(name, State.OK, f"{found.name} is empty; the first poll fills it")
        elif found.is_current():
            yield Finding(name, State.OK, f"{found.name} is of version {revision}")
            for risk in found.risks():
                cure = "turn it on in postgresql.conf: a power cut could lose what was committed"
                yield Finding(name, State.WARNING, risk, cure)
        else:
            yield Finding(
                name,
                State.FAILED,
                f"the tables of {found.name} are of version {revision}",
                "run 'notebooks-accounting db upgrade' once, with the service stopped",
            )


def _place(database: Database) -> Iterator[Finding]:
    """Whether SQLite's file lies where its locks and its shared memory work."""
    if not database.is_sqlite:
        return
    kind = file_system(Path(database.url.database or "").absolute(), MOUNTS.read_text())
    if kind not in NETWORK:
        return
    what = f"the database lies on {kind}, a network file system"
    if database.journal == "wal":
        what += ": SQLite's write-ahead log is not safe there"
        cure = "use block storage or PostgreSQL, or put '?journal=delete' behind the address"
        yield Finding("volume", State.FAILED, what, cure)
    else:
        cure = "use block storage or PostgreSQL; until then, let only one pod use the volume"
        yield Finding("volume", State.WARNING, what, cure)


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that a path is on; empty if that cannot be told.

    Args:
        path: absolute; it need not be there.
        mounts: what ``/proc/self/mountinfo`` says (proc(5)): the mount point is the fifth field,
            the type is the first one after the dash. Later mounts lie over earlier ones.
    """
    found, longest = "", -1
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields.split()[4]))
        if (point == path or point in path.parents) and len(point.parts) >= longest:
            found, longest = rest.split()[0], len(point.parts)
    return found


def clock(settings: Settings, now: float) -> Iterator[Finding]:
    """Whether a clock that ran ahead left times in the future; nothing if it did not."""
    found: dict[str, int] = {}
    with suppress(AccountingError), Database(settings.database_url) as database:  # told already
        if not _is_new(settings) and database.is_current():
            found = ahead(database, now)
    if found:
        counts = ", ".join(f"{count:,} {name}" for name, count in found.items())
        yield Finding(
            CLOCK,
            State.FAILED,
            f"times in the future: {counts}",
            "if this machine's clock is right, run 'notebooks-accounting db mend-times'",
        )


def outbox(settings: Settings) -> Iterator[Finding]:
    """Whether something keeps messages from being delivered; nothing where there are none yet."""
    destinations: list[Destination] = []
    with suppress(AccountingError), Database(settings.database_url) as found:  # told already
        if not _is_new(settings) and found.is_current():
            destinations = Messages(found).destinations(names_of(settings))
    for destination in destinations:
        yield from _destination(destination)


def flavors(settings: Settings, now: float) -> Iterator[Finding]:
    """Whether EOSC's accounting is told the hours of all flavours; nothing where none go there."""
    found: list[Unmapped] = []
    with suppress(AccountingError), Database(settings.database_url) as database:  # told already
        if settings.eosc.url and not _is_new(settings) and database.is_current():
            found = unmapped(settings, database, now)
    if found:
        yield Finding(
            "flavours",
            State.WARNING,
            f"hours of {', '.join(map(str, found))} are not reported to EOSC's accounting",
            "say in ACCOUNTING_EOSC__METRICS what they count as, or 'none'",
        )


def _destination(found: Destination) -> Iterator[Finding]:
    called = f"{found.alias}, {found.name}" if found.alias not in {"", FIRST} else found.name
    name, what = "outbox", f"{called}: "
    if found.stop:
        failure = found.stop.failure
        yield Finding(name, State.FAILED, f"{what}stopped, {failure.reason}", failure.cure)
    elif found.failure:
        yield Finding(name, State.WARNING, what + found.failure.reason, found.failure.cure)
    if parked := found.messages[MessageState.PARKED]:
        cure = "see 'notebooks-accounting outbox list --state parked'"
        yield Finding(name, State.WARNING, f"{what}{parked:,} messages are parked", cure)


def watermark(settings: Settings) -> float | None:
    """How far polls have come, Unix seconds; None if there was none."""
    if _is_new(settings):
        return None
    with suppress(AccountingError), Database(settings.database_url) as database:
        progress = Ledger(database).progress()
        return None if progress is None else float(progress.watermark)
    return None


def _is_new(settings: Settings) -> bool:
    """Whether the SQLite file is yet to be made: looking must not make it."""
    with Database(settings.database_url) as database:
        path = database.url.database
        return database.is_sqlite and bool(path) and not Path(path or "").exists()
