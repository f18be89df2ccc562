"""``/gaps``: when the metrics were silent, what that did to whom, and reading a time again."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Operator, Parts, Reader
from accounting.api.routes.runs import poll_job, span_to_read, start
from accounting.guard.problem import Problem
from accounting.lookup import gaps, status, windows
from accounting.model.jobs import JobKind
from accounting.web.fields import Fields
from accounting.web.templating import templates

router = APIRouter(prefix="/gaps")

_DAY = 86400
_MOST_GAPS = 50
_MOST_PODS = 100
_BEFORE_SECONDS = 3600
"""Reading again begins that long before a gap, so that the last sample before it is seen."""


@router.get("")
def show(request: Request, service: Parts, viewer: Reader) -> Response:
    """The silences of some days, the latest first."""
    fields, now = Fields(request.query_params), service.clock()
    since, until = fields.day("since"), fields.day("until")
    if since is not None and until is not None and until < since:
        fields.wrong["until"] = "This is before the first day."
    last = int(now) // _DAY if until is None else until
    first = last - status.GAPS_DAYS if since is None else since
    found = windows.silences(service.database, since=first * _DAY, until=(last + 1) * _DAY)
    found = [] if fields.wrong else list(reversed(found))
    context = {
        "fields": fields,
        "first": first * _DAY,
        "last": last * _DAY,
        "now": now,
        "count": len(found),
        "gaps": [
            gaps.effects(service.database, viewer, gap, now, _MOST_PODS)
            for gap in found[:_MOST_GAPS]
        ],
        "before": _BEFORE_SECONDS,
    }
    return templates.TemplateResponse(request, "gaps.html", context)


@router.post("/read")
def read(
    request: Request,
    service: Parts,
    _viewer: Operator,
    since: Annotated[str, Form()],
    until: Annotated[str, Form()],
) -> Response:
    """Read a time again: what is known does not change, and what was missing is added."""
    try:
        wanted = span_to_read(service, since, until)
    except ValueError as exc:
        raise Problem(400, str(exc), "go back, and correct the time") from exc
    run = start(service, JobKind.POLL, poll_job(service, *wanted))
    home = request.scope.get("root_path", "")
    return RedirectResponse(f"{home}/runs/{run.id}", 303)
