"""Records as tables: CSV and Parquet, from rows as the ledger keeps them.

A row has the values of ``COLUMNS`` in their order, without becoming a record: the month as text,
such as 2026-11; flags and accelerators as JSON, or empty text where there are none. Most records
come as lines of CSV that the database wrote: to make millions of Python's values and to write them
takes three times as long.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import Any

import msgspec

from accounting.errors import AccountingError
from accounting.model.accelerators import Accelerator
from accounting.records import accelerators

Row = Sequence[Any]
_ROW_GROUP = 20_000

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
    "joules",
    "energy_quality",
)
"""The names of a row, in the order of the columns of CSV and Parquet."""
_FLAGS, _ACCELERATORS = map(COLUMNS.index, ("flags", "accelerators"))

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
_NOT_SHARED = frozenset({"uid", "digest", "flags", "accelerators"})
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
_NUMBERS = _WHOLE | _BROKEN
_decode_flags = msgspec.json.Decoder(list[str]).decode
_decode_accelerators = msgspec.json.Decoder(list[Accelerator]).decode


FLOATS = _BROKEN
"""The columns of numbers with a fraction."""
_QUOTED = ('"', "\r")


@dataclass(frozen=True, slots=True)
class Portion:
    """Some records of a table, in their order.

    Attributes:
        text: lines of CSV without quotes; empty: see the others.
        lines: the same one by one; None: the record is the next of ``rows``.
        rows: the records whose lines need quotes, or that come as rows.
    """

    text: str = ""
    lines: Sequence[str | None] = ()
    rows: Sequence[Row] = ()

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Portion":
        """Rows alone."""
        return cls("", [None] * len(rows), rows)


def is_plain(text: str, count: int) -> bool:
    """Whether a text that was made of so many records is CSV of which no value needs quotes."""
    # A value with a comma or a line feed is one too many of both: to count them in turn takes twice
    # as long.
    has_no_more = text.replace("\n", ",").count(",") == len(COLUMNS) * count
    return has_no_more and not any(sign in text for sign in _QUOTED)


def csv_of(found: Iterable[Portion]) -> Iterator[bytes]:
    """CSV (RFC 4180, with line feeds only), with a line of names; a piece for each portion."""
    yield csv_line(COLUMNS)
    for portion in found:
        written = portion.text or "".join(_all_lines(portion))
        if _may_be_formula(written):
            written = _written(map(_harmless_cells, _all_cells(portion)))
        yield written.encode()


def _all_lines(portion: Portion) -> Iterator[str]:
    rest = map(_cells, portion.rows)
    for line in portion.lines:
        yield _written([next(rest)]) if line is None else f"{line}\n"


def _all_cells(portion: Portion) -> Iterator[Row]:
    rest = map(_cells, portion.rows)
    for line in portion.lines or portion.text.split("\n")[:-1]:
        yield next(rest) if line is None else line.split(",")


def _harmless_cells(row: Row) -> Row:
    return [
        value if name in _NUMBERS else _harmless(value)
        for name, value in zip(COLUMNS, row, strict=True)
    ]


def _cells(row: Row) -> Row:
    if not (row[_FLAGS] or row[_ACCELERATORS]):
        return row
    cells = list(row)
    cells[_FLAGS] = "; ".join(_flags(row[_FLAGS]))
    held = _decode_accelerators(row[_ACCELERATORS] or "[]")
    cells[_ACCELERATORS] = "; ".join(map(accelerators.text, held))
    return cells


def _flags(kept: str) -> list[str]:
    return _decode_flags(kept) if kept else []


def csv_line(values: Iterable[object]) -> bytes:
    """A line of CSV."""
    return _lines([list(values)])


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _lines(rows: Sequence[Row]) -> bytes:
    """Lines of CSV; looks at single values only where one of them could be a formula."""
    written = _written(rows)
    if _may_be_formula(written):
        written = _written([list(map(_harmless, row)) for row in rows])
    return written.encode()


def _may_be_formula(written: str) -> bool:
    # A single sign is found much faster than a pair, and most of them are in no record.
    begun = written.replace("\n", ",").replace('"', ",")
    signs = (sign for sign in _FORMULA if sign in begun)
    return written.startswith(_FORMULA) or any(f",{sign}" in begun for sign in signs)


def _written(rows: Iterable[Row]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()


def _harmless(value: object) -> object:
    """Text that a spreadsheet would take for a formula is led by an apostrophe."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def parquet_of(found: Iterable[Portion]) -> Iterator[bytes]:
    """Parquet; each portion becomes columns at once, which take less memory than rows."""
    arrow, parquet = parquet_libraries()
    schema = _schema(arrow)
    pieces = _Pieces()
    # A dictionary helps text that many records share; of numbers and keys it is as long as they.
    shared = [name for name in COLUMNS if name not in _WHOLE | _BROKEN | _NOT_SHARED]
    options = {"compression": "zstd", "use_dictionary": shared}
    with parquet.ParquetWriter(pieces, schema, **options) as writer:
        for group in _groups(_tables(arrow, schema, found)):
            writer.write_table(arrow.concat_tables(group))
            yield pieces.taken()
    yield pieces.taken()


def _schema(arrow: Any) -> Any:
    parts = arrow.struct([(name, _kind(arrow, name)) for name in _PARTS])
    kinds = {"flags": arrow.list_(arrow.string()), "accelerators": arrow.list_(parts)}
    return arrow.schema([(name, kinds.get(name) or _kind(arrow, name)) for name in COLUMNS])


def _tables(arrow: Any, schema: Any, found: Iterable[Portion]) -> Iterator[Any]:
    for portion in found:
        lines = [line for line in portion.lines if line is not None]
        text = portion.text or "".join(f"{line}\n" for line in lines)
        parts = [_of_text(arrow, schema, text)] if text else []
        if portion.rows:
            parts.append(_of_rows(arrow, schema, portion.rows))
        if len(parts) > 1:  # each record to its place
            places = {False: iter(range(len(lines))), True: itertools.count(len(lines))}
            order = [next(places[line is None]) for line in portion.lines]
            parts = [arrow.concat_tables(parts).take(order)]
        yield from parts


def _of_text(arrow: Any, schema: Any, text: str) -> Any:
    """Records from CSV without quotes; none of them has flags or accelerators."""
    reader = import_module("pyarrow.csv")
    kinds = {field.name: field.type for field in schema}
    lists = [name for name in COLUMNS if name in ("flags", "accelerators")]
    table = reader.read_csv(
        arrow.py_buffer(text.encode()),
        # Threads of its own take a fifth more processor time, and others wait for it meanwhile.
        reader.ReadOptions(column_names=COLUMNS, use_threads=False),
        reader.ParseOptions(quote_char=False),
        reader.ConvertOptions(
            column_types=kinds | dict.fromkeys(lists, arrow.null()),
            null_values=[""],
            strings_can_be_null=False,
            check_utf8=False,  # Python has just encoded it
        ),
    )
    starts = arrow.repeat(arrow.scalar(0, arrow.int32()), table.num_rows + 1)
    for name in lists:
        kind = kinds[name]
        nothing = arrow.ListArray.from_arrays(starts, arrow.array([], kind.value_type), kind)
        table = table.set_column(COLUMNS.index(name), schema.field(name), nothing)
    return table


def _of_rows(arrow: Any, schema: Any, rows: Sequence[Row]) -> Any:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    columns[_FLAGS] = [_flags(kept) for kept in columns[_FLAGS]]
    columns[_ACCELERATORS] = [
        [asdict(one) for one in _decode_accelerators(kept)] if kept else []
        for kept in columns[_ACCELERATORS]
    ]
    arrays = [
        arrow.array(values, field.type) for values, field in zip(columns, schema, strict=True)
    ]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _groups(tables: Iterable[Any]) -> Iterator[list[Any]]:
    """Tables that are written together."""
    group: list[Any] = []
    for table in tables:
        group.append(table)
        if sum(one.num_rows for one in group) >= _ROW_GROUP:
            yield group
            group = []
    if group:
        yield group


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
