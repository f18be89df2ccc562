"""Records as other programs read them: APEL text, CSV, JSON, Parquet; written as they come.

Each writer takes records and yields pieces of the file, so that neither side is held in memory.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from importlib import import_module
from itertools import islice
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


def row_of(record: Record) -> dict[str, Any]:
    """A record as one level of names and values; times are Unix seconds."""
    return {
        "uid": record.uid,
        "month": str(record.month),
        "site": record.site,
        "compute_service": record.compute_service,
        "cloud_type": record.cloud_type,
        "machine": record.machine,
        "user": record.user,
        "group": record.group,
        "status": record.status.value,
        "created_at": record.created_at,
        "start_at": record.start_at,
        "end_at": record.end_at,
        "wall_seconds": record.wall_seconds,
        "cpu_seconds": record.cpu_seconds,
        "used_wall_seconds": record.used_wall_seconds,
        "used_cpu_seconds": record.used_cpu_seconds,
        "core_seconds": record.core_seconds,
        "memory_mb_seconds": record.memory_mb_seconds,
        "gpu_seconds": record.gpu_seconds,
        "cpu_count": record.cpu_count,
        "received_gb": record.received_gb,
        "sent_gb": record.sent_gb,
        "memory_mb": record.memory_mb,
        "disk_gb": record.disk_gb,
        "image": record.image,
        "flavor": record.flavor,
        "gpu_count": record.gpu_count,
        "gpu_resource": record.gpu_resource,
        "benchmark_type": record.benchmark_type,
        "benchmark": record.benchmark,
        "flags": list(record.flags),
        "held": record.held.value,
        "problem": record.problem,
        "digest": record.digest,
        "vo": record.vo.name,
        "fqan": record.vo.fqan,
        "vo_rule": record.vo.rule,
        "vo_source": record.vo.source,
        "accelerators": [asdict(accelerator) for accelerator in record.accelerators],
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
        rows = (
            {
                **row_of(record),
                "flags": "; ".join(record.flags),
                "accelerators": "; ".join(map(accelerators.text, record.accelerators)),
            }
            for record in chunk
        )
        yield b"".join(csv_line(row.values()) for row in rows)


def csv_line(values: Iterable[object]) -> bytes:
    """A line of CSV (RFC 4180, with line feeds only)."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(map(_harmless, values))
    return line.getvalue().encode()


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula is led by an apostrophe."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
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
            rows = [row_of(record) for record in chunk]
            writer.write_table(arrow.Table.from_pylist(rows, schema))
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
