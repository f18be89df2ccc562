"""``demo``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

from pathlib import Path
from typing import Annotated

import typer

from accounting.cli.output import open_console
from accounting.cli.program import program_of


def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option(help="Where everything is written; emptied if it is of a demo.")
    ] = Path("demo"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Leave it running, with the service and its pages.")
    ] = False,
) -> None:
    """Show the way of the numbers, from end to end, on a simulated cluster."""
    from accounting.demo.run import run
    from accounting.telemetry.logs import configure_logs

    configure_logs("debug" if program_of(ctx).verbose else "warning", as_json=False)
    raise typer.Exit(run(folder, stay=serve, console=open_console()))
