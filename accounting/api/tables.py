"""Tables as CSV files, for the API and the pages: a row as the API shows it, on one line."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fastapi import Request
from starlette.responses import Response

from accounting.api.dependencies import Service
from accounting.api.formats import MEDIA_TYPES, TableFormat, chosen
from accounting.records.formats.export import Format
from accounting.records.formats.tabular import csv_line
from accounting.store.engine.access import Viewer

_LINES_AT_ONCE = 500

DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}
}
"""What a list answers that is a file, too; for OpenAPI."""


def is_csv(request: Request, asked: TableFormat | None) -> bool:
    """Whether the client prefers CSV to JSON.

    Raises:
        Problem: they accept neither.
    """
    wanted = Format(asked) if asked else None
    return chosen(request, wanted, (Format.JSON, Format.CSV)) is Format.CSV


def lines_of(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Rows as lines of CSV, after a line of names.

    Args:
        names: of the columns: ``failure_kind`` is the member ``kind`` of the member ``failure``,
            and ``error`` the member ``error`` of the member ``error``.
        rows: as the API shows them.
    """
    yield csv_line(names)
    for row in rows:
        flat = _flat(row)
        yield csv_line([_cell(flat.get(name)) for name in names])


def csv_file(lines: Iterable[bytes], name: str) -> Response:
    """A CSV file of that name, without its ending."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(b"".join(lines), 200, headers, MEDIA_TYPES[Format.CSV])


def long_csv_file(service: Service, viewer: Viewer, lines: Iterable[bytes], name: str) -> Response:
    """The same, written while its lines are made: for what may be as long as the ledger.

    Raises:
        Problem: too many files are under way.
    """
    pieces = _pieces(iter(lines))
    return service.exports.begin(viewer, pieces, MEDIA_TYPES[Format.CSV], f"{name}.csv")


def _pieces(lines: Iterator[bytes]) -> Iterator[bytes]:
    while piece := b"".join(islice(lines, _LINES_AT_ONCE)):
        yield piece


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        inner = value if isinstance(value, Mapping) else {name: value}
        found |= {
            member if member == name else f"{name}_{member}": one for member, one in inner.items()
        }
    return found


def _cell(value: Any) -> Any:
    """A value as its JSON has it; several in one cell."""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
