"""``/usage``: over time, and by VO, user, flavour or image."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader, Service
from accounting.lookup import summaries
from accounting.lookup.summaries import By, Question, Usage
from accounting.model.time import Month
from accounting.store.access import Viewer
from accounting.store.ledger import Ledger
from accounting.web.daily import MEASURES, chart, until_of
from accounting.web.fields import Fields, months_back
from accounting.web.templating import templates

router = APIRouter()

_BY = {By.VO: "VO", By.USER: "User", By.FLAVOR: "Flavour", By.IMAGE: "Image"}
_MOST_ROWS = 100


@router.get("/usage")
def usage(request: Request, service: Parts, viewer: Reader) -> Response:
    """A chart and a table of what was used in some months."""
    fields = Fields(request.query_params)
    by = By(fields.choice("by", [one.value for one in _BY], By.VO.value))
    show = fields.choice("show", list(MEASURES), "wall")
    known = summaries.known_months(service.database)
    until, current = _until(service)
    first = fields.month("first") or current
    last = fields.month("last") or first
    if last < first:
        fields.wrong["last"] = "This is before the month in From."
    question = Question(
        (by,),
        first,
        max(first, last),
        fields.text("user"),
        fields.text("vo"),
        fields.text("flavor"),
    )
    # What is wrong is not left out: the answer would look like one to the whole question.
    rows = [] if fields.wrong else _rows(service, viewer, question, known, show)
    context = {
        "fields": fields,
        "question": question,
        "by": by,
        "by_title": _BY[by],
        "show": show,
        "measures": MEASURES,
        "things": _BY,
        "months": months_back(known) or [str(current)],
        "rows": rows[:_MOST_ROWS],
        "left_out": max(0, len(rows) - _MOST_ROWS),
        "total": {name: sum(getattr(row, name) for row in rows) for name in _SUMMED},
        "most": max((MEASURES[show].value(row) for row in rows), default=0.0),
        "chart": chart(service.summaries, viewer, question, MEASURES[show], until)
        if rows
        else None,
        "csv": _csv_query(question),
    }
    return templates.TemplateResponse(request, "usage.html", context)


_SUMMED = (
    "pods",
    "wall_seconds",
    "cpu_seconds",
    "core_seconds",
    "memory_mb_seconds",
    "gpu_seconds",
    "pods_without_cpu",
)


def _rows(
    service: Service,
    viewer: Viewer,
    question: Question,
    known: tuple[Month, Month] | None,
    show: str,
) -> list[Usage]:
    if known is None or question.last < known[0] or question.first > known[1]:
        return []
    found = service.summaries.summary(viewer, question)
    value = MEASURES[show].value
    return sorted(found, key=lambda row: (-value(row), -row.wall_seconds, *row.key.values()))


def _until(service: Service) -> tuple[float, Month]:
    progress = Ledger(service.database).progress()
    return until_of(progress.watermark if progress else None, service.clock())


def _csv_query(question: Question) -> str:
    asked = [
        ("by", "month"),
        ("by", question.by[0].value),
        ("first_month", str(question.first)),
        ("last_month", str(question.last)),
        ("format", "csv"),
    ]
    asked += [
        (name, value) for name in ("user", "vo", "flavor") if (value := getattr(question, name))
    ]
    return urlencode(asked)
