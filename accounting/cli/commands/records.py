"""``records list``, ``show`` and ``summary``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import (
    DestinationOption,
    Json,
    Limit,
    MonthOption,
    PodArgument,
)
from accounting.cli.output import (
    counted,
    fits,
    is_wide,
    notice,
    readers_console,
    shown_time,
    shown_uid,
    table,
    write_json,
)
from accounting.cli.program import opened, program_of
from accounting.errors import AccountingError
from accounting.model.records import Record
from accounting.model.time import Month

if TYPE_CHECKING:
    from rich.console import Console

    from accounting.config import Settings
    from accounting.delivery.receiver import Line, Usage
    from accounting.store.records import Selection


class StatusOption(StrEnum):
    """APEL's states of a notebook."""

    STARTED = "started"
    COMPLETED = "completed"


def found_records(settings: "Settings", selection: "Selection") -> Iterator[Record]:
    """The selected records, streamed."""
    from accounting.store.records import Records

    with opened(settings) as database:
        yield from Records(database).find(selection)


def list_records(
    ctx: typer.Context,
    *,
    month: MonthOption = None,
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    vo: Annotated[str, typer.Option(help="Only this VO's.")] = "",
    status: Annotated[StatusOption | None, typer.Option(help="Only this state.")] = None,
    held: Annotated[
        bool | None, typer.Option("--held/--sendable", help="Only those held back, or the others.")
    ] = None,
    differing: Annotated[
        bool,
        typer.Option(
            "--differing", help="Only those of closed months that differ from what was sent."
        ),
    ] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List records: one per notebook and month."""
    settings = program_of(ctx).settings()
    from accounting.store.records import Selection
    from accounting.wiring.months import open_from

    chosen = Selection(
        month=month,
        user=user,
        vo=vo,
        status=status.value if status else "",
        held=held,
        differing=differing,
        open_from=open_from(settings, time.time()),
        limit=limit + 1,
    )
    from accounting.records.formats.export import row_of

    found = list(found_records(settings, chosen))
    if as_json:
        write_json([row_of(record) for record in found[:limit]])
    else:
        _show_list(found[:limit])
    if len(found) > limit:
        notice(f"there are more than {limit}; see --limit and the other options")


_FIGURES = ("month", "status", ">wall s", ">CPU s", ">CPUs", ">MB")


def _show_list(found: Sequence[Record]) -> None:
    console = readers_console()
    if found and not is_wide(console):
        _show_on_two_lines(console, found)
        return
    rows = ((r.uid, r.user, r.vo.name, *_figures(r), _remarks(r)) for r in found)
    table("Records", ("pod", "user", "VO", *_FIGURES, "notes"), rows)


def _show_on_two_lines(console: "Console", found: Sequence[Record]) -> None:
    """The figures, and below them whose they are; pods by the first signs of their uid."""
    from rich.text import Text

    names = ("pod", *_FIGURES)
    lines = [names, *((shown_uid(r.uid), *_figures(r)) for r in found)]
    widths = [
        max(len(line[place].removeprefix(">")) for line in lines) for place in range(len(names))
    ]
    for line, record in zip(lines, (None, *found), strict=True):
        cells = [
            cell.removeprefix(">").rjust(width) if name.startswith(">") else cell.ljust(width)
            for cell, width, name in zip(line, widths, names, strict=True)
        ]
        console.print(Text(" ".join(cells), style="" if record else "bold"), no_wrap=True)
        if record:
            whose = (record.user or "no user", record.vo.name or "no VO", _remarks(record))
            below = Text("  " + " · ".join(filter(None, whose)), style="dim")
            console.print(below, no_wrap=not record.held, overflow="ellipsis")


def _figures(record: Record) -> tuple[str, ...]:
    return (
        str(record.month),
        record.status.value,
        f"{record.wall_seconds:,}",
        "unknown" if record.cpu_seconds is None else f"{record.cpu_seconds:,}",
        "unknown" if record.cpu_count is None else f"{record.cpu_count:g}",
        "unknown" if record.memory_mb is None else f"{record.memory_mb:,}",
    )


def _remarks(record: Record) -> str:
    held = f"HELD: {record.held.value} {record.problem}".strip() if record.held else ""
    return "; ".join(part for part in (held, *record.flags) if part)


def show(
    ctx: typer.Context,
    uid: PodArgument,
    month: MonthOption = None,
    as_json: Json = False,
) -> None:
    """Show everything about one notebook, and the messages that took its records."""
    settings = program_of(ctx).settings()
    from accounting.lookup.messages import Messages
    from accounting.records.accelerators import text
    from accounting.records.formats.export import row_of
    from accounting.store.records import Records, Selection
    from accounting.wiring.months import open_from

    with opened(settings) as database:
        uid = Records(database).whole_uid(uid)
        found = list(Records(database).find(Selection(month=month, uid=uid)))
        taken = Messages(database).taken_by(uid)
        chosen = Selection(uid=uid, differing=True, open_from=open_from(settings, time.time()))
        late = {record.month for record in Records(database).find(chosen)}
    if not found:
        raise AccountingError(
            f"there is no record of '{uid}' in {month}",
            "leave --month out to see all of its months",
        )
    messages = {record.month: _messages(record.month, taken) for record in found}
    if as_json:
        write_json([{**row_of(record), "messages": messages[record.month]} for record in found])
        return
    for record in found:
        shown = {**row_of(record), "accelerators": list(map(text, record.accelerators))}
        rows = [
            (name.replace("_", " "), _worded(name, value))
            for name, value in shown.items()
            if value not in (None, "", [])
        ]
        table(f"{uid} in {record.month}", ("", ""), rows)
        _show_messages(record.month, messages[record.month])
        if record.month in late:
            notice(f"the record of {record.month} differs from what was sent: see 'republish'")


def _worded(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if name.endswith("_at") and isinstance(value, int | float):
        return shown_time(value)
    if isinstance(value, int | float):
        return f"{value:,.0f}" if name.endswith("_seconds") else f"{value:,}"
    return str(value)


def _messages(month: Month, taken: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages that took a month's record, the earliest first."""
    names = ("empaid", "destination", "state", "broker_id", "sent_at")
    return [
        {name: message[name] for name in names}
        for message in taken
        if (message["year"], message["month"]) == (month.year, month.month)
    ]


def _show_messages(month: Month, messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        notice(f"no message has taken the record of {month} yet")
        return
    table(
        f"Messages that took the record of {month}",
        ("message (EMPAID)", "to", "state", "AMS message id", "delivered at"),
        (
            (
                message["empaid"],
                message["destination"],
                message["state"],
                message["broker_id"],
                shown_time(message["sent_at"]),
            )
            for message in messages
        ),
    )


class By(StrEnum):
    """What is added up together."""

    VO = "vo"
    USER = "user"
    SUMMARY = "summary"


def summary(
    ctx: typer.Context,
    month: MonthOption = None,
    by: Annotated[
        By,
        typer.Option(help="Add up per VO, per user, or by all that the repository's summaries do."),
    ] = By.VO,
    destination: DestinationOption = "",
    as_json: Json = False,
) -> None:
    """Show monthly totals: measured, going out, and delivered.

    What was used within a month is the difference of cumulative values with the month before.
    'delivered' is what the EGI Accounting Portal shows now, 'goes out' what it shows when all is
    delivered. 'measured' includes the records that are held back.
    """
    settings = program_of(ctx).settings()
    from accounting.delivery.receiver import Receiver
    from accounting.store.records import Records, Selection
    from accounting.wiring.months import open_from
    from accounting.wiring.receivers import receiver_of

    with opened(settings) as database:
        holdings = receiver_of(settings, database, destination)
        if not isinstance(holdings, Receiver):
            raise AccountingError(
                f"'{destination or 'apel'}' does not take records of single notebooks",
                "name a destination that does with --destination",
            )
        months = [month] if month else holdings.months()
        lines = [line for of in months for line in holdings.summary(of, by.value)]
        chosen = Selection(month=month, differing=True, open_from=open_from(settings, time.time()))
        late = Records(database).count(chosen)
        held = Records(database).count(Selection(month=month, held=True))
    if as_json:
        write_json([_summed(line) for line in lines])
    else:
        _show_sums(lines, by)
    if held:
        notice(
            f"{counted(held, 'record')} held back, and counted under 'measured' only: see"
            " 'records list --held'"
        )
    if late:
        notice(
            f"{counted(late, 'correction')} waiting: closed months differ from what was sent: see"
            " 'republish'"
        )


def _summed(line: "Line") -> dict[str, Any]:
    return {
        "month": str(line.month),
        **({"vo": line.group["VO"]} if "VO" in line.group else {}),
        "group": dict(line.group),
        **asdict(line.due),
        "measured": asdict(line.measured),
        "goes_out": asdict(line.due),
        "delivered": asdict(line.delivered),
    }


_STATES = {"measured": "measured", "goes out": "due", "delivered": "delivered"}
"""What sums say, and the attribute of a line that has it."""


def _told_apart(lines: "Sequence[Line]") -> tuple[list[str], list[str]]:
    """The states of which some line has figures of its own; and those that say the same."""
    alike = [
        state
        for state, name in _STATES.items()
        if state != "measured" and all(getattr(line, name) == line.measured for line in lines)
    ]
    return [state for state in _STATES if state not in alike], alike


def _show_sums(lines: "Sequence[Line]", by: By) -> None:
    names = ["VO", "user"] if by is By.USER else list(lines[0].group if lines else ["VO"])
    states, alike = _told_apart(lines)
    summed = [f">{what}" for what in _SUMMED]
    stacked = {
        month: [row for line in lines if line.month == month for row in _stacked(line, states)]
        for month in dict.fromkeys(line.month for line in lines)
    }
    is_stacked = lines and not is_wide(readers_console())
    if is_stacked and all(fits([*names, *summed], rows) for rows in stacked.values()):
        for month, rows in stacked.items():
            table(f"Used within {month}", [*names, *summed], rows)
    else:
        columns = ["month", *names, *(f"{what} {state}" for what in summed for state in states)]
        table("Used within the month", columns, (_on_one_line(line, states) for line in lines))
    if lines and alike:
        notice(f"{' and '.join(map(repr, alike))}: the same as 'measured'")


_SUMMED = ("pods", "wall h", "CPU h")


def _on_one_line(line: "Line", states: "Sequence[str]") -> tuple[str, ...]:
    shown = [_shown(getattr(line, _STATES[state])) for state in states]
    figures = (cell for cells in zip(*shown, strict=True) for cell in cells)
    return (str(line.month), *line.group.values(), *figures)


def _stacked(line: "Line", states: "Sequence[str]") -> "Iterator[tuple[str, ...]]":
    """What was measured, and below it a row for each state that has figures of its own."""
    yield (*line.group.values(), *_shown(line.measured))
    for state in states:
        told = getattr(line, _STATES[state])
        if told != line.measured:
            yield (f"  {state}", *[""] * (len(line.group) - 1), *_shown(told))


def _shown(sums: "Usage") -> tuple[str, ...]:
    hours = (f"{seconds / 3600:,.2f}" for seconds in (sums.wall_seconds, sums.cpu_seconds))
    return (f"{sums.pods:,}", *hours)
