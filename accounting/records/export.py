"""Records as other programs read them: APEL text, CSV, JSON, Parquet; written as they come.

Each writer takes records and yields pieces of the file, so that neither side is held in memory.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from functools import lru_cache
from importlib import import_module
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from accounting.errors import AccountingError
from accounting.model.accelerators import Accelerator
from accounting.model.records import Record
from accounting.records import accelerators, apel

_AT_ONCE = 500
_ROW_GROUP = 20_000


class Format(StrEnum):
    """How records are written."""

    APEL = "apel"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_PATHS = {
    "status": "status.value",
    "held": "held.value",
    "vo": "vo.name",
    "fqan": "vo.fqan",
    "vo_rule": "vo.rule",
    "vo_source": "vo.source",
}
COLUMNS = (
    "uid",
    "month",
    "site",
    "compute_service",
    "cloud_type",
    "machine",
    "user",
    "group",
    "status",
    "created_at",
    "start_at",
    "end_at",
    "wall_seconds",
    "cpu_seconds",
    "used_wall_seconds",
    "used_cpu_seconds",
    "core_seconds",
    "memory_mb_seconds",
    "gpu_seconds",
    "cpu_count",
    "received_gb",
    "sent_gb",
    "memory_mb",
    "disk_gb",
    "image",
    "flavor",
    "gpu_count",
    "gpu_resource",
    "benchmark_type",
    "benchmark",
    "flags",
    "held",
    "problem",
    "digest",
    "vo",
    "fqan",
    "vo_rule",
    "vo_source",
    "accelerators",
)
"""The names of a row, in the order of the columns of CSV and Parquet."""

_values = attrgetter(*(_PATHS.get(name, name) for name in COLUMNS))
_MONTH, _FLAGS, _ACCELERATORS = map(COLUMNS.index, ("month", "flags", "accelerators"))
_month_text = lru_cache(maxsize=64)(str)


def row_of(record: Record) -> dict[str, Any]:
    """A record as one level of names and values; times are Unix seconds."""
    return dict(zip(COLUMNS, _row(record), strict=True))


def _row(record: Record) -> list[Any]:
    row = list(_values(record))
    row[_MONTH] = _month_text(record.month)
    row[_FLAGS] = list(record.flags)
    row[_ACCELERATORS] = [asdict(accelerator) for accelerator in record.accelerators]
    return row


_WHOLE = frozenset(
    {
        "created_at",
        "start_at",
        "end_at",
        "wall_seconds",
        "cpu_seconds",
        "used_wall_seconds",
        "used_cpu_seconds",
        "received_gb",
        "sent_gb",
        "memory_mb",
        "disk_gb",
        "held_seconds",
        "active_seconds",
    }
)
_PARTS = tuple(field.name for field in fields(Accelerator))
"""Of one accelerator of a record."""
_BROKEN = frozenset(
    {
        "count",
        "share",
        "joules",
        "cpu_count",
        "gpu_count",
        "benchmark",
        "core_seconds",
        "memory_mb_seconds",
        "gpu_seconds",
    }
)


def _apel(found: Iterable[Record]) -> Iterator[bytes]:
    """Those that go out, as one message; a record that is held back has no such text."""
    yield apel.message(()).encode()
    for chunk in _chunks(found, _AT_ONCE):
        yield "".join(apel.text(record) for record in chunk if not record.held).encode()


def _csv(found: Iterable[Record]) -> Iterator[bytes]:
    yield csv_line(COLUMNS)
    for chunk in _chunks(found, _AT_ONCE):
        yield _lines([_cells(record) for record in chunk])


def _cells(record: Record) -> list[Any]:
    cells = list(_values(record))
    cells[_MONTH] = _month_text(record.month)
    cells[_FLAGS] = "; ".join(record.flags)
    cells[_ACCELERATORS] = "; ".join(map(accelerators.text, record.accelerators))
    return cells


def csv_line(values: Iterable[object]) -> bytes:
    """A line of CSV (RFC 4180, with line feeds only)."""
    return _lines([list(values)])


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_BEGINS = tuple(f"{before}{sign}" for before in ',"\n' for sign in _FORMULA)


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    """Lines of CSV; looks at single values only where one of them could be a formula."""
    written = _written(rows)
    if written.startswith(_FORMULA) or any(begin in written for begin in _FORMULA_BEGINS):
        written = _written([list(map(_harmless, row)) for row in rows])
    return written.encode()


def _written(rows: Iterable[Sequence[object]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula is led by an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _json(found: Iterable[Record]) -> Iterator[bytes]:
    """One array, with a record per line."""
    before = b"[\n"
    for chunk in _chunks(found, _AT_ONCE):
        yield before + b",\n".join(msgspec.json.encode(row_of(record)) for record in chunk)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _parquet(found: Iterable[Record]) -> Iterator[bytes]:
    arrow, parquet = parquet_libraries()
    parts = arrow.struct([(name, _kind(arrow, name)) for name in _PARTS])
    kinds = {"flags": arrow.list_(arrow.string()), "accelerators": arrow.list_(parts)}
    schema = arrow.schema([(name, kinds.get(name) or _kind(arrow, name)) for name in COLUMNS])
    pieces = _Pieces()
    with parquet.ParquetWriter(pieces, schema, compression="zstd") as writer:
        for chunk in _chunks(found, _ROW_GROUP):
            columns = zip(*map(_row, chunk), strict=True)
            arrays = [
                arrow.array(values, field.type)
                for values, field in zip(columns, schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            yield pieces.taken()
    yield pieces.taken()


def parquet_libraries() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        AccountingError: they are not installed.
    """
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as exc:
        raise AccountingError(
            "the format parquet needs pyarrow, which is not installed",
            "install notebooks-accounting[parquet], or choose the format csv",
        ) from exc


def _kind(arrow: Any, name: str) -> Any:
    if name in _WHOLE:
        return arrow.int64()
    return arrow.float64() if name in _BROKEN else arrow.string()


class _Pieces:
    """A file that is only written to; what was written is taken away piece by piece."""

    closed = False

    def __init__(self) -> None:
        self._written = bytearray()
        self._position = 0

    def write(self, data: bytes) -> int:
        """Take over some bytes."""
        self._written += data
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._position

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is held."""

    def taken(self) -> bytes:
        """What was written since the last time."""
        piece = bytes(self._written)
        self._written.clear()
        return piece


def _chunks(found: Iterable[Record], size: int) -> Iterator[Sequence[Record]]:
    remaining = iter(found)
    while chunk := list(islice(remaining, size)):
        yield chunk


WRITERS: Mapping[Format, Callable[[Iterable[Record]], Iterator[bytes]]] = {
    Format.APEL: _apel,
    Format.CSV: _csv,
    Format.JSON: _json,
    Format.PARQUET: _parquet,
}
