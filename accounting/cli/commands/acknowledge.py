"""``records acknowledge``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import getpass
import time
from typing import Annotated

import typer

from accounting.cli.options import Json, MonthOption, PodArgument, ServiceUrl, TokenFile
from accounting.cli.output import write_json
from accounting.cli.program import opened, program_of
from accounting.cli.remote import service_of
from accounting.errors import AccountingError


def acknowledge(
    ctx: typer.Context,
    uid: PodArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why it may stay held; needed without --undo.")] = "",
    month: MonthOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the acknowledgement back.")] = False,
    url: ServiceUrl = None,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Accept that a notebook's records stay held: there are no more warnings about them.

    The acknowledgement ends by itself when a record is held for another reason.
    """
    if undo == bool(reason.strip()):
        raise typer.BadParameter("give either --reason TEXT or --undo")
    settings = program_of(ctx).settings()
    if service := service_of(settings, url, token_file):
        asked = {"reason": reason.strip()} if reason else {}
        if month:
            asked["month"] = str(month)
        count = service.acknowledge(uid, asked)
    else:
        from accounting.store.holds import Holds
        from accounting.store.records import Records, Selection

        with opened(settings) as database:
            uid = Records(database).whole_uid(uid)
            holds, now = Holds(database), time.time()
            chosen = Selection(uid=uid, month=month)
            if undo:
                count = holds.reopen(chosen, now)
            else:
                count = holds.acknowledge(chosen, getpass.getuser(), reason.strip(), now)
    if not count:
        raise AccountingError(
            f"no record of '{uid}' is held", "see 'notebooks-accounting records list --held'"
        )
    if as_json:
        write_json({"records": count})
        return
    what = "record is" if count == 1 else "records are"
    typer.echo(f"{count:,} {what} {'open again' if undo else 'acknowledged'}")
