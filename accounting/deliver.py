"""One push: due records become messages, and the outbox is delivered in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from accounting.errors import AccountingError, DeliveryError
from accounting.outbox import Limit, Message, Outbox, State
from ssm.errors import SsmError
from ssm.sender import Sender

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Report:
    """What a push did.

    Attributes:
        built: messages that were built.
        records: records in them.
        left_out: due records that this destination cannot carry.
        sent: messages that were delivered, older ones included.
        pending: messages that still wait.
        error: why it stopped; None if all was delivered.
    """

    built: int = 0
    records: int = 0
    left_out: int = 0
    sent: int = 0
    pending: int = 0
    error: AccountingError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to deliver."""
        return self.error is None and not self.pending and not self.left_out


Notice = Callable[[Report], None]


def push(
    outbox: Outbox,
    sender: Sender,
    records_per_message: int,
    now: Callable[[], float],
    notice: Notice = lambda _: None,
) -> Report:
    """Build messages of all that is due, then deliver what waits, the oldest first.

    It stops at the first message that cannot be delivered: a later one must not overtake it
    (apel.md, rule 1). The message stays in the outbox for the next push.

    Args:
        outbox: where the messages are.
        sender: the destination.
        records_per_message: at most that many.
        now: tells Unix time.
        notice: called after each message, for progress bars and metrics.

    Raises:
        Busy: another process is pushing.
        DatabaseError: the outbox cannot be read or written.
    """
    report = Report()
    limit = Limit(records_per_message, ascii_only=sender.ascii_only)
    with outbox.database.exclusive("push"):
        for count in _built(outbox, sender.name, limit, now, report):
            report.built += 1
            report.records += count
            notice(report)
        report.pending = outbox.counts(sender.name)[State.PENDING]
        while message := outbox.next(sender.name):
            report.error = _sent(outbox, sender, message, now)
            if report.error is not None:
                break
            report.sent += 1
            report.pending -= 1
            notice(report)
    return report


def _built(
    outbox: Outbox, destination: str, limit: Limit, now: Callable[[], float], report: Report
) -> Iterator[int]:
    """Build messages until nothing is due; yields how many records each took."""
    after, count, left_out = outbox.fill(destination, None, limit, now())
    while count:
        report.left_out += left_out
        yield count
        after, count, left_out = outbox.fill(destination, after, limit, now())
    report.left_out += left_out


def _sent(
    outbox: Outbox, sender: Sender, message: Message, now: Callable[[], float]
) -> AccountingError | None:
    """Deliver one message and note how it went."""
    try:
        broker_id = sender.send(message.body, message.empaid)
    except SsmError as exc:
        outbox.failed(message, f"{type(exc).__name__}: {exc.message}", now())
        log.warning("message not delivered", message=message.empaid, error=type(exc).__name__)
        return DeliveryError(exc.message, exc.cure)
    outbox.sent(message, broker_id, now())
    log.info("message delivered", message=message.empaid, records=message.records)
    return None
