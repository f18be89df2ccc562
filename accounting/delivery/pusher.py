"""One push: what waits is delivered in order, then due records become messages, one by one.

A message is built only when nothing deliverable stands before it. So an outage of days does not
pile up messages that say the same of the same pods: what changes meanwhile stays due in the
records' table, and goes out as it is when the destination is back.
"""

import hashlib
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import structlog

from accounting.delivery.backoff import Backoff
from accounting.delivery.outbox import Outbox
from accounting.errors import AccountingError, DeliveryError
from accounting.model.messages import (
    WAITING,
    Failure,
    FailureKind,
    Limit,
    Message,
    MessageState,
    RecordKey,
    Stop,
    address,
)
from accounting.model.time import Month
from ssm.errors import (
    BodyError,
    CertificateError,
    Refused,
    Rejected,
    SigningError,
    SsmError,
    TooLarge,
)
from ssm.sender import Sender

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a push goes about it.

    Attributes:
        records_per_message: at most that many.
        close_after_seconds: a month is closed that long after its end.
        backoff: how long to wait after a failure that may pass.
        probe_seconds: how long after a refusal a stopped destination is tried again by itself.
        settle_seconds: an attempt that a crash cut short may still be on its way to the broker
            for so long; what overtook it would be overwritten by it.
        at_once: wait for neither backoff nor probe.
    """

    records_per_message: int = 500
    close_after_seconds: float = 2 * 86400.0
    backoff: Backoff = field(default_factory=Backoff)
    probe_seconds: float = 6 * 3600.0
    settle_seconds: float = 120.0
    at_once: bool = False


@dataclass(slots=True)
class Report:
    """What a push did.

    Attributes:
        built: messages that were built.
        records: records in them.
        left_out: due records that this destination cannot carry.
        sent: messages that were delivered, older ones included.
        delivered: records in them.
        remaining: records that are due or wait in messages.
        split: messages that were too large and were cut in two.
        pending: messages that still wait.
        parked: messages set aside, those of earlier pushes included.
        elsewhere: messages that wait for another destination than the one in the settings.
        next_try_at: when the destination is tried again by itself; None if nothing keeps it.
        warnings: what the operator should know though it worked, such as a certificate's end.
        error: why it stopped; None if all was delivered.
    """

    built: int = 0
    records: int = 0
    left_out: int = 0
    sent: int = 0
    delivered: int = 0
    remaining: int = 0
    split: int = 0
    pending: int = 0
    parked: int = 0
    elsewhere: int = 0
    next_try_at: float | None = None
    warnings: tuple[str, ...] = ()
    error: AccountingError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to deliver."""
        left = self.pending or self.parked or self.left_out or self.elsewhere
        return self.error is None and not left


class Step(StrEnum):
    """Moments of a push between which a crash could matter."""

    CLAIMED = "claimed"
    ANSWERED = "answered"
    NOTED = "noted"


Notice = Callable[[Report], bool | None]
"""Told of a push after each message; it ends there if the answer is true."""


class Pusher:
    """Delivers to one destination; several may push at once, each to its own.

    Args:
        outbox: where the messages are.
        sender: the destination.
        policy: how to go about it.
        now: tells Unix time.
        position: the destination's place in the settings.
        chance: gives numbers from 0 up to, not including, 1.
        passed: told of every step; for those who test what a crash there does.
    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        policy: Policy | None = None,
        *,
        position: int = 0,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        passed: Callable[[Step], None] = lambda _step: None,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._policy = policy or Policy()
        self._position = position
        self._now = now
        self._chance = chance
        self._passed = passed

    @property
    def destination(self) -> str:
        """How messages name it."""
        return address(self._sender.name, self._outbox.outlet.kind)

    def push(self, notice: Notice = lambda _: None) -> Report:
        """Deliver all that can be delivered now.

        It ends at the first message that the destination does not take: a later one must not
        overtake it (apel.md, rule 1).

        Args:
            notice: called after each message, for progress bars and metrics; a true answer ends
                the push there.

        Raises:
            Busy: another process is pushing to this destination.
            DatabaseError: the outbox cannot be read or written.
        """
        database = self._outbox.database
        with (
            database.exclusive("push", shared=True),  # what copies the ledger takes it alone
            database.exclusive(lock_of(self.destination)),
        ):
            self._outbox.register(self.destination, self._position)
            run = _Run(
                self.destination,
                self._outbox,
                self._sender,
                self._policy,
                self._now,
                self._chance,
                self._passed,
                notice,
            )
            return run.finished()


def lock_of(destination: str) -> str:
    """The name of the lock, which may be a file's."""
    return f"push-{hashlib.sha256(destination.encode()).hexdigest()[:16]}"


@dataclass
class _Run:
    """One push while it lasts."""

    destination: str
    outbox: Outbox
    sender: Sender
    policy: Policy
    now: Callable[[], float]
    chance: Callable[[], float]
    passed: Callable[[Step], None]
    notice: Notice
    report: Report = field(default_factory=Report)
    rejected_before: bool = False

    def finished(self) -> Report:
        report, outbox = self.report, self.outbox
        waiting = outbox.waiting_records(self.destination)
        due = outbox.due_count(self._open_from(), self.destination)
        report.remaining = due + waiting
        report.warnings = self.sender.warnings()
        for warning in report.warnings:
            log.warning("delivery needs a look", problem=warning)
        if self._may_try():
            self._deliver()
        counts = outbox.counts(self.destination)
        report.pending = sum(counts[state] for state in WAITING)
        report.parked = counts[MessageState.PARKED]
        report.elsewhere = outbox.elsewhere()
        return report

    def _may_try(self) -> bool:
        stop = self.outbox.stop_of(self.destination)
        if stop is None or stop.probe_at is None or self.policy.at_once:
            return True
        # A time that is too far off is of a clock that ran ahead: nothing waits for it.
        if not self.now() < stop.probe_at <= self.now() + self.policy.probe_seconds:
            return True
        failure = stop.failure
        self.report.next_try_at = stop.probe_at
        self.report.error = DeliveryError(
            f"{self.destination} is stopped: {failure.reason}",
            f"{failure.cure} Then run 'outbox resume'.",
        )
        return False

    def _deliver(self) -> None:
        after: RecordKey | None = None
        while self.report.error is None:
            message = self.outbox.next(self.destination)
            if message is None:
                after, claimed = self._build(after)
                if claimed is None:
                    self.outbox.settle(self.destination)
                    return
            elif self._is_early(message):
                return
            else:
                claimed = self.outbox.claim(message, self.now())
            if claimed is not None:
                self.passed(Step.CLAIMED)
                self._send(claimed)
                self.passed(Step.NOTED)
                if self.notice(self.report):
                    return

    def _build(self, after: RecordKey | None) -> tuple[RecordKey | None, Message | None]:
        limit = Limit(self.policy.records_per_message, ascii_only=self.sender.ascii_only)
        filled = self.outbox.fill(self.destination, after, limit, self.now(), self._open_from())
        self.report.left_out += filled.left_out
        if filled.message is not None:
            self.report.built += 1
            self.report.records += filled.records
        return filled.after, filled.message

    def _open_from(self) -> Month:
        return Month.first_open(self.now(), self.policy.close_after_seconds)

    def _is_early(self, message: Message) -> bool:
        at, longest = message.next_try_at, self.policy.backoff.longest_seconds
        if self.policy.at_once:
            at = None
        if message.state is MessageState.SENDING and message.tried_at is not None:
            longest = self.policy.settle_seconds
            at = message.tried_at + longest
        # A time that is too far off is of a clock that ran ahead: nothing waits for it.
        if at is None or not self.now() < at <= self.now() + longest:
            return False
        self.report.next_try_at = at
        return True

    def _send(self, message: Message) -> None:
        try:
            broker_id = self.sender.send(message.body, message.empaid)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the message must not be lost
            self.passed(Step.ANSWERED)
            self._failed(message, failure_of(exc))
            return
        self.passed(Step.ANSWERED)
        self.outbox.sent(message, broker_id, self.now())
        self.rejected_before = False
        self.report.sent += 1
        self.report.delivered += message.records
        self.report.remaining = max(0, self.report.remaining - message.records)
        log.info("message delivered", message=message.id, records=message.records)

    def _failed(self, message: Message, failure: Failure) -> None:
        match failure.kind:
            case FailureKind.TOO_LARGE if message.records > 1:
                self.outbox.split(message, failure, self.now())
                self.report.split += 1
                log.info("message split", message=message.id, records=message.records)
            case FailureKind.TOO_LARGE | FailureKind.UNSENDABLE:
                self._park(message, failure)
            case FailureKind.REJECTED if not self.rejected_before:
                # If the next one is rejected as well, it is not the message's fault.
                self.rejected_before = True
                self._park(message, failure)
            case FailureKind.REFUSED | FailureKind.REJECTED:
                self._stop(message, failure, self.now() + self.policy.probe_seconds)
            case FailureKind.CERTIFICATE | FailureKind.SIGNING:
                self._stop(message, failure, None)
            case _:
                self._back_off(message, failure)

    def _park(self, message: Message, failure: Failure) -> None:
        self.outbox.set_aside(message, failure)
        log.warning(
            "message parked", message=message.id, kind=failure.kind.value, problem=failure.reason
        )

    def _stop(self, message: Message, failure: Failure, probe_at: float | None) -> None:
        self.outbox.failed(message, failure, None)
        self.outbox.stop(Stop(self.destination, self.now(), failure, message.id, probe_at))
        self.report.next_try_at = probe_at
        self.report.error = DeliveryError(failure.reason, failure.cure)
        log.error(
            "destination stopped",
            destination=self.destination,
            kind=failure.kind.value,
            problem=failure.reason,
            cure=failure.cure,
        )

    def _back_off(self, message: Message, failure: Failure) -> None:
        delay = self.policy.backoff.delay_seconds(message.attempts, self.chance)
        self.outbox.failed(message, failure, self.now() + delay)
        self.report.next_try_at = self.now() + delay
        self.report.error = DeliveryError(failure.reason, failure.cure)
        log.warning(
            "message not delivered",
            message=message.id,
            attempts=message.attempts,
            kind=failure.kind.value,
            problem=failure.reason,
            next_seconds=round(delay),
        )


_KINDS: tuple[tuple[type[SsmError], FailureKind], ...] = (
    (TooLarge, FailureKind.TOO_LARGE),
    (Rejected, FailureKind.REJECTED),
    (Refused, FailureKind.REFUSED),
    (CertificateError, FailureKind.CERTIFICATE),
    (BodyError, FailureKind.UNSENDABLE),
    (SigningError, FailureKind.SIGNING),
    (SsmError, FailureKind.UNAVAILABLE),
)
"""From the special to the general."""


def failure_of(exc: Exception) -> Failure:
    """What kind of failure an exception is, by its type."""
    if not isinstance(exc, SsmError):
        # Its own text may hold anything, secrets too: where it happened says enough.
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        where = f"{frame.name}, {Path(frame.filename).name} line {frame.lineno}"
        return Failure(
            FailureKind.UNEXPECTED,
            f"unexpected {type(exc).__name__} in {where}",
            "It is tried again; please report this.",
        )
    kind = next(kind for family, kind in _KINDS if isinstance(exc, family))
    return Failure(kind, exc.message, exc.cure)
