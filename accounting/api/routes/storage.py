"""``/storage``: what home volumes hold, in a month."""

from dataclasses import fields
from operator import attrgetter
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Parts, Reader
from accounting.api.formats import MEDIA_TYPES, TableQuery, chosen
from accounting.api.models import StorageModel
from accounting.api.parameters import MonthQuery, UserQuery, VoQuery
from accounting.lookup.volumes import StorageBy, Stored, measured_months, stored
from accounting.model.time import Month
from accounting.records.formats.export import Format
from accounting.records.formats.tabular import csv_line

router = APIRouter(prefix="/storage", tags=["storage"])

_FIGURES = tuple(field.name for field in fields(Stored) if field.name != "key")
_figures_of = attrgetter(*_FIGURES)


@router.get(
    "",
    response_model=StorageModel,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **refusals(406),
    },
)
async def list_storage(
    *,
    request: Request,
    service: Parts,
    viewer: Reader,
    by: Annotated[
        list[StorageBy],
        Query(description="What the rows stand for; may be given several times."),
    ] = [StorageBy.VO],  # noqa: B006 - FastAPI copies it
    month: MonthQuery = None,
    user: UserQuery = "",
    vo: VoQuery = "",
    kind: TableQuery = None,
) -> Response:
    """What you may see of what home volumes hold, in a month: by default the latest.

    `used_bytes` and `allocated_bytes` are of the last day that was read of the month, and of that
    day by day. How the used bytes are known is counted in volumes times days.
    """
    by = list(dict.fromkeys(by))
    wanted = chosen(request, Format(kind) if kind else None, (Format.JSON, Format.CSV))

    def answer() -> Response:
        which = month or next(iter(measured_months(service.database)), None)
        found = stored(service.database, viewer, by, which, user=user, vo=vo) if which else []
        return _csv(by, found) if wanted is Format.CSV else _json(by, which, found)

    return await service.turns.run(answer)


def _json(by: list[StorageBy], month: Month | None, rows: list[Stored]) -> Response:
    return as_json(
        {
            "by": [one.value for one in by],
            "month": str(month) if month else None,
            "rows": [
                {**row.key, **dict(zip(_FIGURES, _figures_of(row), strict=True))} for row in rows
            ],
        }
    )


def _csv(by: list[StorageBy], rows: list[Stored]) -> Response:
    lines = [csv_line([*(one.value for one in by), *_FIGURES])]
    lines += [csv_line([*row.key.values(), *_figures_of(row)]) for row in rows]
    headers = {"Content-Disposition": 'attachment; filename="storage.csv"'}
    return Response(b"".join(lines), 200, headers, MEDIA_TYPES[Format.CSV])
