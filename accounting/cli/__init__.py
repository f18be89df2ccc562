"""The command line.

Heavy modules are imported inside the commands that need them, so that ``--help`` and a mistyped
option answer at once.
"""

import io
import sys

from accounting.cli.commands import (
    acknowledge,
    database,
    demo,
    doctor,
    export,
    outbox,
    poll,
    push,
    reconcile,
    records,
    republish,
    service,
    take_over,
)
from accounting.cli.program import app, group

__all__ = ["app", "main"]

app.command()(doctor.doctor)
app.command()(poll.poll)
app.command()(push.push)
app.command()(republish.republish)
app.command()(reconcile.reconcile)
app.command()(service.serve)
app.command()(demo.demo)

_records = group("records", "Inspect records.")
_records.command("list")(records.list_records)
_records.command("show")(records.show)
_records.command("acknowledge")(acknowledge.acknowledge)
_records.command("export")(export.export)
_records.command("summary")(records.summary)

_outbox = group("outbox", "Inspect messages, and repair what blocks them.")
_outbox.command("status")(outbox.status)
_outbox.command("list")(outbox.list_messages)
_outbox.command("show")(outbox.show)
_outbox.command("retry")(outbox.retry)
_outbox.command("park")(outbox.park)
_outbox.command("withdraw")(outbox.withdraw)
_outbox.command("resume")(outbox.resume)
_outbox.command("readdress")(outbox.readdress)

_import = group("import", "Take over the history of an earlier tool.")
_import.command("egi-notebooks-accounting")(take_over.egi_notebooks_accounting)

_db = group("db", "Inspect the ledger, and maintain its database.")
_db.command("upgrade")(database.upgrade)
_db.command("copy")(database.copy)
_db.command("mend-times")(database.mend_times)
_db.command("totals")(database.totals)
_db.command("status")(database.status)
_db.command("windows")(database.windows)
_db.command("gaps")(database.gaps)
_db.command("erase-user")(database.erase_user)


def main() -> None:
    """Run the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # user names are of any script
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="notebooks-accounting")
