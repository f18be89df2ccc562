"""Which format an answer takes: ``?format=`` decides, else the ``Accept`` header, else JSON."""

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

from fastapi import Query, Request

from accounting.guard.problem import Problem
from accounting.records.export import Format

_NOT_ACCEPTABLE = 406
MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.APEL: "text/plain; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_ACCEPTED = {
    "application/json": Format.JSON,
    "application/*": Format.JSON,
    "*/*": Format.JSON,
    "text/html": Format.JSON,  # a browser that looks at the API
    "text/csv": Format.CSV,
    "text/plain": Format.APEL,
    "application/vnd.apache.parquet": Format.PARQUET,
}


class TableFormat(StrEnum):
    """Formats of a table that is no list of records."""

    CSV = "csv"
    JSON = "json"


FormatQuery = Annotated[
    Format | None,
    Query(
        alias="format",
        description="json is one page; apel, csv and parquet are all that is selected, as a file.",
    ),
]
TableQuery = Annotated[TableFormat | None, Query(alias="format", description="json or csv.")]


def chosen(
    request: Request, asked: Format | None, possible: Collection[Format] = tuple(Format)
) -> Format:
    """The format that the one who asks wants most.

    Raises:
        Problem: none of those they accept is possible.
    """
    if asked is not None:
        return asked
    accepts = request.headers.get("accept") or "*/*"
    wanted = sorted(map(_weighted, accepts.split(",")), key=lambda part: -part[0])
    for weight, kind in wanted:
        found = _ACCEPTED.get(kind)
        if weight > 0 and found is not None and found in possible:
            return found
    raise Problem(
        _NOT_ACCEPTABLE,
        "none of the formats in the Accept header can be written",
        f"accept one of {', '.join(MEDIA_TYPES[kind] for kind in possible)}, or give ?format=",
    )


def _weighted(part: str) -> tuple[float, str]:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:]), kind
            except ValueError:
                return 0.0, kind
    return 1.0, kind
