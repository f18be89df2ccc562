"""Everything that can go wrong, as one tree; the type decides what happens next.

::

    AccountingError            one clear line: what happened, where, and the cure
    ├── SettingsError          wrong use: stop at once (exit code 2)
    ├── SourceError            Prometheus and its kin: the watermark stays, a later poll goes on
    │   ├── SourceUnavailable  no answer, or 5xx: try again later
    │   │   └── SourceTooSlow  no whole answer in time, or 503: the question may be too large
    │   ├── SourceRefused      4xx: the question or the permission is wrong
    │   │   └── SeveralClusters  nothing tells clusters apart that it holds (exit code 3)
    │   ├── SourceTooLarge     the engine refuses the amount, or we do: ask for less at a time
    │   └── SourceGarbled      an answer that cannot be read or says itself that it is incomplete
    ├── DatabaseError          unreachable, unwritable, full, or of another version
    ├── ClockError             what is kept is of later than now: the clock ran ahead (exit code 3)
    ├── Busy                   another process is doing the same job
    ├── DeliveryError          messages stay in the outbox
    └── PortalError            the accounting portal gave no usable answer
"""

from typing import ClassVar


class AccountingError(Exception):
    """What happened and what to do about it.

    Args:
        message: what happened and where, one line, without secrets or user names.
        cure: what the operator does next, one line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message, cure)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} → {self.cure}"


class SettingsError(AccountingError):
    """A setting is missing or wrong; names the setting and gives an example."""

    exit_code = 2


class SourceError(AccountingError):
    """The metrics source did not give a usable answer."""


class SourceUnavailable(SourceError):
    """No connection, a timeout, or a 5xx answer."""


class SourceTooSlow(SourceUnavailable):
    """No whole answer in time: the store is down, or the question too large for it."""


class SourceRefused(SourceError):
    """A 4xx answer that is not about size."""


class SeveralClusters(SourceRefused):
    """The source holds several clusters that nothing in the settings tells apart."""

    exit_code = 3


class SourceTooLarge(SourceError):
    """Too many samples, series or bytes in one query: for the source, or for our memory."""


class SourceGarbled(SourceError):
    """The answer is not the query API's JSON, is cut off, or carries a warning."""


class DatabaseError(AccountingError):
    """The database cannot be used as it is."""


class ClockError(AccountingError):
    """What is kept is of later than the clock says: it ran ahead once, or is behind now."""

    exit_code = 3


class Busy(AccountingError):
    """Another process holds the lock for this job."""


class DeliveryError(AccountingError):
    """A message could not be delivered; it stays in the outbox."""


class PortalError(AccountingError):
    """The accounting portal cannot be reached, or what it answers cannot be read."""
