"""``/records``: search; the address holds the whole question."""

from dataclasses import replace
from importlib.util import find_spec
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader
from accounting.api.records import selected
from accounting.lookup import records, summaries
from accounting.lookup.records import Delivery, Page, Question, Sort
from accounting.model.records import Status
from accounting.web.fields import Fields, months_back
from accounting.web.templating import templates
from accounting.wiring import open_from

router = APIRouter()

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
_DELIVERIES = {
    Delivery.HELD: "held back",
    Delivery.ACKNOWLEDGED: "held, acknowledged",
    Delivery.DUE: "due",
    Delivery.LATE: "correction waits",
    Delivery.PENDING: "in a message",
    Delivery.PARKED: "set aside",
    Delivery.SENT: "delivered",
}
_NAMES = ("month", "vo", "user", "flavor", "pod", "status", "delivery", "sort")


@router.get("/records")
def search(request: Request, service: Parts, viewer: Reader) -> Response:
    """A page of records."""
    fields = Fields(request.query_params)
    sort = fields.choice("sort", list(_SORTS), "-month")
    delivery = fields.choice("delivery", [one.value for one in Delivery])
    selection = selected(
        pod=fields.text("pod"),
        month=fields.month("month"),
        user=fields.text("user"),
        vo=fields.text("vo"),
        flavor=fields.text("flavor"),
        status=fields.choice("status", [one.value for one in Status]),
    )
    question = Question(
        replace(selection, limit=_AT_ONCE),
        Delivery(delivery) if delivery else None,
        open_from(service.settings, service.clock()),
        Sort(sort.removeprefix("-")),
        descending=sort.startswith("-"),
        cursor=request.query_params.get("cursor", ""),
    )
    # Without the field that is wrong, the list would show more than was meant.
    page = Page([], "") if fields.wrong else records.page(service.database, viewer, question)
    asked = {name: value for name in _NAMES if (value := request.query_params.get(name, ""))}
    context = {
        "fields": fields,
        "asked": asked,
        "sort": sort,
        "sorts": _SORTS,
        "deliveries": _DELIVERIES,
        "statuses": list(Status),
        "months": months_back(summaries.known_months(service.database)),
        "page": page,
        "is_first": not question.cursor,
        "first": urlencode(asked),
        "next": urlencode({**asked, "cursor": page.next}) if page.next else "",
        "files": _files(asked),
    }
    return templates.TemplateResponse(request, "records.html", context)


def _files(asked: dict[str, str]) -> dict[str, str]:
    """Title → question of the files that can be had."""
    kinds = {"CSV": "csv", "APEL text": "apel"}
    if find_spec("pyarrow") is not None:
        kinds["Parquet"] = "parquet"
    kept = {name: value for name, value in asked.items() if name != "sort"}
    return {title: urlencode({**kept, "format": kind}) for title, kind in kinds.items()}
