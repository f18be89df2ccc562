"""``/my``: what a person used, by day and month, and what runs now."""

from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader, Service
from accounting.guard.problem import Problem
from accounting.lookup import records
from accounting.lookup.records import Sort
from accounting.lookup.sums import summaries
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.volumes import StorageBy, stored
from accounting.model.records import Status
from accounting.model.time import Month
from accounting.store.engine.access import Viewer
from accounting.store.ledger import Ledger
from accounting.store.records import Selection
from accounting.web.fields import Fields, months_back
from accounting.web.files import chart_file
from accounting.web.templating import templates
from accounting.web.views.daily import MEASURES, Chart, chart, measures, until_of
from accounting.web.views.figures import month_name

router = APIRouter(include_in_schema=False)

_MOST_RUNNING = 50
_MONTHS = 12


@dataclass(frozen=True)
class Asked:
    """What a form asks for, checked: see ``Fields`` for what is wrong with it.

    Attributes:
        user: whose usage: the viewer's.
        month: of which month.
        show: what is drawn.
        current: the month that goes on.
        until: up to when there is something to draw, Unix seconds.
        is_read: whether anything was read yet.
    """

    fields: Fields
    user: str
    month: Month
    show: str
    current: Month
    until: float
    is_read: bool


def _asked(request: Request, service: Service, viewer: Viewer) -> Asked:
    if not viewer.user:
        raise Problem(404, "this token belongs to no person", "sign in with JupyterHub's login")
    fields = Fields(request.query_params)
    progress = Ledger(service.database).progress()
    until, current = until_of(progress.watermark if progress else None, service.clock())
    month = fields.month("month") or current
    show = fields.choice("show", list(measures(energy=service.settings.energy.enabled)), "wall")
    return Asked(fields, viewer.user, month, show, current, until, progress is not None)


@router.get("/my")
def mine(request: Request, service: Parts, viewer: Reader) -> Response:
    """The viewer's own usage."""
    asked = _asked(request, service, viewer)
    month, current = asked.month, asked.current
    known = summaries.known_months(service.database)
    first = max(known[0], _back(current, _MONTHS)) if known else current

    def used(*by: By, since: Month = month, last: Month = month) -> list[Usage]:
        question = Question(by, since, last, user=asked.user)
        return service.summaries.summary(viewer, question)

    total = used()
    running = Selection(
        month=current, user=asked.user, status=Status.STARTED.value, limit=_MOST_RUNNING
    )
    context = {
        "fields": asked.fields,
        "month": month,
        "months": months_back(known) or [str(current)],
        "show": asked.show,
        "measures": measures(energy=service.settings.energy.enabled),
        "total": total[0] if total else None,
        "days": list(reversed(used(By.DAY))),
        "by_month": list(reversed(used(By.MONTH, since=first, last=current))),
        "chart": _chart(service, viewer, asked),
        "running": records.page(
            service.database, viewer, records.Question(running, sort=Sort.START)
        ),
        "until": asked.until if asked.is_read else None,
        "homes": stored(
            service.database, viewer, (StorageBy.VOLUME, StorageBy.VO), month, user=asked.user
        ),
        "files": _files(asked, first),
    }
    return templates.TemplateResponse(request, "mine.html", context)


@router.get("/my/chart.{kind}")
def file(request: Request, service: Parts, viewer: Reader, kind: str) -> Response:
    """The chart as SVG or CSV: what the page with this question shows."""
    asked = _asked(request, service, viewer)
    asked.fields.refuse()
    return chart_file(
        _chart(service, viewer, asked),
        kind,
        f"my-usage-{asked.month}",
        f"{month_name(str(asked.month))}, {asked.user}",
    )


def _chart(service: Service, viewer: Viewer, asked: Asked) -> Chart | None:
    question = Question((), asked.month, asked.month, user=asked.user)
    return chart(service.summaries, viewer, question, MEASURES[asked.show], until=asked.until)


def _files(asked: Asked, first: Month) -> dict[str, str]:
    """Table → the API's question of its file."""
    running = {"month": str(asked.current), "user": asked.user, "status": Status.STARTED.value}
    homes = {"by": "volume", "month": str(asked.month), "user": asked.user}
    return {
        "month": _csv(By.MONTH, asked.user, first, asked.current),
        "day": _csv(By.DAY, asked.user, asked.month, asked.month),
        "running": urlencode({**running, "format": "csv"}),
        "homes": urlencode({**homes, "format": "csv"}),
    }


def _csv(by: By, user: str, first: Month, last: Month) -> str:
    months = {"first_month": str(first), "last_month": str(last)}
    return urlencode({"by": by.value, **months, "user": user, "format": "csv"})


def _back(month: Month, count: int) -> Month:
    for _ in range(count - 1):
        month = Month.of(month.start - 1)
    return month
