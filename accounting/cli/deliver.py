"""``push``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import Json
from accounting.cli.output import complain, notice, shown_time, table, write_json
from accounting.cli.program import DONE, INCOMPLETE, opened, program_of
from accounting.errors import SettingsError

if TYPE_CHECKING:
    from accounting import deliver


def push(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Through a running service (of a later version)."),
    ] = None,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for the next try after a failure.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put due records into signed messages, and deliver what waits, in order."""
    if url is not None:
        raise SettingsError(
            "--url is for a later version, whose API can push",
            "run 'notebooks-accounting push' where the database is",
        )
    settings = program_of(ctx).settings()
    settings.site()
    from accounting.register import Register
    from accounting.schedule import pusher_of

    with opened(settings) as database:
        pusher = pusher_of(settings, database, at_once=now)
        report = pusher.push()
        held = {reason.value: count for reason, count in Register(database).held().items()}
    if as_json:
        write_json(_push_data(report, pusher.destination, held))
    else:
        rows = [(name.replace("_", " "), count) for name, count in _counts(report).items()]
        table(f"Pushed to {pusher.destination}", ("", ">"), rows)
    for reason, count in held.items():
        notice(f"{count:,} records are held back: {reason}; see 'records list --held'")
    if report.left_out:
        notice(f"{report.left_out:,} records have text that this destination cannot carry")
    for warning in report.warnings:
        notice(warning)
    if report.parked:
        notice(f"{report.parked:,} messages are parked: see 'outbox list --state parked'")
    if report.elsewhere:
        notice(
            f"{report.elsewhere:,} messages wait for another destination than the one in the"
            " settings: see 'outbox status', and 'outbox readdress'"
        )
    if report.next_try_at is not None:
        notice(f"the next try is at {shown_time(report.next_try_at)}, or 'push --now'")
    if report.error is not None:
        complain(str(report.error))
        raise typer.Exit(report.error.exit_code)
    raise typer.Exit(DONE if report.is_complete and not held else INCOMPLETE)


def _counts(report: "deliver.Report") -> dict[str, int]:
    return {
        "built": report.built,
        "records": report.records,
        "left_out": report.left_out,
        "sent": report.sent,
        "split": report.split,
        "pending": report.pending,
        "parked": report.parked,
        "elsewhere": report.elsewhere,
    }


def _push_data(
    report: "deliver.Report", destination: str, held: Mapping[str, int]
) -> dict[str, Any]:
    error = report.error and {"error": report.error.message, "cure": report.error.cure}
    return {
        "destination": destination,
        **_counts(report),
        "next_try_at": report.next_try_at,
        "warnings": list(report.warnings),
        "held": held,
        "error": error,
    }
