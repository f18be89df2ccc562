"""The ``db`` commands."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from accounting.cli.options import Json, Limit
from accounting.cli.output import bar, notice, shown_time, table, write_json
from accounting.cli.program import opened, program_of
from accounting.errors import AccountingError

_TOTALS = "0021"
"""The last migration that changed the totals: records of before are added up after it."""


def upgrade(ctx: typer.Context) -> None:
    """Upgrade the database's tables to this version, or create them."""
    settings = program_of(ctx).settings()
    from accounting.store import totals as kept
    from accounting.store.engine.database import Database

    with Database(settings.database_url) as database:
        before = database.revision()
        database.upgrade()
        if before is not None and before < _TOTALS:
            kept.rebuild(database)
        typer.echo(f"{database.name} is of version {database.revision()}")


def totals(
    ctx: typer.Context,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Add everything up anew.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the kept totals of months and days with the records: they must agree.

    If a database was changed by hand, --rebuild brings them back in line.
    """
    settings = program_of(ctx).settings()
    from accounting.store import totals as kept

    with opened(settings) as database:
        if rebuild:
            kept.rebuild(database)
        found = [str(month) for month in kept.months_that_differ(database)]
    if as_json:
        write_json({"differing": found})
    if found:
        raise AccountingError(
            f"the totals of {', '.join(found)} are not what the records come to",
            "run 'notebooks-accounting db totals --rebuild'",
        )
    if not as_json:
        typer.echo("all totals are what the records come to")


def copy(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="The other database, such as postgresql://accounting@db.example.org/accounting;"
            " its password belongs into PGPASSWORD.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Copy the whole ledger, with its history, into another, empty database.

    The service should not run meanwhile. Afterwards set ACCOUNTING_DATABASE_URL to the new one.
    """
    settings = program_of(ctx).settings()
    from accounting.store.engine.copy import copy as copy_all
    from accounting.store.engine.database import Database

    with opened(settings) as source, Database(url) as target:
        if target.url.password is not None:
            raise typer.BadParameter("a password among arguments can be seen: set PGPASSWORD")
        with bar("copying") as advance:

            def watch(name: str, done: int, total: int) -> None:
                advance(done, total, f"copying {name.replace('_', ' ')}")

            copied = copy_all(source, target, watch)
    if as_json:
        write_json(copied)
        return
    counted = ((name.replace("_", " "), f"{count:,}") for name, count in copied.items())
    table("Copied", ("table", ">rows"), counted)
    notice(f"{target.name} has it all: set ACCOUNTING_DATABASE_URL to it")


def mend_times(ctx: typer.Context, as_json: Json = False) -> None:
    """Repair times in the future, written while the clock was ahead.

    Polls go back to the last window that is past, and messages that waited for such a time go out
    with the next push. Notebooks with such times keep their usage and end now; their records are
    built again. The clock itself must be right.
    """
    settings = program_of(ctx).settings()
    from accounting.store.engine.clock import mend
    from accounting.store.mending import mend_notebooks

    now = time.time()
    with opened(settings) as database, database.exclusive("poll"), database.exclusive("push"):
        mended = mend(database, now)
        mend_notebooks(database, settings.site(), settings.vo_rules(), now)
    if as_json:
        write_json(mended)
        return
    table("Brought back to now", ("", ">"), ((name, f"{n:,}") for name, n in mended.items()))
    notice("run 'notebooks-accounting poll' now" if mended else "no time is in the future")


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show how far usage was read, and what waits for delivery."""
    settings = program_of(ctx).settings()
    from accounting.delivery.outbox import Outbox
    from accounting.lookup.messages import Messages
    from accounting.store.ledger import Ledger
    from accounting.store.records import Records
    from accounting.wiring.months import open_from

    with opened(settings) as database:
        register, outbox = Records(database), Outbox(database)
        progress, messages = Ledger(database).progress(), Messages(database)
        status: dict[str, Any] = {
            "database": database.name,
            "version": database.revision(),
            "read_until": progress and progress.watermark,
            "records": register.count(),
            "due": outbox.due_count(open_from(settings, time.time())),
            "held": {reason.value: count for reason, count in register.held().items()},
            "messages": {state.value: count for state, count in outbox.counts().items()},
            "oldest_pending_at": messages.oldest_pending_at(),
            "last_sent_at": messages.last_sent_at(),
        }
    if as_json:
        write_json(status)
        return
    times = ("read_until", "oldest_pending_at", "last_sent_at")
    table(
        "The ledger",
        ("", ""),
        (
            (key.replace("_", " "), _worded(value, time=key in times))
            for key, value in status.items()
        ),
    )


def _worded(value: Any, *, time: bool) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count:,} {name}" for name, count in value.items() if count) or "none"
    if time:
        return shown_time(value) or "never"
    return str(value)


def windows(ctx: typer.Context, limit: Limit = 100, as_json: Json = False) -> None:
    """List the windows that were read, the latest first."""
    settings = program_of(ctx).settings()
    from accounting.store.ledger import Ledger

    with opened(settings) as database:
        found = Ledger(database).windows(limit)
    if as_json:
        write_json(found)
        return
    columns = ("from", "to", "source", ">pods", ">set aside", "read at")
    table(
        "Windows",
        columns,
        (
            (
                shown_time(window["start"]),
                shown_time(window["end"]),
                "spoke" if window["spoke"] else "no sample",
                f"{window['pods']:,}",
                f"{window['rejected']:,}",
                shown_time(window["polled_at"]),
            )
            for window in found
        ),
    )


def gaps(ctx: typer.Context, as_json: Json = False) -> None:
    """List when the source was silent."""
    settings = program_of(ctx).settings()
    from accounting.store.ledger import Ledger

    with opened(settings) as database:
        found = Ledger(database).gaps()
    if as_json:
        write_json([{"start_at": gap.start_at, "end_at": gap.end_at} for gap in found])
        return
    table(
        "Gaps",
        ("from", "to", ">minutes"),
        (
            (
                shown_time(gap.start_at),
                shown_time(gap.end_at) or "still silent",
                "" if gap.end_at is None else f"{(gap.end_at - gap.start_at) / 60:,.1f}",
            )
            for gap in found
        ),
    )


def erase_user(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="The user's name, exactly as records have it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Replace a user's name by 'erased' everywhere; totals stay, nothing is sent again."""
    settings = program_of(ctx).settings()
    from accounting.service.jobs import Jobs

    if not user:
        raise typer.BadParameter("an empty name is nobody's")
    with opened(settings) as database:
        if not yes:
            typer.confirm("The name cannot be brought back. Replace it?", abort=True, err=True)
        outcome = Jobs(settings, database, logs_failures=False).erase(user)
    if outcome.error is not None or outcome.result is None:
        raise outcome.error or typer.Exit(outcome.exit_code)
    count = outcome.result["replaced"]
    typer.echo(f"replaced in {count:,} notebooks")
    if not count:
        raise AccountingError(
            "no notebook is of a user with this name", "give it exactly as 'records list' shows it"
        )
