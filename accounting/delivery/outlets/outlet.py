"""What an outlet must say of itself."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from accounting.model.messages import Entry, Limit, OutletKind, RecordKey
from accounting.model.time import Month


class Outlet(Protocol):
    """One kind of figure: which are due at a destination, and how messages carry them."""

    @property
    def kind(self) -> OutletKind:
        """What it is."""

    def due(
        self,
        connection: Connection,
        destination: str,
        after: RecordKey | None,
        limit: Limit,
        open_from: Month,
    ) -> tuple[list[Entry], int]:
        """Figures that must go there and fit into one message, by month and key.

        Args:
            connection: reads them.
            destination: where to.
            after: only those behind this key.
            limit: how much a message may hold.
            open_from: the first month that is not closed.

        Returns:
            (figures, how many were left out because the destination cannot carry them).
        """

    def due_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """How many figures must go there and are in no message yet."""

    def differing_count(self, connection: Connection, destination: str, open_from: Month) -> int:
        """How many corrections of closed months wait for ``republish`` (D6)."""

    def unsaid_counts(
        self, connection: Connection, destination: str, open_from: Month
    ) -> tuple[int, int]:
        """Both of these counts, found at once."""

    def settle(self, connection: Connection, destination: str) -> None:
        """Note which months this destination was told all of, so that nobody searches them."""

    def body(self, texts: Sequence[str]) -> str:
        """A message's body from its figures' texts."""

    def texts(self, body: str) -> list[str]:
        """The figures' texts of a body, in its order."""

    def digest(self, text: str) -> str:
        """The digest of a figure, from its text."""
