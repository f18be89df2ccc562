"""Checks of the database."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from accounting.config import Settings
from accounting.doctor.finding import Finding, State
from accounting.errors import AccountingError
from accounting.lookup.messages import Destination, Messages
from accounting.model.messages import MessageState
from accounting.store.database import Database
from accounting.store.ledger import Ledger


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
            return
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


def outbox(settings: Settings) -> Iterator[Finding]:
    """Whether something keeps messages from being delivered; nothing where there are none yet."""
    destinations: list[Destination] = []
    with suppress(AccountingError), Database(settings.database_url) as found:  # told already
        if not _is_new(settings) and found.is_current():
            destinations = Messages(found).destinations()
    for destination in destinations:
        yield from _destination(destination)


def _destination(found: Destination) -> Iterator[Finding]:
    name, what = "outbox", f"{found.name}: "
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
