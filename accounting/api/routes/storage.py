"""``/storage``: what home volumes hold, in a month."""

from dataclasses import fields
from operator import attrgetter
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Parts, Reader
from accounting.api.formats import TableQuery
from accounting.api.models import StorageModel
from accounting.api.parameters import MonthQuery, UserQuery, VoQuery
from accounting.api.strictness import endpoints
from accounting.api.tables import DESCRIBED, csv_file, is_csv, lines_of
from accounting.lookup.volumes import StorageBy, Stored, measured_months, stored

router = endpoints("storage", "/storage")

_FIGURES = tuple(field.name for field in fields(Stored) if field.name != "key")
_figures_of = attrgetter(*_FIGURES)


@router.get("", response_model=StorageModel, responses={**DESCRIBED, **refusals(406)})
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
    as_file = is_csv(request, kind)

    def answer() -> Response:
        which = month or next(iter(measured_months(service.database)), None)
        found = stored(service.database, viewer, by, which, user=user, vo=vo) if which else []
        rows = [_shown(row) for row in found]
        if as_file:
            return csv_file(lines_of([*by, *_FIGURES], rows), "storage")
        named = [one.value for one in by]
        return as_json({"by": named, "month": str(which) if which else None, "rows": rows})

    return await service.turns.run(answer)


def _shown(row: Stored) -> dict[str, Any]:
    return {**row.key, **dict(zip(_FIGURES, _figures_of(row), strict=True))}
