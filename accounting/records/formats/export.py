"""Records as other programs read them: APEL text, CSV, JSON, Parquet; written as they come.

Each writer takes records and yields pieces of the file, so that neither side is held in memory.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from accounting.model.records import Record
from accounting.records.formats import apel, tabular
from accounting.records.formats.tabular import COLUMNS, Portion, Row

_AT_ONCE = 500


class Format(StrEnum):
    """How records are written."""

    APEL = "apel"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_PATHS = {
    "vo": "vo.name",
    "fqan": "vo.fqan",
    "vo_rule": "vo.rule",
    "vo_source": "vo.source",
}
_values = attrgetter(*(_PATHS.get(name, name) for name in COLUMNS))
_MONTH, _FLAGS, _ACCELERATORS = map(COLUMNS.index, ("month", "flags", "accelerators"))
month_text = lru_cache(maxsize=64)(str)
"""A ``Month`` as text: most of a list's records share a few."""


def row_of(record: Record) -> dict[str, Any]:
    """A record as one level of names and values; times are Unix seconds."""
    return dict(zip(COLUMNS, _row(record), strict=True))


def _row(record: Record) -> list[Any]:
    row = list(_values(record))
    row[_MONTH] = month_text(record.month)
    row[_FLAGS] = list(record.flags)
    row[_ACCELERATORS] = [asdict(accelerator) for accelerator in record.accelerators]
    return row


def _kept(found: Iterable[Record]) -> Portion:
    """Records as rows of ``tabular``."""
    rows: list[Row] = []
    for record in found:
        row = list(_values(record))
        row[_MONTH] = month_text(record.month)
        row[_FLAGS] = json.dumps(record.flags) if record.flags else ""
        held = record.accelerators
        row[_ACCELERATORS] = msgspec.json.encode(held).decode() if held else ""
        rows.append(tuple(row))
    return Portion.of(rows)


def _apel(found: Iterable[Record]) -> Iterator[bytes]:
    """Those that go out, as one message; a record that is held back has no such text."""
    yield apel.message(()).encode()
    for chunk in _chunks(found, _AT_ONCE):
        yield "".join(apel.text(record) for record in chunk if not record.held).encode()


def _json(found: Iterable[Record]) -> Iterator[bytes]:
    """One array, with a record per line."""
    before = b"[\n"
    for chunk in _chunks(found, _AT_ONCE):
        yield before + b",\n".join(msgspec.json.encode(row_of(record)) for record in chunk)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _chunks(found: Iterable[Record], size: int) -> Iterator[Sequence[Record]]:
    remaining = iter(found)
    while chunk := list(islice(remaining, size)):
        yield chunk


WRITERS: Mapping[Format, Callable[[Iterable[Record]], Iterator[bytes]]] = {
    Format.APEL: _apel,
    Format.CSV: lambda found: tabular.csv_of(map(_kept, _chunks(found, _AT_ONCE))),
    Format.JSON: _json,
    Format.PARQUET: lambda found: tabular.parquet_of(map(_kept, _chunks(found, _AT_ONCE))),
}
TABLES: Mapping[Format, Callable[[Iterable[Portion]], Iterator[bytes]]] = {
    Format.CSV: tabular.csv_of,
    Format.PARQUET: tabular.parquet_of,
}
"""Those that are written from what the ledger keeps, which is several times quicker."""
