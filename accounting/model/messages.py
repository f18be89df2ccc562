"""Delivery: messages and their states, failures, stopped destinations."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from accounting.model.time import Month


class MessageState(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    PARKED = "parked"
    SPLIT = "split"
    WITHDRAWN = "withdrawn"


WAITING = (MessageState.PENDING, MessageState.SENDING)
"""What the next push sends, if nothing stands before it."""
UNDELIVERED = (*WAITING, MessageState.PARKED)
"""What later messages with the same pod-months must not overtake."""


class OutletKind(StrEnum):
    """What a destination takes."""

    RECORDS = "records"
    SUMMARIES = "summaries"
    ACCELERATORS = "accelerators"
    ENERGY = "energy"
    HOURS = "hours"
    STORAGE = "storage"


def address(place: str, kind: OutletKind) -> str:
    """How messages name a destination: its place; what is not records is named behind it."""
    return place if kind is OutletKind.RECORDS else f"{place}#{kind}"


class FailureKind(StrEnum):
    """The kind of a failure; it decides what happens to the message."""

    UNAVAILABLE = "unavailable"
    UNEXPECTED = "unexpected"
    REFUSED = "refused"
    REJECTED = "rejected"
    CERTIFICATE = "certificate"
    SIGNING = "signing"
    UNSENDABLE = "unsendable"
    TOO_LARGE = "too large"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a message was not delivered; the texts are for the operator, without names or secrets."""

    kind: FailureKind
    reason: str
    cure: str


class RecordKey(NamedTuple):
    """A figure's key at its receiver; ``uid`` is a pod's for records, else what the outlet says."""

    uid: str
    year: int
    month: int

    @property
    def of(self) -> Month:
        """The month (UTC)."""
        return Month(self.year, self.month)


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure as a message carries it.

    Attributes:
        key: at the receiver, and in what is noted of its delivery.
        text: its part of a message's body.
        digest: of the text: tells whether the receiver must be told.
        final: it is the month's last word.
    """

    key: RecordKey
    text: str
    digest: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a message may hold.

    Attributes:
        records: at most that many; its size is bounded as well.
        ascii_only: leave out records with other text, which the destination cannot carry.
    """

    records: int
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it waits; ``body`` never changes.

    Attributes:
        id: its number.
        empaid: our own id of it, which the receiver logs.
        attempts: how often sending it was tried.
        next_try_at: not before that; None: at once.
        state: ``sending`` if an attempt was cut short by a crash.
        tried_at: when the last attempt began.
        origin, part: its place in the queue: the whole's number, and which part of it this is.
    """

    id: int
    empaid: str
    destination: str
    body: str
    records: int
    attempts: int
    next_try_at: float | None
    state: MessageState
    tried_at: float | None
    origin: int
    part: str


@dataclass(frozen=True, slots=True)
class Stop:
    """A destination to which nothing is sent until the operator has acted.

    Attributes:
        stopped_at: since when, Unix seconds.
        failure: why, and the cure.
        message_id: the message that was being sent.
        probe_at: when it is tried again by itself; None: at every push (what is wrong is here,
            and looking costs nothing).
    """

    destination: str
    stopped_at: float
    failure: Failure
    message_id: int | None
    probe_at: float | None
