"""``/summaries``: what was used within months, added up: measured, going out, delivered."""

from operator import attrgetter
from typing import Annotated, Any

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from accounting.api.answers import refusals, tag_of, tagged, unchanged
from accounting.api.dependencies import Parts, Reader
from accounting.api.formats import MEDIA_TYPES, TableQuery, chosen
from accounting.api.models import SummaryModel
from accounting.api.parameters import (
    ContainsQuery,
    FlavorQuery,
    ImageQuery,
    MonthQuery,
    UserQuery,
    VoQuery,
)
from accounting.api.strictness import endpoints, refuse_useless
from accounting.api.tables import DESCRIBED
from accounting.guard.problem import Problem
from accounting.lookup.sums import summaries
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import FIGURES, PART_FIGURES, Usage
from accounting.model.energy import Emission
from accounting.model.time import Month
from accounting.records.formats.export import Format
from accounting.records.formats.tabular import csv_line

router = endpoints("summaries", "/summaries")

_BAD = 400
_PARTS = ("goes_out", "delivered")
_sums_of = attrgetter(*FIGURES)
_CSV = {"Content-Disposition": 'attachment; filename="summary.csv"'}


@router.get(
    "",
    response_model=SummaryModel,
    responses={
        **DESCRIBED,
        304: {"description": "Nothing has changed since the answer with this entity tag."},
        **refusals(406),
    },
)
async def summarise(
    *,
    request: Request,
    service: Parts,
    viewer: Reader,
    by: Annotated[
        list[By],
        Query(description="What the rows stand for; may be given several times."),
    ] = [By.MONTH, By.VO],  # noqa: B006 - FastAPI copies it
    month: MonthQuery = None,
    first_month: MonthQuery = None,
    last_month: MonthQuery = None,
    user: UserQuery = "",
    vo: VoQuery = "",
    flavor: FlavorQuery = "",
    image: ImageQuery = "",
    contains: ContainsQuery,
    kind: TableQuery = None,
) -> Response:
    """What you may see of what was used.

    The sums are of what was measured. `goes_out` is what of it is not held back, and `delivered`
    what the accounting repository was given so far.
    """
    by = list(dict.fromkeys(by))
    if month:
        refuse_useless(request, ("first_month", "last_month"), "beside month")
    wanted = chosen(request, Format(kind) if kind else None, (Format.JSON, Format.CSV))

    def answer() -> Response:
        question = _question(
            service,
            by,
            month=month,
            first=first_month,
            last=last_month,
            user=user,
            vo=vo,
            flavor=flavor,
            image=image,
            contains=contains,
        )
        months = question.months if question else []
        version = service.summaries.version(months)
        delivered = service.summaries.deliveries()
        tag = tag_of(
            version, delivered, viewer.name, viewer.role, sorted(viewer.vos), by, question, wanted
        )
        if (known := unchanged(request, tag)) is not None:
            return known

        def body() -> bytes:
            rows = service.summaries.summary(viewer, question) if question else []
            emission = Emission(service.settings.energy.grams_per_kwh)
            return (_csv if wanted is Format.CSV else _json)(by, months, rows, emission)

        headers = {**tagged(tag), **(_CSV if wanted is Format.CSV else {})}
        return Response(service.bodies.get((viewer, tag), body), 200, headers, MEDIA_TYPES[wanted])

    return await service.turns.run(answer)


def _json(by: list[By], months: list[Month], rows: list[Usage], emission: Emission) -> bytes:
    ends = (str(months[0]), str(months[-1])) if months else (None, None)
    return msgspec.json.encode(
        {
            "by": [one.value for one in by],
            "first_month": ends[0],
            "last_month": ends[1],
            "rows": [
                {
                    **row.key,
                    **dict(zip(FIGURES, _sums_of(row), strict=True)),
                    "co2_grams": emission.of(row.joules, row.energy_quality),
                    "goes_out": row.goes_out,
                    "delivered": row.delivered,
                }
                for row in rows
            ],
        }
    )


def _question(
    service: Parts,
    by: list[By],
    *,
    month: Month | None,
    first: Month | None,
    last: Month | None,
    **whose: Any,
) -> Question | None:
    """The question with all its months; None if there are no records at all."""
    known = summaries.known_months(service.database)
    if known is None:
        return None
    first, last = month or first or known[0], month or last or known[1]
    question = Question(tuple(by), max(first, known[0]), min(last, known[1]), **whose)
    if first > last:
        raise Problem(_BAD, "first_month is after last_month", "exchange them")
    if By.DAY in by and len(question.months) > summaries.MOST_MONTHS_BY_DAY:
        most = summaries.MOST_MONTHS_BY_DAY
        raise Problem(_BAD, f"these are more than {most} months", "ask for fewer days at a time")
    return question


def _csv(by: list[By], _months: list[Month], rows: list[Usage], emission: Emission) -> bytes:
    names = [one.value for one in by]
    parts = [f"{part}_{name}" for part in _PARTS for name in PART_FIGURES]
    lines = [csv_line([*names, *FIGURES, "co2_grams", *parts])]
    for row in rows:
        told = [getattr(getattr(row, part), name, "") for part in _PARTS for name in PART_FIGURES]
        grams = emission.of(row.joules, row.energy_quality)
        named = (row.key[name] for name in names)
        lines.append(csv_line([*named, *_sums_of(row), grams, *told]))
    return b"".join(lines)
