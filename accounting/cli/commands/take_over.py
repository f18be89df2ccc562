"""``import``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from accounting.cli.options import DestinationOption, Json
from accounting.cli.output import bar, counted, finish, notice, table
from accounting.cli.program import opened, program_of, stopped_by_signal


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"'{name}' is no time zone; for example Europe/Prague") from None


def egi_notebooks_accounting(
    ctx: typer.Context,
    *,
    db: Annotated[Path, typer.Option("--db", metavar="FILE", help="That tool's SQLite file.")],
    destination: DestinationOption = "",
    timezone: Annotated[
        ZoneInfo,
        typer.Option(
            metavar="NAME", parser=_zone, help="The zone that the tool ran in: its times name none."
        ),
    ] = "UTC",  # type: ignore[assignment] # parsed as given
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be taken over.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take over the history of egi-notebooks-accounting as already sent.

    Its notebooks become part of the ledger. What it sent counts as delivered to the destination and
    is not sent again; figures of notebooks that still run go on from there. Running it again takes
    nothing twice. Stop that tool first: see docs/migrate-accounting.md.
    """
    settings = program_of(ctx).settings()
    from accounting.service.jobs import Jobs

    with opened(settings) as database:
        jobs = Jobs(settings, database, logs_failures=False)
        with bar("reading the history") as advance, stopped_by_signal(jobs):
            outcome = jobs.take_over(
                db,
                lambda seen: advance(seen["done"], seen["rows"], "reading the history"),
                destination=destination,
                zone=timezone,
                dry_run=dry_run,
            )
    finish(outcome, _show, _point_further, as_json=as_json)


def _show(taken: Mapping[str, Any]) -> None:
    rows = [
        ("rows in the file", f"{taken['rows']:,}"),
        ("new notebooks", f"{taken['notebooks']:,}"),
        ("… that had not ended", f"{taken['running']:,}"),
        ("records that count as delivered", f"{taken['sent']:,}"),
        ("… their wall hours", f"{taken['wall_seconds'] / 3600:,.1f}"),
        ("known before", f"{taken['known']:,}"),
    ]
    table(f"Taken over as sent to {taken['destination']}", ("", ">"), rows)
    if taken["months"]:
        months = [(month, f"{count:,}") for month, count in sorted(taken["months"].items())]
        table("Records by month", ("month", ">records"), months)


def _point_further(taken: Mapping[str, Any]) -> None:
    for reason, count in taken["unusable"].items():
        notice(f"{counted(count, 'row')} left out: {reason}")
    if count := taken["not_sent"]:
        notice(f"{count:,} notebooks have no CPU count: that tool did not send them")
    if taken["dry_run"]:
        notice("nothing was taken over: leave --dry-run out for that")
