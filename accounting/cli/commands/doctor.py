"""``doctor``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from accounting.cli.options import Json
from accounting.cli.output import open_console, write_json
from accounting.cli.program import program_of
from accounting.service.outcome import DONE, FAILED, INCOMPLETE

if TYPE_CHECKING:
    from accounting.doctor import Finding

_SIGNS = {
    "ok": "[green]ok     [/]",
    "warning": "[yellow]warning[/]",
    "failed": "[red]failed [/]",
}


def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check all preconditions of polls and pushes; name the cure for each that fails.

    Looks at the settings, at Prometheus and what it has scraped, at the database, and at the host
    certificate and where records are delivered. Changes nothing. Exits with 1 if a check fails.
    Exits with 3 if the only failure is that times in the future must be repaired: that blocks
    nothing.
    """
    from accounting.doctor import CLOCK, State, examine, worst

    findings = []
    for finding in examine(program_of(ctx).settings()):
        findings.append(finding)
        if not as_json:
            _show_finding(finding)
    if as_json:
        write_json([asdict(finding) for finding in findings])
    if worst(findings) is not State.FAILED:
        raise typer.Exit(DONE)
    rest = [finding for finding in findings if finding.name != CLOCK]
    raise typer.Exit(FAILED if worst(rest) is State.FAILED else INCOMPLETE)


def _show_finding(finding: "Finding") -> None:
    from rich.markup import escape

    console = open_console()
    sign = _SIGNS[finding.state.value]
    console.print(f"{sign} {escape(finding.name)}: {escape(finding.what)}", soft_wrap=True)
    if finding.cure:
        console.print(f"        → {escape(finding.cure)}", soft_wrap=True)
