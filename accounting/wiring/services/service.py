"""What a receiver that has settings of its own must say of itself."""

from typing import TYPE_CHECKING, Protocol

from accounting.config import Settings
from accounting.store.engine.database import Database

if TYPE_CHECKING:
    from accounting.delivery.outlets.outlet import Outlet
    from ssm.sender import Sender


class Service(Protocol):
    """A receiver over HTTP that is told figures of one kind."""

    @property
    def name(self) -> str:
        """Of the destination, and of the group of its settings."""

    @property
    def called(self) -> str:
        """What people call it."""

    @property
    def shows(self) -> str:
        """What a login that works shows, after the receiver's name."""

    @property
    def interval(self) -> float:
        """Seconds from push to push."""

    @property
    def total_timeout(self) -> float:
        """Seconds in which one exchange must have come to an end."""

    def outlet(self) -> "Outlet":
        """What it is told."""

    def sender(self, database: Database | None) -> "Sender":
        """What tells it.

        Args:
            database: keeps what the receiver says of single figures; needed to send to one that
                does.
        """

    def refuse_wrong(self, settings: Settings) -> None:
        """Look for settings that go with none of these.

        Raises:
            SettingsError: there is one.
        """
