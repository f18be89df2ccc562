"""``push``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accounting.cli.options import Json
from accounting.cli.output import complain, notice, table, write_json
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
    from accounting import deliver
    from accounting.outbox import Outbox
    from accounting.register import Register
    from accounting.schedule import sender_of

    sender = sender_of(settings)
    with opened(settings) as database:
        most = settings.ssm.records_per_message
        report = deliver.push(Outbox(database), sender, most, time.time)
        held = {reason.value: count for reason, count in Register(database).held().items()}
    if as_json:
        write_json(_push_data(report, sender.name, held))
    else:
        rows = [(name.replace("_", " "), count) for name, count in _counts(report).items()]
        table(f"Pushed to {sender.name}", ("", ">"), rows)
    for reason, count in held.items():
        notice(f"{count:,} records are held back: {reason}; see 'records list --held'")
    if report.left_out:
        notice(f"{report.left_out:,} records have text that this destination cannot carry")
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
        "pending": report.pending,
    }


def _push_data(
    report: "deliver.Report", destination: str, held: Mapping[str, int]
) -> dict[str, Any]:
    error = report.error and {"error": report.error.message, "cure": report.error.cure}
    return {"destination": destination, **_counts(report), "held": held, "error": error}
