"""``/records``: search, with sums; the address holds the whole question."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader, Service
from accounting.api.routes.records import selected
from accounting.lookup import records
from accounting.lookup.entries import Delivery
from accounting.lookup.records import Page, Question, Sort
from accounting.lookup.sums import summaries
from accounting.lookup.sums.question import Question as Sums
from accounting.model.records import Status
from accounting.model.time import Month
from accounting.store.engine.access import Viewer
from accounting.web.fields import Fields, months_back
from accounting.web.filters import TITLES, Filters, filters_of, offered
from accounting.web.span import Span, span_of
from accounting.web.templating import templates
from accounting.web.views.totals import total
from accounting.wiring.months import open_from

router = APIRouter(include_in_schema=False)

_AT_ONCE = 50
_SORTS = {
    "-month": "latest first",
    "month": "earliest first",
    "-wall": "longest first",
    "-cpu": "most CPU time first",
    "-end": "last ended first",
    "user": "by user",
    "vo": "by VO",
}
_DELIVERIES = {state: state.value for state in Delivery}
_NO_SUMS: Mapping[str, object] = {"most": None, "count": 0, "used": None, "usage": None}
_TIMES = ("range", "since", "until", "first", "last")
_NAMES = ("month", *_TIMES, *(by.value for by in TITLES), "pod", "status", "delivery", "sort")


@router.get("/records")
def search(request: Request, service: Parts, viewer: Reader) -> Response:
    """A page of records, and what all that fit come to."""
    fields = Fields(request.query_params)
    known = summaries.known_months(service.database)
    span = _span(fields, service)
    everything = span or (Span.of_months(*known) if known else None)
    filters = (
        filters_of(fields, service.database, viewer, everything) if everything else Filters({}, ())
    )
    sort = fields.choice("sort", list(_SORTS), "-month")
    question = replace(
        _question(fields, service, filters, span),
        sort=Sort(sort.removeprefix("-")),
        descending=sort.startswith("-"),
        cursor=request.query_params.get("cursor", ""),
    )
    # Without the field that is wrong, the list would show more than was meant.
    page = Page([], "") if fields.wrong else records.page(service.database, viewer, question)
    asked = _asked(request, *_NAMES)
    context = {
        "fields": fields,
        "asked": asked,
        "span": span,
        "filters": filters.asked,
        "things": TITLES,
        "offered": offered(service.summaries, viewer, everything.last) if everything else {},
        "sort": sort,
        "sorts": _SORTS,
        "deliveries": _DELIVERIES,
        "statuses": list(Status),
        "months": months_back(known),
        "page": page,
        "is_first": not question.cursor,
        "first": urlencode(asked),
        "here": address_of(request),
        "next": urlencode({**asked, "cursor": page.next}) if page.next else "",
        "held": urlencode({**asked, "delivery": Delivery.HELD.value}),
        "files": _files(asked, filters, span),
        "sums": _sums(service, viewer, question, filters, span) if page.entries else None,
    }
    return templates.TemplateResponse(request, "records.html", context)


def address_of(request: Request) -> str:
    """The question of a list that is asked or was left, as its address has it: the way back."""
    return urlencode(_asked(request, *_NAMES, "cursor"))


def _asked(request: Request, *names: str) -> dict[str, str]:
    return {name: value for name in names if (value := request.query_params.get(name, ""))}


def _span(fields: Fields, service: Service) -> Span | None:
    """The time that is asked for; None: all."""
    month = fields.month("month")
    if month is not None:
        return Span.of_months(month, month)
    if "month" in fields.wrong or not any(fields.text(name) for name in _TIMES):
        return None
    return span_of(fields, service.clock(), Month.of(service.clock()))


def _question(fields: Fields, service: Service, filters: Filters, span: Span | None) -> Question:
    delivery = fields.choice("delivery", [one.value for one in Delivery])
    selection = selected(
        pod=fields.text("pod"),
        **_when(span),
        **filters.named(),
        contains=tuple((by.value, text) for by, text in filters.contains),
        status=fields.choice("status", [one.value for one in Status]),
    )
    return Question(
        replace(selection, limit=_AT_ONCE),
        Delivery(delivery) if delivery else None,
        open_from(service.settings, service.clock()),
    )


def _when(span: Span | None) -> dict[str, Any]:
    """A time as selections and the API have it."""
    if span is None:
        return {}
    if span.is_month:
        return {"month": span.first}
    return dict(zip(("since", "until"), span.bounds, strict=True))


def _sums(
    service: Service,
    viewer: Viewer,
    question: Question,
    filters: Filters,
    span: Span | None,
) -> Mapping[str, object] | None:
    """What all records that fit come to: as ``/usage`` has it, where it can be asked there.

    None where it would take long and tell little: of all times, nearly all records are delivered.
    """
    chosen = question.selection
    is_narrow = span or filters.asked or chosen.status or chosen.uid or chosen.machine
    if not is_narrow and question.delivery in {None, Delivery.SENT}:
        return None
    if records.is_many(service.database, question):
        return {**_NO_SUMS, "most": records.FEW}
    if question.delivery or chosen.status or chosen.uid or chosen.machine:
        count = records.count(service.database, viewer, question)
        used = records.used(service.database, viewer, question)
        return {**_NO_SUMS, "count": count, "used": used}
    known = summaries.known_months(service.database)
    time = span or (Span.of_months(*known) if known else None)
    if time is None:
        return None
    asked = Sums(
        (), time.first, time.last, **filters.named(), contains=filters.contains, days=time.days
    )
    if time.days is None:  # a record is a notebook's part of one month
        count = service.summaries.count(viewer, asked)
    else:
        count = records.count(service.database, viewer, question)
    found = service.summaries.summary(viewer, asked)
    return {**_NO_SUMS, "count": count, "usage": total(found)}


def _files(asked: Mapping[str, str], filters: Filters, span: Span | None) -> dict[str, str]:
    """Title → the API's question of the files that can be had."""
    kinds = {"CSV": "csv", "APEL text": "apel"}
    if find_spec("pyarrow") is not None:
        kinds["Parquet"] = "parquet"
    more = {name: asked[name] for name in ("pod", "status", "delivery") if name in asked}
    parts = {f"{by}_contains": text for by, text in filters.contains}
    kept = {**_when(span), **filters.named(), **parts, **more}
    return {title: urlencode({**kept, "format": kind}) for title, kind in kinds.items()}
