"""Reconciliation in the demo: the month as a stand-in of the accounting portal shows it."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from accounting.delivery.reconciler import Policy, Reconciler
from accounting.demo.stage import SITE, Stage
from accounting.errors import AccountingError
from accounting.model.messages import OutletKind
from accounting.model.reconciliation import Cause, Reconciliation
from accounting.model.time import Month
from accounting.records.formats import portal as data
from accounting.simulation.judges.portal import Portal
from accounting.simulation.judges.repository import Repository

_HOUR = 3600
_DAY_SECONDS = 86400
"""A month that is younger has nearly nothing to lose."""
_LATER_SECONDS = 10 * 86400.0
"""The portal is read that much later: nothing is on its way any more."""


def show(
    scene: Stage, until: int, repository: Repository, bodies: list[str], console: Console
) -> None:
    """Compare the last month with the portal; and again, had the repository refused a message.

    Args:
        scene: where everything is.
        until: how far the ledger has come, Unix seconds.
        repository: what it holds.
        bodies: the messages that it was told.
        console: where to show it.

    Raises:
        AccountingError: a difference where there is none, or none where a message is missing.
    """
    month = Month.of(until - _DAY_SECONDS)
    at = until + _LATER_SECONDS
    lost = max(bodies, key=lambda body: told(body, month))
    refused = Repository()
    refused.load_all(body for body in bodies if body is not lost)
    # First, so that the pages show the other: the last that was compared.
    lacking = _compared(scene, month, at - 1, refused)
    made = _compared(scene, month, at, repository)
    console.print(_table(made, f"{month} at the accounting portal, wall hours"))
    console.print(f"  {len(made.lines)} VOs compared, {len(made.differing)} differ")
    if made.differing or {line.cause for line in lacking.differing} != {Cause.REFUSED}:
        raise AccountingError(
            "the comparison with the portal does not find what is missing, and only that",
            "this is a defect: please report it with the demo's folder",
        )
    console.print(_table(lacking, "The same, had the repository refused a message"))


def told(body: str, month: Month) -> float:
    """What the portal would show of a message alone: a month's wall time, in its unit."""
    repository = Repository()
    repository.load(body)
    answer = data.read(Portal(repository).json(), lambda row: row.month == month)
    return sum(row.wall for row in answer.rows)


def _compared(scene: Stage, month: Month, at: float, repository: Repository) -> Reconciliation:
    reconciler = Reconciler(
        scene.database, scene.sender.name, OutletKind.RECORDS, SITE.name, Policy()
    )
    answer = data.read(Portal(repository).json(), reconciler.wanted(month))
    return reconciler.reconcile(month, answer, "the portal's stand-in", at, at)


def _table(made: Reconciliation, title: str) -> Table:
    shown = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("VO", overflow="fold")
    for name in ("shown", "delivered"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("likely cause", overflow="fold")
    for line in made.lines:
        numbers = ", ".join(map(str, line.messages))
        cause = f"{line.cause}: message {numbers}" if numbers else str(line.cause)
        hours = (one.wall_seconds / _HOUR for one in (line.shown, line.delivered))
        shown.add_row(line.vo, *(f"{one:,.2f}" for one in hours), cause or "-")
    return shown
