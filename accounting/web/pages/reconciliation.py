"""``/deliveries/reconciliation``: what the accounting portal shows, beside what was delivered."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Admin, Parts, Service
from accounting.api.routes.runs import known, reconcile_job, start
from accounting.lookup.sums import summaries
from accounting.model.jobs import JobKind
from accounting.store.reconciliations import Reconciliations
from accounting.web.fields import Fields, months_back
from accounting.web.templating import templates
from accounting.wiring.destinations import names_of
from accounting.wiring.places import places

router = APIRouter(prefix="/deliveries/reconciliation", include_in_schema=False)

_BAD_REQUEST, _SEE_OTHER = 400, 303
_SHOWN = 24


@router.get("")
def kept(request: Request, service: Parts, _viewer: Admin) -> Response:
    """The last comparison of each month, and a form for a new one."""
    return _page(request, service, Fields(request.query_params), dict(request.query_params))


@router.post("")
def begin(
    request: Request,
    service: Parts,
    _viewer: Admin,
    *,
    month: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = "",
) -> Response:
    """Compare a month."""
    fields = Fields({"month": month})
    chosen = fields.month("month")
    if chosen is None:
        fields.wrong.setdefault("month", "Which month? For example 2026-11.")
        asked = {"month": month, "destination": destination}
        return _page(request, service, fields, asked, _BAD_REQUEST)
    job = reconcile_job(service, chosen, known(service, destination))
    run = start(service, JobKind.RECONCILE, job)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/runs/{run.id}", _SEE_OTHER)


def _page(
    request: Request, service: Service, fields: Fields, asked: dict[str, str], code: int = 200
) -> Response:
    latest = sorted(
        Reconciliations(service.database).latest(),
        key=lambda made: (made.month, made.destination),
        reverse=True,
    )
    context = {
        "fields": fields,
        "asked": asked,
        "comparisons": latest[:_SHOWN],
        "names": names_of(service.settings),
        "destinations": [place.name for place in places(service.settings)],
        "months": months_back(summaries.known_months(service.database)),
    }
    return templates.TemplateResponse(request, "reconciliation.html", context, code)
