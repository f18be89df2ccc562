"""``/my``: what a person used, by day and month, and what runs now."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader
from accounting.guard.problem import Problem
from accounting.lookup import records
from accounting.lookup.records import Question as Asked
from accounting.lookup.records import Sort
from accounting.lookup.sums import summaries
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.volumes import StorageBy, stored
from accounting.model.records import Status
from accounting.model.time import Month
from accounting.store.ledger import Ledger
from accounting.store.records import Selection
from accounting.web.fields import Fields, months_back
from accounting.web.templating import templates
from accounting.web.views.daily import MEASURES, chart, measures, until_of

router = APIRouter()

_MOST_RUNNING = 50
_MONTHS = 12


@router.get("/my")
def mine(request: Request, service: Parts, viewer: Reader) -> Response:
    """The viewer's own usage."""
    if not viewer.user:
        raise Problem(404, "this token belongs to no person", "sign in with JupyterHub's login")
    fields = Fields(request.query_params)
    progress = Ledger(service.database).progress()
    until, current = until_of(progress.watermark if progress else None, service.clock())
    month = fields.month("month") or current
    offered = measures(energy=service.settings.energy.enabled)
    show = fields.choice("show", list(offered), "wall")
    known = summaries.known_months(service.database)
    first = max(known[0], _back(current, _MONTHS)) if known else current

    def used(*by: By, since: Month = month, last: Month = month) -> list[Usage]:
        question = Question(by, since, last, user=viewer.user)
        return service.summaries.summary(viewer, question)

    total = used()
    context = {
        "fields": fields,
        "month": month,
        "months": months_back(known) or [str(current)],
        "show": show,
        "measures": offered,
        "total": total[0] if total else None,
        "days": list(reversed(used(By.DAY))),
        "by_month": list(reversed(used(By.MONTH, since=first, last=current))),
        "chart": chart(
            service.summaries,
            viewer,
            Question((), month, month, user=viewer.user),
            MEASURES[show],
            until=until,
        ),
        "running": records.page(
            service.database,
            viewer,
            Asked(
                Selection(
                    month=current,
                    user=viewer.user,
                    status=Status.STARTED.value,
                    limit=_MOST_RUNNING,
                ),
                sort=Sort.START,
            ),
        ),
        "until": until if progress else None,
        "homes": stored(
            service.database, viewer, (StorageBy.VOLUME, StorageBy.VO), month, user=viewer.user
        ),
        "files": {
            "month": _csv(By.MONTH, viewer.user, first, current),
            "day": _csv(By.DAY, viewer.user, month, month),
            "running": urlencode(
                {
                    "month": str(current),
                    "user": viewer.user,
                    "status": Status.STARTED.value,
                    "format": "csv",
                }
            ),
            "homes": urlencode(
                {"by": "volume", "month": str(month), "user": viewer.user, "format": "csv"}
            ),
        },
    }
    return templates.TemplateResponse(request, "mine.html", context)


def _csv(by: By, user: str, first: Month, last: Month) -> str:
    months = {"first_month": str(first), "last_month": str(last)}
    return urlencode({"by": by.value, **months, "user": user, "format": "csv"})


def _back(month: Month, count: int) -> Month:
    for _ in range(count - 1):
        month = Month.of(month.start - 1)
    return month
