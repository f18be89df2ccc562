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
    from rich.table import Table

    from accounting.service.outcome import Outcome


_WIDE = 200
_LINE_FROM = 150
"""Terminals of that width show a record on one line; narrower ones on two."""
_SHORT = 8


def write_json(value: object) -> None:
    """Data, for other programs."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def open_console(*, err: bool = False) -> "Console":
    """Where people read; colours only on a terminal."""
    from rich.console import Console

    return Console(stderr=err, highlight=False)


def readers_console() -> "Console":
    """Where people read results; wide where no terminal says how wide it is."""
    console = open_console()
    if not console.is_terminal:
        console.width = _WIDE
    return console


def is_wide(console: "Console") -> bool:
    """Whether a record has room on one line."""
    return console.width >= _LINE_FROM


def shown_uid(uid: str) -> str:
    """A pod's uid where it has room, else its first signs: commands accept these, too."""
    return uid if is_wide(readers_console()) else uid[:_SHORT]


def fits(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Whether a table of these has room, without a number or time that is cut."""
    return _least_width(columns, list(rows)) <= readers_console().width


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; a name that starts with ``>`` stands for a column of numbers.

    Where the terminal is too narrow for it, each row is a paragraph with a line per column instead:
    no number and no time is cut.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    console = readers_console()
    if not cells:
        console.print(f"{title}: none", markup=False)
        return
    named = any(name not in {"", ">"} for name in columns)
    if named:
        columns, cells = _without_empty(columns, cells)
    if named and _least_width(columns, cells) > console.width:
        _paragraphs(console, title, columns, cells)
    else:
        # As a title of the table, it would be folded to the table's width.
        _print_title(console, title)
        widths = _widths(columns, cells, console.width) if named else [None] * len(columns)
        console.print(_table(columns, cells, widths, named=named))


def _print_title(console: "Console", title: str) -> None:
    console.print(title, style="bold", markup=False)


def _without_empty(
    columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], list[list[str]]]:
    """The columns that have a value in some row."""
    kept = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths: Sequence[int | None],
    *,
    named: bool,
) -> "Table":
    from rich.box import SIMPLE, SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = Table(
        show_header=named,
        box=SIMPLE_HEAD if named else SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for name, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        shown.add_column(name.removeprefix(">"), justify=justify, overflow="fold", width=width)
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def _paragraphs(
    console: "Console", title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    from rich.markup import escape
    from rich.table import Table

    _print_title(console, title)
    for row in rows:
        paragraph = Table.grid(padding=(0, 2))
        paragraph.add_column()
        paragraph.add_column(overflow="fold")
        for name, cell in zip(columns, row, strict=True):
            if cell:
                paragraph.add_row(name.removeprefix(">"), escape(cell))
        console.print(paragraph)
        console.print()


_LONGEST = 24
"""Longer words may be folded; texts go on in a next line between words, numbers never."""


def _least(name: str, cells: Sequence[str]) -> int:
    """The width below which a word or number of a column would be cut."""
    words = (word for cell in (name.removeprefix(">"), *cells) for word in cell.split())
    widest = _widest(words)
    return widest if name.startswith(">") else min(widest, _LONGEST)


def _widest(cells: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, cells), default=0)


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = (_least(name, [row[place] for row in rows]) for place, name in enumerate(columns))
    return sum(widths) + _around(columns)


def _around(columns: Sequence[str]) -> int:
    """The space around the columns."""
    return 2 * len(columns) + 2


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """The columns' widths; where these are too many, those that can give most are narrower.

    rich would narrow the widest column first, even below its longest word, and cut the last one.
    """
    by_column = [[row[place] for row in rows] for place in range(len(columns))]
    named = list(zip(columns, by_column, strict=True))
    widths = [_widest((name.removeprefix(">"), *cells)) for name, cells in named]
    spare = [width - _least(*one) for width, one in zip(widths, named, strict=True)]
    for place in sorted(range(len(columns)), key=lambda place: -spare[place]):
        excess = sum(widths) + _around(columns) - room
        widths[place] -= min(max(0, excess), spare[place])
    return widths


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


def clock_notice(count: int) -> str:
    """What is said of records that are dated in the future."""
    said = f"{counted(count, 'record')} dated in the future: a clock ran ahead"
    return f"{said}; if the clock is right now, run 'db mend-times'"


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
