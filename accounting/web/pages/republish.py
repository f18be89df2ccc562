"""``/deliveries/republish``: a month goes out again, once its differences were looked at."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Admin, Parts, Service
from accounting.api.routes.runs import known, republish_job, start
from accounting.delivery.differences import Chosen
from accounting.guard.problem import Problem
from accounting.lookup.sums import summaries
from accounting.model.jobs import JobKind
from accounting.web.fields import Fields, months_back
from accounting.web.templating import templates
from accounting.wiring.places import places

router = APIRouter(prefix="/deliveries/republish", include_in_schema=False)

_BAD_REQUEST, _CONFLICT, _SEE_OTHER = 400, 409, 303


@router.get("")
def form(request: Request, service: Parts, _viewer: Admin) -> Response:
    """Which records; the address may name the month."""
    return _form(request, service, Fields(request.query_params), dict(request.query_params))


@router.post("")
def compare(
    request: Request,
    service: Parts,
    _viewer: Admin,
    *,
    month: Annotated[str, Form()] = "",
    vo: Annotated[str, Form()] = "",
    user: Annotated[str, Form()] = "",
    changed: Annotated[str, Form()] = "",
    destination: Annotated[str, Form()] = "",
) -> Response:
    """Begin a dry run: what differs from what was delivered. Its page can confirm it."""
    asked = {"month": month, "vo": vo, "user": user, "changed": changed, "destination": destination}
    fields = Fields(asked)
    chosen_month = fields.month("month")
    if chosen_month is None:
        fields.wrong.setdefault("month", "Which month? For example 2026-11.")
    chosen_vo, chosen_user = fields.text("vo"), fields.text("user")
    if chosen_month is None or fields.wrong:
        return _form(request, service, fields, asked, _BAD_REQUEST)
    to = known(service, destination)
    chosen = Chosen(chosen_month, chosen_vo, chosen_user, bool(changed), to)
    return _begin(request, service, chosen, dry_run=True)


@router.post("/{name}")
def confirm(request: Request, service: Parts, _viewer: Admin, name: str) -> Response:
    """Queue what a dry run, named by its id, has looked at; nothing else."""
    run = service.runs.find(name)
    looked = run.outcome.result if run and run.outcome else None
    if run is None or not isinstance(run.asked, Chosen) or not looked or not looked["dry_run"]:
        raise Problem(_CONFLICT, "there is no such comparison any more", "compare the month again")
    return _begin(request, service, run.asked, dry_run=False)


def _begin(request: Request, service: Service, chosen: Chosen, *, dry_run: bool) -> Response:
    job = republish_job(service, chosen, dry_run=dry_run)
    run = start(service, JobKind.REPUBLISH, job, chosen)
    return RedirectResponse(f"{request.scope.get('root_path', '')}/runs/{run.id}", _SEE_OTHER)


def _form(
    request: Request, service: Service, fields: Fields, asked: dict[str, str], code: int = 200
) -> Response:
    context = {
        "fields": fields,
        "asked": asked,
        "destinations": [place.name for place in places(service.settings)],
        "months": months_back(summaries.known_months(service.database)),
    }
    return templates.TemplateResponse(request, "republish.html", context, code)
