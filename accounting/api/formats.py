"""Which format an answer takes: ``?format=`` decides, else the ``Accept`` header, else JSON."""

from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import mimeparse
from fastapi import Query, Request

from accounting.guard.problem import Problem
from accounting.records.formats.export import Format

_NOT_ACCEPTABLE = 406
MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.APEL: "text/plain; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_ACCEPTED = {
    "text/html": Format.JSON,  # a browser that looks at the API
    **{kind.partition(";")[0]: found for found, kind in reversed(MEDIA_TYPES.items())},
}
"""What can be accepted, the most preferred last."""


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
    """The format that the client prefers.

    Raises:
        Problem: none of those they accept is possible.
    """
    if asked is not None:
        return asked
    accepts = (request.headers.get("accept") or "*/*").lower()
    kinds = [kind for kind, found in _ACCEPTED.items() if found in possible]
    with suppress(mimeparse.MimeTypeParseException):
        if best := mimeparse.best_match(kinds, accepts):
            return _ACCEPTED[best]
    offered = (MEDIA_TYPES[kind].partition(";")[0] for kind in possible)
    raise Problem(
        _NOT_ACCEPTABLE,
        "none of the formats in the Accept header can be written",
        f"accept one of {', '.join(offered)}, or give ?format=",
    )
