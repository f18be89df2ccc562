"""``records export``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from accounting.cli.commands.records import found_records
from accounting.cli.options import MonthOption
from accounting.cli.program import program_of
from accounting.errors import AccountingError
from accounting.records.formats.export import Format


def export(
    ctx: typer.Context,
    kind: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.APEL,
    month: MonthOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")
    ] = None,
) -> None:
    """Write records to a file: APEL text has the records that go out, other formats all."""
    from accounting.records.formats.export import WRITERS
    from accounting.records.formats.tabular import parquet_libraries
    from accounting.store.records import Selection

    if kind is Format.PARQUET:
        if output is None:
            raise typer.BadParameter("--format parquet needs --output")
        parquet_libraries()
    settings = program_of(ctx).settings()
    only = False if kind is Format.APEL else None
    pieces = WRITERS[kind](found_records(settings, Selection(month=month, held=only)))
    if output is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    with _replacing(output) as path, path.open("wb") as file:
        file.writelines(pieces)


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A file beside ``output`` that takes its place when all of it is written."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        yield partial
        partial.replace(output)
    except OSError as exc:
        raise AccountingError(
            f"{output} cannot be written: {exc.strerror}", "name another file with --output"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
