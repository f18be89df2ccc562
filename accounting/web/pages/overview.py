"""``/``: is everything measured and delivered? And who used how much this month."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from msgspec.structs import asdict
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Parts, Reader, Service
from accounting.api.tables import csv_file, lines_of
from accounting.lookup import status, windows
from accounting.lookup.messages import Messages
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import FIGURES, PART_FIGURES, Usage
from accounting.model.time import Month
from accounting.store.engine.access import Role, Viewer
from accounting.web.span import Span
from accounting.web.templating import templates
from accounting.web.views.coverage import days
from accounting.web.views.totals import total
from accounting.web.views.verdict import verdict
from accounting.wiring.destinations import names_of

router = APIRouter(include_in_schema=False)

_COLUMNS = (
    "vo",
    *FIGURES,
    *(f"{part}_{name}" for part in ("goes_out", "delivered") for name in PART_FIGURES),
    "last_month_to_this_day_wall_seconds",
    "last_month_wall_seconds",
)


@router.get("/")
def overview(request: Request, service: Parts, viewer: Reader) -> Response:
    """The answer, what it rests on, and this month by VO."""
    if viewer.role is Role.SELF:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/my", 303)
    now = service.clock()
    found = status.status(service.settings, service.database, viewer, now)
    names = names_of(service.settings)
    destinations = Messages(service.database).destinations(names) if viewer.is_admin else []
    first = windows.first_start(service.database)
    day = datetime.fromtimestamp(now, UTC).day
    rows = compared(service, viewer, Month.of(now), day)
    last = Span.of_months(*(_before(Month.of(now)),) * 2)
    context = {
        "status": found,
        "verdict": verdict(
            found,
            destinations,
            allowed_lag_seconds=service.loop.allowed_seconds,
            failure=service.loop.error if viewer.is_admin else None,
        ),
        "days": days(now, first, found.read_until, found.gaps),
        "month": Month.of(now),
        "began": first if first and first > _before(Month.of(now)).start else None,
        "rows": rows,
        "last_month": last,
        "to_this_day": replace(last, end=min(last.start + day - 1, last.end)),
        "total": _total(rows),
        "run": next(iter(service.runs.latest()), None) if viewer.is_admin else None,
    }
    return templates.TemplateResponse(request, "overview.html", context)


@router.get("/overview.csv")
def file(service: Parts, viewer: Reader) -> Response:
    """This month by VO, compared with the last: what the table shows, in seconds."""
    now = service.clock()
    rows = compared(service, viewer, Month.of(now), datetime.fromtimestamp(now, UTC).day)
    return csv_file(lines_of(_COLUMNS, (row.cells for row in rows)), f"by-vo-{Month.of(now)}")


@dataclass(frozen=True, slots=True)
class Compared:
    """What a VO used this month, and in the month before up to the same day and as a whole."""

    vo: str
    now: Usage
    wall_before_seconds: int
    wall_last_seconds: int

    @property
    def cells(self) -> dict[str, Any]:
        """As its file has it, by the names of ``_COLUMNS``."""
        return {
            "vo": self.vo,
            **{name: getattr(self.now, name) for name in FIGURES},
            "goes_out": asdict(self.now.goes_out),
            "delivered": asdict(self.now.delivered) if self.now.delivered else {},
            "last_month_to_this_day": {"wall_seconds": self.wall_before_seconds},
            "last_month": {"wall_seconds": self.wall_last_seconds},
        }


def compared(service: Service, viewer: Viewer, month: Month, day: int) -> list[Compared]:
    """A month by VO against the month before it; the largest first.

    Args:
        service: the service.
        viewer: who looks.
        month: which month.
        day: its day, up to and with which the months are compared.
    """
    last = _before(month)
    now = {row.key["vo"]: row for row in service.summaries.summary(viewer, _by(month, By.VO))}
    before: Mapping[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in service.summaries.summary(viewer, _by(last, By.DAY, By.VO)):
        sums = before[row.key["vo"]]
        sums[0] += row.wall_seconds * (int(row.key["day"][-2:]) <= day)
        sums[1] += row.wall_seconds
    found = [Compared(vo, now.get(vo) or total([]), *before[vo]) for vo in sorted({*now, *before})]
    return sorted(found, key=lambda row: (-row.now.wall_seconds, -row.wall_last_seconds))


def _before(month: Month) -> Month:
    return Month.of(month.start - 1)


def _by(month: Month, *by: By) -> Question:
    return Question(by, month, month)


def _total(rows: Sequence[Compared]) -> Compared:
    return Compared(
        "",
        total([row.now for row in rows]),
        sum(row.wall_before_seconds for row in rows),
        sum(row.wall_last_seconds for row in rows),
    )
