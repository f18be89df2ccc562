"""``/runs``: polls and pushes that were asked for on a page, followed until they end."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Operator, Parts
from accounting.api.routes.runs import poll_job, push_job, start
from accounting.guard.problem import Problem
from accounting.model.jobs import JobKind
from accounting.web.templating import templates

router = APIRouter(prefix="/runs")


@router.post("")
def begin(
    request: Request, service: Parts, _viewer: Operator, kind: Annotated[str, Form()]
) -> Response:
    """Start a poll or a push."""
    if kind == JobKind.POLL:
        run = start(service, JobKind.POLL, poll_job(service))
    elif kind == JobKind.PUSH:
        run = start(service, JobKind.PUSH, push_job(service, at_once=True))
    else:
        raise Problem(400, "there is no such run", "start a poll or a push")
    home = request.scope.get("root_path", "")
    return RedirectResponse(f"{home}/runs/{run.id}", 303)


@router.get("/{name}")
def follow(request: Request, service: Parts, _viewer: Operator, name: str) -> Response:
    """How far it has come; the page loads itself again until it has ended."""
    run = service.runs.find(name)
    if run is None:
        raise Problem(404, "no run has this id", "runs are forgotten when the service restarts")
    context = {"run": run, "now": service.clock()}
    return templates.TemplateResponse(request, "run.html", context)
