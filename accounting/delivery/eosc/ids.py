"""The ids that the receiver has given our figures, kept in the ledger's database."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from sqlalchemy import delete, select

from accounting.store.engine.database import Database
from accounting.store.tables import remote_ids

_IN_LIST = 500


class Told(NamedTuple):
    """What is known of a figure at the receiver.

    Attributes:
        id: the receiver's own.
        message: our id of the message that told it last.
    """

    id: str
    message: str


class Ids(Protocol):
    """Keeps ids by figures' keys."""

    def of(self, keys: Iterable[str]) -> dict[str, Told]:
        """Those that are known."""

    def note(self, key: str, told: Told) -> None:
        """Keep an id, and which message told the figure; on disk when this returns."""

    def forget(self, key: str) -> None:
        """The receiver has it no more."""


class KeptIds:
    """The ids that one destination has given.

    Args:
        database: the ledger's.
        destination: as messages name it.
    """

    def __init__(self, database: Database, destination: str) -> None:
        self._database = database
        self._destination = destination

    def of(self, keys: Iterable[str]) -> dict[str, Told]:
        """See ``Ids``."""
        wanted = list(keys)
        found: dict[str, Told] = {}
        columns = (remote_ids.c.uid, remote_ids.c.remote_id, remote_ids.c.empaid)
        mine = remote_ids.c.destination == self._destination
        with self._database.begin(reading=True) as connection:
            for start in range(0, len(wanted), _IN_LIST):
                chunk = wanted[start : start + _IN_LIST]
                query = select(*columns).where(mine, remote_ids.c.uid.in_(chunk))
                found |= {key: Told(*told) for key, *told in connection.execute(query)}
        return found

    def note(self, key: str, told: Told) -> None:
        """See ``Ids``."""
        names = tuple(column.name for column in remote_ids.columns)
        with self._database.begin() as connection:
            row = (self._destination, key, *told)
            self._database.write(connection, remote_ids, names, [row])

    def forget(self, key: str) -> None:
        """See ``Ids``."""
        mine = (remote_ids.c.destination == self._destination) & (remote_ids.c.uid == key)
        with self._database.begin() as connection:
            connection.execute(delete(remote_ids).where(mine))


class NoIds:
    """Knows none and keeps none: for who only looks."""

    def of(self, keys: Iterable[str]) -> dict[str, Told]:
        """See ``Ids``."""
        del keys
        return {}

    def note(self, key: str, told: Told) -> None:
        """See ``Ids``."""

    def forget(self, key: str) -> None:
        """See ``Ids``."""
