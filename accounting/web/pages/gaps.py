"""``/gaps``: when the metrics were silent, what that did to whom, and reading a time again."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Operator, Parts, Reader, Service
from accounting.api.routes.runs import poll_job, span_to_read, start
from accounting.api.tables import lines_of, long_csv_file
from accounting.guard.problem import Problem
from accounting.lookup import gaps, status, windows
from accounting.model.jobs import JobKind
from accounting.model.time import Gap
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.web.fields import Fields
from accounting.web.templating import templates
from accounting.web.views.figures import iso

router = APIRouter(prefix="/gaps", include_in_schema=False)

_DAY = 86400
_MOST_GAPS = 50
_MOST_PODS = 100
_COLUMNS = ("gap_start_at", "gap_end_at", *(field.name for field in fields(gaps.Affected)))
_BEFORE_SECONDS = 3600
"""Reading again begins that long before a gap, so that the last sample before it is seen."""


@dataclass(frozen=True)
class Asked:
    """Which days a form asks for, as days since 1970, both included; what is wrong is in fields."""

    fields: Fields
    first: int
    last: int

    @property
    def start(self) -> int:
        """Unix seconds."""
        return self.first * _DAY

    @property
    def end(self) -> int:
        """Unix seconds, the first that is not meant any more."""
        return (self.last + 1) * _DAY

    def silences(self, database: Database, now: float) -> Sequence[Gap]:
        """The silences of these days up to now, the latest first; none if the form is wrong."""
        if self.fields.wrong:
            return []
        return list(reversed(windows.silences(database, now, since=self.start, until=self.end)))


def _asked(request: Request, now: float) -> Asked:
    fields = Fields(request.query_params)
    since, until = fields.day("since"), fields.day("until")
    if since is not None and until is not None and until < since:
        fields.wrong["until"] = "This is before the first day."
    last = max(int(now) // _DAY, since or 0) if until is None else until
    return Asked(fields, last - status.GAPS_DAYS if since is None else since, last)


@router.get("")
def show(request: Request, service: Parts, viewer: Reader) -> Response:
    """The silences of some days, the latest first."""
    now = service.clock()
    asked = _asked(request, now)
    found = asked.silences(service.database, now)
    context = {
        "fields": asked.fields,
        "first": asked.start,
        "last": asked.last * _DAY,
        "now": now,
        "nothing": None if found else _nothing(service.database, asked, now),
        "count": len(found),
        "gaps": [
            gaps.effects(service.database, viewer, gap, now, _MOST_PODS)
            for gap in found[:_MOST_GAPS]
        ],
        "before": _BEFORE_SECONDS,
    }
    return templates.TemplateResponse(request, "gaps.html", context)


@router.get("/table.csv")
def file(request: Request, service: Parts, viewer: Reader) -> Response:
    """All silences of these days, each with all notebooks that it affected."""
    asked = _asked(request, service.clock())
    asked.fields.refuse()
    lines = lines_of(_COLUMNS, _affected(service, viewer, asked))
    return long_csv_file(service, viewer, lines, "gaps")


def _affected(service: Service, viewer: Viewer, asked: Asked) -> Iterator[dict[str, Any]]:
    now = service.clock()
    for gap in asked.silences(service.database, now):
        found = gaps.effects(service.database, viewer, gap, now).shown
        for one in map(asdict, found) if found else [{}]:
            yield {"gap": gap._asdict(), **one}


def _nothing(database: Database, asked: Asked, now: float) -> tuple[str, str]:
    """What it means that there are no gaps, in short and as a sentence.

    Of days that have not come, or were not read, no gaps says nothing.
    """
    if asked.fields.wrong:
        return "Which days?", "Correct the field that is marked above."
    if asked.start > now:
        return "Not measured yet", "These days have not come yet."
    began, progress = windows.first_start(database), Ledger(database).progress()
    if began is None or progress is None:
        return "Not measured yet", "Nothing has been read yet."
    if asked.start >= progress.watermark:
        return "Not measured yet", f"Usage is read up to {_at(progress.watermark)}."
    if asked.end <= began:
        return "Not measured", f"Usage is read from {_at(began)} on."
    parts = [
        *([f"from {_at(began)}"] if asked.start < began else []),
        *([f"up to {_at(progress.watermark)}"] if progress.watermark < asked.end else []),
    ]
    only = f" They were read {' '.join(parts)}." if parts else ""
    return (
        "No gaps",
        f"The metrics were never silent in these days, as far as they were read.{only}",
    )


def _at(at: int) -> str:
    return f"{iso(at)[:16].replace('T', ' ')} UTC"


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
    run = start(service, JobKind.POLL, poll_job(service, *wanted), wanted)
    home = request.scope.get("root_path", "")
    return RedirectResponse(f"{home}/runs/{run.id}", 303)
