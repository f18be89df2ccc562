"""One answer to "Is everything measured and delivered?", and what it rests on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from accounting.errors import AccountingError
from accounting.lookup.messages import Destination
from accounting.lookup.status import Delivery, Status
from accounting.model.messages import MessageState
from accounting.store.engine.clock import age
from accounting.telemetry.standing import Outgoing
from accounting.web.views.figures import duration

QUIET_SECONDS = 48 * 3600.0
"""So long nothing may be delivered though something is due; the alert's rule is the same."""
CERTIFICATE_DAYS = 30
_LEAST_DAYS = 1
_CLOCK_CURE = "if the clock is right now, run 'notebooks-accounting db mend-times'; else correct it"


class Level(IntEnum):
    """How bad it is."""

    GOOD = 0
    NOTE = 1
    WARN = 2
    BAD = 3

    @property
    def style(self) -> str:
        """The style sheet's name of it."""
        return ("good", "good", "warn", "bad")[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know.

    Attributes:
        text: what is the matter, without a full stop.
        cure: what to do; empty: nothing.
        path: of the page that says more; empty: none does.
    """

    level: Level
    text: str
    cure: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer, and all findings, the worst first."""

    level: Level
    headline: str
    findings: list[Finding]


def verdict(
    status: Status,
    destinations: Sequence[Destination],
    *,
    allowed_lag_seconds: float,
    failure: AccountingError | None = None,
) -> Verdict:
    """The verdict that a viewer sees.

    Args:
        status: how things stand, as far as the viewer may know.
        destinations: how delivery stands, for those who may know.
        allowed_lag_seconds: how far measuring may be behind without anything being the matter.
        failure: why the last poll failed, for those who may know.
    """
    if status.read_until is None:
        cure = failure.cure if failure else "the first poll reads all history; it may take a while"
        text = failure.message if failure else "no poll has ended yet"
        return Verdict(
            Level.WARN, "Nothing has been measured yet", [Finding(Level.WARN, text, cure)]
        )
    found = [*_measuring(status, allowed_lag_seconds, failure)]
    if status.delivery is not None:
        found += _delivering(status.now, status.delivery, destinations)
    found.sort(key=lambda finding: -finding.level)
    level = max((finding.level for finding in found), default=Level.GOOD)
    return Verdict(level, _headline(level, found, delivers=status.delivery is not None), found)


def _headline(level: Level, found: Sequence[Finding], *, delivers: bool) -> str:
    if level is Level.BAD:
        return "No: something needs to be repaired"
    if level is Level.WARN:
        count = sum(finding.level is Level.WARN for finding in found)
        return f"Almost: {count} {'thing needs' if count == 1 else 'things need'} attention"
    return "Yes: everything is measured" + (" and delivered" if delivers else "")


def _measuring(
    status: Status, allowed_lag_seconds: float, failure: AccountingError | None
) -> Iterator[Finding]:
    silent = next((gap for gap in status.gaps if gap.end_at is None), None)
    if silent is not None:
        yield Finding(
            Level.BAD,
            f"the metrics have been silent for {duration(status.now - silent.start_at)}",
            "repair what Prometheus scrapes; meanwhile, no notebook is marked as ended, and no"
            " usage is lost",
            "gaps",
        )
    if failure is not None:
        yield Finding(Level.BAD, f"the last poll failed: {failure.message}", failure.cure)
    elif status.lag_seconds is None:
        yield Finding(
            Level.BAD,
            "usage is read up to a time that this machine's clock has not reached",
            _CLOCK_CURE,
        )
    elif status.lag_seconds > allowed_lag_seconds:
        yield Finding(
            Level.WARN,
            f"measuring is {duration(status.lag_seconds)} behind",
            "the next poll goes on from there; if it stays so, see the service's log",
        )
    ended = [gap for gap in status.gaps if gap.end_at is not None]
    if ended:
        seconds = sum((gap.end_at or 0) - gap.start_at for gap in ended)
        yield Finding(
            Level.NOTE,
            f"the metrics were silent {len(ended)} {'time' if len(ended) == 1 else 'times'} in the"
            f" last weeks, {duration(seconds)} in all: usage in these times is computed from the"
            " samples before and after",
            path="gaps",
        )


def _delivering(
    now: float, delivery: Delivery, destinations: Sequence[Destination]
) -> Iterator[Finding]:
    def _to(destination: Destination) -> str:
        return f" to {destination.alias or destination.name}" if len(destinations) > 1 else ""

    for destination in destinations:
        if destination.stop is not None:
            failure = destination.stop.failure
            yield Finding(
                Level.BAD,
                f"delivery{_to(destination)} is stopped: {failure.reason}",
                failure.cure,
                "deliveries",
            )
        elif destination.failure is not None:
            failure = destination.failure
            yield Finding(
                Level.WARN,
                f"the last delivery{_to(destination)} failed: {failure.reason}",
                failure.cure,
                "deliveries",
            )
    parked = delivery.messages.get(MessageState.PARKED.value, 0)
    if parked:
        yield Finding(
            Level.WARN,
            f"{_counted(parked, 'message')} parked",
            "see why, then retry or withdraw",
            "deliveries?state=parked",
        )
    yield from _quiet(now, delivery)
    if delivery.dated_ahead:
        yield Finding(
            Level.BAD,
            f"{_counted(delivery.dated_ahead, 'record')} dated in the future: a clock ran ahead",
            _CLOCK_CURE,
        )
    if delivery.acknowledged:
        yield Finding(
            Level.NOTE,
            f"{_counted(delivery.acknowledged, 'record')} held back and acknowledged",
            "nothing to do",
            "records?delivery=acknowledged",
        )
    held = sum(delivery.held.values())
    if held:
        reasons = ", ".join(f"{count} {reason}" for reason, count in delivery.held.items())
        yield Finding(
            Level.WARN,
            f"{_counted(held, 'record')} held back ({reasons})",
            "see each record for the cure, or acknowledge it",
            "records?delivery=held",
        )
    if delivery.unmapped_flavors:
        names = ", ".join(delivery.unmapped_flavors)
        yield Finding(
            Level.WARN,
            f"hours of these flavours are not reported to EOSC's accounting: {names}",
            "set in ACCOUNTING_EOSC__METRICS what they count as; until then, their hours are kept",
            "deliveries",
        )
    yield from _certificate(delivery.certificate_days)


def _quiet(now: float, delivery: Delivery) -> Iterator[Finding]:
    used = [name for name, one in delivery.destinations.items() if one.address]
    for name, one in delivery.destinations.items():
        yield from _quiet_at(now, one, "" if used == [name] else f"to {name} ")


def _quiet_at(now: float, one: Outgoing, to: str) -> Iterator[Finding]:
    waits = one.due or one.messages.get(MessageState.PENDING.value, 0)
    last = one.last_push_at
    seconds = age(last, now)
    if last is not None and seconds is None:
        yield Finding(
            Level.BAD,
            f"the last delivery {to}is in the future: a clock ran ahead",
            _CLOCK_CURE,
        )
    elif waits and (seconds is None or seconds > QUIET_SECONDS):
        since = "yet" if seconds is None else f"for {duration(seconds)}"
        yield Finding(
            Level.WARN,
            f"nothing was delivered {to}{since}, although records wait",
            "push now, and see that the cron job runs",
            "deliveries",
        )


def _certificate(days: float | None) -> Iterator[Finding]:
    if days is None or days >= CERTIFICATE_DAYS:
        return
    level = Level.BAD if days < _LEAST_DAYS else Level.WARN
    text = "has expired" if days < 0 else f"expires in {duration(days * 86400)}"
    yield Finding(
        level,
        f"the host certificate {text}",
        "renew it, and put it in the old one's place: no restart is needed",
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what} is" if count == 1 else f"{count:,} {what}s are"
