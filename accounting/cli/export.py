"""``records export``."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from accounting.cli.options import MonthOption
from accounting.cli.program import program_of
from accounting.cli.records import as_row, found_records
from accounting.errors import AccountingError
from accounting.model import Record


class Format(StrEnum):
    """How records are exported."""

    APEL = "apel"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def export(
    ctx: typer.Context,
    kind: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.APEL,
    month: MonthOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")
    ] = None,
) -> None:
    """Write records to a file: as APEL text those that go out, else all."""
    from accounting.register import Selection

    if kind is Format.PARQUET and output is None:
        raise typer.BadParameter("--format parquet needs --output")
    settings = program_of(ctx).settings()
    only = False if kind is Format.APEL else None
    found = found_records(settings, Selection(month=month, held=only))
    if kind is Format.PARQUET and output is not None:
        write_parquet(found, output)
        return
    writers = {Format.APEL: _write_apel, Format.CSV: _write_csv, Format.JSON: _write_lines}
    if output is None:
        writers[kind](found, sys.stdout)
        return
    with _replacing(output) as path, path.open("w", encoding="utf-8", newline="") as file:
        writers[kind](found, file)


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


def _write_apel(found: Iterable[Record], file: IO[str]) -> None:
    from accounting import apel

    file.write(apel.message(()))
    for record in found:
        file.write(apel.text(record))


def _write_csv(found: Iterable[Record], file: IO[str]) -> None:
    writer: Any = None
    for record in found:
        row = {**as_row(record), "flags": "; ".join(record.flags)}
        if writer is None:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)


def _write_lines(found: Iterable[Record], file: IO[str]) -> None:
    """One JSON array, with a record per line."""
    before = "[\n"
    for record in found:
        file.write(before + json.dumps(as_row(record), ensure_ascii=False))
        before = ",\n"
    file.write("\n]\n" if before != "[\n" else "[]\n")


def write_parquet(found: Iterable[Record], output: Path) -> None:
    """Write records into a Parquet file, whole or not at all.

    Raises:
        AccountingError: pyarrow is not installed.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as exc:
        raise AccountingError(
            "--format parquet needs pyarrow, which is not installed",
            "install 'notebooks-accounting[parquet]' with pip, or choose --format csv",
        ) from exc
    rows = [as_row(record) for record in found]
    with _replacing(output) as path:
        parquet.write_table(arrow.Table.from_pylist(rows), path)
