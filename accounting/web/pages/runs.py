"""``/runs``: polls and pushes that were asked for on a page, followed until they end."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Operator, Parts, Service
from accounting.api.routes.runs import poll_job, push_job, start
from accounting.api.tables import csv_file, lines_of
from accounting.guard.problem import Problem
from accounting.model.jobs import JobKind
from accounting.service.runs import Run
from accounting.web.templating import templates

router = APIRouter(prefix="/runs", include_in_schema=False)

_COLUMNS = ("uid", "vo", "kind", "wall_seconds", "cpu_seconds", "changes")


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
    context = {"run": _found(service, name), "now": service.clock()}
    return templates.TemplateResponse(request, "run.html", context)


@router.get("/{name}/differences.csv")
def file(service: Parts, _viewer: Operator, name: str) -> Response:
    """What differed from what was delivered: as many as the page shows."""
    ended = _found(service, name).outcome
    differences = (ended.result or {}).get("differences") if ended else None
    if differences is None:
        raise Problem(404, "this run compared nothing", "look at the run again")
    rows = [{**one, "changes": _changes(one["changes"])} for one in differences]
    return csv_file(lines_of(_COLUMNS, rows), f"differences-{name}")


def _changes(changes: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{key} {before} → {after}" for key, (before, after) in changes.items())


def _found(service: Service, name: str) -> Run:
    run = service.runs.find(name)
    if run is None:
        raise Problem(404, "no run has this id", "runs are forgotten when the service restarts")
    return run
