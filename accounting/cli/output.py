"""What commands write: JSON, tables for people, notices and errors."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import typer

from accounting.model.jobs import Ending

if TYPE_CHECKING:
    from rich.console import Console

    from accounting.service.outcome import Outcome


def write_json(value: object) -> None:
    """Data, for other programs."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def open_console(*, err: bool = False) -> "Console":
    """Where people read; colours only on a terminal."""
    from rich.console import Console

    return Console(stderr=err, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; a name that starts with ``>`` stands for a column of numbers."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        show_header=any(name not in {"", ">"} for name in columns),
    )
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = open_console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


@contextmanager
def bar(what: str) -> "Iterator[Callable[[float, float, str], None]]":
    """A progress bar on the error output, where somebody looks.

    Yields:
        What moves it: how much is done, of how much, and what to say beside it.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = open_console(err=True)
    quiet = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=quiet) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: float, total: float, said: str) -> None:
            progress.update(task, completed=done, total=total, description=said)

        yield advance


def shown_time(seconds: float | None) -> str:
    """A moment as people read it, UTC; nothing if there is none."""
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


def counted(count: int, what: str) -> str:
    """``1 record is``, ``2 records are``."""
    return f"{count:,} {what} is" if count == 1 else f"{count:,} {what}s are"


def notice(said: str) -> None:
    """What needs a look, beside the data."""
    typer.echo(f"notice: {said}", err=True)


def complain(said: str) -> None:
    """An error, in one line."""
    typer.echo(f"error: {' '.join(said.split())}", err=True)


def finish(
    outcome: "Outcome",
    show: Callable[[Mapping[str, Any]], None],
    point_further: Callable[[Mapping[str, Any]], None],
    *,
    as_json: bool,
) -> NoReturn:
    """Show how a job ended, and end with its exit code.

    Args:
        outcome: how it ended.
        show: writes its result for people.
        point_further: writes notices of what needs a look.
        as_json: write the result as data instead.
    """
    if outcome.result is not None:
        if as_json:
            write_json(outcome.result)
        else:
            show(outcome.result)
        point_further(outcome.result)
    if outcome.ending is Ending.STOPPED:
        notice("stopped, as the program was told to end; the next one goes on from there")
    if outcome.error is not None:
        complain(str(outcome.error))
    raise typer.Exit(outcome.exit_code)
