"""The ``outbox`` commands."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import DestinationOption, Json, Limit
from accounting.cli.output import notice, shown_time, table, write_json
from accounting.cli.program import opened, program_of
from accounting.errors import AccountingError

if TYPE_CHECKING:
    from accounting.delivery.outbox import Outbox
    from accounting.lookup.messages import Destination, Entry
    from accounting.telemetry.standing import Outgoing

Number = Annotated[int, typer.Argument(help="The message's number, from 'outbox list'.")]
Destined = Annotated[
    str,
    typer.Argument(
        help="The destination: its name in the settings, or as 'outbox status' shows it; by"
        " default the first in the settings."
    ),
]


class StateOption(StrEnum):
    """Where a message is."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    PARKED = "parked"
    SPLIT = "split"
    WITHDRAWN = "withdrawn"


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the state of delivery to each destination, with problems and cures."""
    settings = program_of(ctx).settings()
    from accounting.lookup.messages import Messages
    from accounting.lookup.standing import standing_of
    from accounting.wiring.destinations import names_of

    with opened(settings) as database:
        found = Messages(database).destinations(names_of(settings))
        stands = standing_of(settings, database, time.time()).destinations
    if as_json:
        write_json([_destination(one, stands.get(one.alias)) for one in found])
        return
    for one in found:
        stand = stands.get(one.alias)
        counts = ", ".join(f"{count:,} {state}" for state, count in one.messages.items() if count)
        rows = [
            ("in the settings", one.alias or "no longer"),
            ("due", f"{stand.due:,}" if stand and stand.due else ""),
            ("differing", f"{stand.differing:,}" if stand and stand.differing else ""),
            ("messages", counts or "none"),
            ("stopped since", shown_time(one.stop.stopped_at) if one.stop else ""),
            ("oldest undelivered", shown_time(one.oldest_at)),
            ("last delivered", shown_time(one.last_sent_at)),
            ("next try", shown_time(one.next_try_at)),
            ("problem", one.failure.reason if one.failure else ""),
            ("cure", one.failure.cure if one.failure else ""),
        ]
        table(one.name, ("", ""), [row for row in rows if row[1]])


def _destination(one: "Destination", stand: "Outgoing | None") -> dict[str, Any]:
    return {
        **asdict(one),
        "messages": {state.value: n for state, n in one.messages.items()},
        "due": stand and stand.due,
        "differing": stand and stand.differing,
    }


def list_messages(
    ctx: typer.Context,
    *,
    state: Annotated[StateOption | None, typer.Option(help="Only in this state.")] = None,
    destination: DestinationOption = "",
    pod: Annotated[
        str,
        typer.Option(metavar="UID", help="Only with records of this pod: its uid or a beginning."),
    ] = "",
    before: Annotated[
        int | None, typer.Option(help="Only messages before this number: the next page.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List messages, the latest first."""
    settings = program_of(ctx).settings()
    from accounting.lookup.messages import Messages, Selection
    from accounting.model.messages import MessageState
    from accounting.store.records import Records
    from accounting.wiring.destinations import address_of, names_of

    where, names = address_of(settings, destination) if destination else "", names_of(settings)
    with opened(settings) as database:
        uid = pod and Records(database).whole_uid(pod)
        chosen = Selection(where, [MessageState(state.value)] if state else [], uid)
        found = Messages(database).page(chosen, before, limit + 1)
    if as_json:
        write_json([asdict(entry) for entry in found[:limit]])
    else:
        columns = (
            ">number",
            "to",
            "part",
            "state",
            ">records",
            "built at",
            ">tries",
            "sent at",
            "AMS message id",
            "problem",
        )
        table("Messages", columns, (_cells(entry, names) for entry in found[:limit]))
    if len(found) > limit:
        notice(f"there are more: see --limit, or --before {found[limit - 1].id}")


def _cells(entry: "Entry", names: Mapping[str, str]) -> tuple[object, ...]:
    return (
        entry.id,
        names.get(entry.destination, entry.destination),
        f"{entry.part} of {entry.origin}" if entry.part else "",
        entry.state.value,
        f"{entry.records:,}",
        shown_time(entry.built_at),
        entry.attempts,
        shown_time(entry.sent_at),
        entry.broker_id,
        entry.failure.reason if entry.failure else "",
    )


def show(ctx: typer.Context, number: Number, as_json: Json = False) -> None:
    """Show one message, its last failure, and its records."""
    settings = program_of(ctx).settings()
    from accounting.lookup.messages import Messages

    with opened(settings) as database:
        messages = Messages(database)
        entry, taken = messages.find(number), messages.records(number)
    if entry is None:
        raise AccountingError(
            f"there is no message {number}", "see 'notebooks-accounting outbox list'"
        )
    if as_json:
        write_json({**asdict(entry), "taken": [asdict(record) for record in taken]})
        return
    values = {
        **asdict(entry),
        "failure": entry.failure and entry.failure.reason,
        "cure": entry.failure and entry.failure.cure,
    }
    rows = [
        (name.replace("_", " "), shown_time(value) if name.endswith("_at") else value)
        for name, value in values.items()
        if value not in (None, "")
    ]
    table(f"Message {number}", ("", ""), rows)
    table(
        "Its records",
        ("pod", "month", "now"),
        (
            (
                one.uid,
                f"{one.year:04d}-{one.month:02d}",
                "a later message took it"
                if not one.is_latest
                else "unchanged"
                if one.is_current
                else "has changed since",
            )
            for one in taken
        ),
    )


@contextmanager
def _outbox(ctx: typer.Context) -> "Iterator[Outbox]":
    settings = program_of(ctx).settings()
    from accounting.delivery.outbox import Outbox

    with opened(settings) as database:
        yield Outbox(database)


def retry(ctx: typer.Context, number: Number) -> None:
    """Send a parked or failed message with the next push, without further waiting."""
    with _outbox(ctx) as outbox:
        outbox.retry(number)
    typer.echo(f"message {number} waits for the next push")


def park(ctx: typer.Context, number: Number) -> None:
    """Set a waiting message aside: only messages with the same pods and months wait for it."""
    from accounting.model.messages import Failure, FailureKind

    failure = Failure(
        FailureKind.OPERATOR,
        "parked by the operator",
        "'outbox retry' sends it, 'outbox withdraw' builds its records anew",
    )
    with _outbox(ctx) as outbox:
        outbox.park(number, failure)
    typer.echo(f"message {number} is parked")


def withdraw(ctx: typer.Context, number: Number) -> None:
    """Give up a parked message: its records are sent anew, with their current values."""
    with _outbox(ctx) as outbox:
        outbox.withdraw(number)
    typer.echo(f"message {number} is withdrawn; its records are due again")


def resume(ctx: typer.Context, destination: Destined = "") -> None:
    """Try a stopped or failing destination with the next push, without further waiting."""
    from accounting.wiring.destinations import address_of

    name = address_of(program_of(ctx).settings(), destination)
    with _outbox(ctx) as outbox:
        kept = outbox.resume(name)
    typer.echo(f"the next push tries {name}" if kept else f"nothing keeps {name} from being tried")


def readdress(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(help="The destination that was wrong.")],
    destination: DestinationOption = "",
) -> None:
    """Move what waits for another destination to one in the settings: by default the first."""
    from accounting.wiring.destinations import addresses, place_of

    settings = program_of(ctx).settings()
    new = addresses(settings)[place_of(settings, destination).name]
    if old == new or old.partition("#")[2] != new.partition("#")[2]:
        raise AccountingError(
            f"what waits for '{old}' cannot go to {new}",
            "name another destination that takes the same with --destination",
        )
    with _outbox(ctx) as outbox:
        count = outbox.readdress(old, new)
    if not count:
        raise AccountingError(
            f"no message waits for '{old}'", "give it exactly as 'outbox status' shows it"
        )
    typer.echo(f"{count:,} messages wait for {new} now")
