"""``/usage``: over time, and by VO, user, flavour or image; crossed, compared, and as files."""

from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.dependencies import Parts, Reader, Service
from accounting.api.tables import csv_file
from accounting.lookup import windows
from accounting.lookup.sums import summaries
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.volumes import StorageBy, stored
from accounting.model.time import Month
from accounting.store.engine.access import Viewer
from accounting.store.ledger import Ledger
from accounting.web.fields import Fields, months_back
from accounting.web.files import chart_file
from accounting.web.filters import TITLES, Filters, filters_of, offered
from accounting.web.span import RANGES, Span, span_of
from accounting.web.templating import templates
from accounting.web.views import charts
from accounting.web.views.daily import MEASURES, Chart, chart, is_by_day, measures, until_of
from accounting.web.views.table import SORTS, Crosses, Crossing, csv_of, rows_of
from accounting.web.views.totals import total

router = APIRouter(prefix="/usage", include_in_schema=False)

_MOST_ROWS = 50
"""Of a page; all rows are in its file."""
_ACROSS = {By.MONTH: "Month", By.VO: "VO"}
_COMPARED_DAYS = 92
"""Longer times are compared with those before them only if that is asked for: it takes twice as
long."""
_DAY = 86400


@dataclass(frozen=True)
class Asked:
    """What a form asks for, checked: see ``Fields`` for what is wrong with it."""

    fields: Fields
    span: Span
    filters: Filters
    by: By
    across: By | None
    show: str
    sort: str
    compare: bool
    rank: int
    page: int
    known: tuple[Month, Month] | None
    until: float
    current: Month

    @property
    def first_row(self) -> int:
        """Place of the first row that the tables show."""
        return self.page * _MOST_ROWS

    def question(self, span: Span, *by: By) -> Question:
        """About some days, with the form's filters."""
        named, parts = self.filters.named(), self.filters.contains
        return Question(by, span.first, span.last, **named, contains=parts, days=span.days)

    @property
    def before(self) -> Span:
        """The period before; of one that goes on, as much as it has come to."""
        now, before = self.span.until(self.until), self.span.before()
        if now == self.span:
            return before
        return replace(before, end=min(before.end, before.start + now.end - now.start))

    @property
    def address(self) -> dict[str, str]:
        """The whole question, to be kept, shared, and changed a little."""
        more = {"across": self.across.value if self.across else "", "sort": self.sort}
        said = {**self.span.asked, "show": self.show, "by": self.by.value, **more}
        compare = {"compare": "yes" if self.compare else "no"}
        return {key: one for key, one in {**said, **compare, **self.filters.asked}.items() if one}

    @property
    def is_empty(self) -> bool:
        """Whether there can be no records; what is wrong is answered by none, too."""
        known, span = self.known, self.span
        outside = known is None or span.last < known[0] or span.first > known[1]
        return bool(self.fields.wrong) or outside


def _asked(request: Request, service: Service, viewer: Viewer) -> Asked:
    fields = Fields(request.query_params)
    progress = Ledger(service.database).progress()
    until, current = until_of(progress.watermark if progress else None, service.clock())
    span = span_of(fields, service.clock(), current)
    by = By(fields.choice("by", [one.value for one in TITLES], By.VO.value))
    across = fields.choice("across", [one.value for one in _ACROSS if one is not by])
    short = span.end - span.start < _COMPARED_DAYS
    compare = fields.choice("compare", ("yes", "no"), "yes" if short else "no")
    return Asked(
        fields,
        span,
        filters_of(fields, service.database, viewer, span),
        by,
        By(across) if across else None,
        fields.choice("show", list(measures(energy=service.settings.energy.enabled)), "wall"),
        fields.text("sort"),
        compare == "yes",
        fields.number("rank"),
        max(0, fields.number("page") - 1),
        summaries.known_months(service.database),
        until,
        current,
    )


@router.get("")
def usage(request: Request, service: Parts, viewer: Reader) -> Response:
    """A chart and a table of what was used in some time."""
    asked = _asked(request, service, viewer)
    measure = MEASURES[asked.show]
    found, before = _found(service, viewer, asked)
    sort = asked.sort if asked.sort.removeprefix("-") in SORTS else f"-{asked.show}"
    rows = rows_of(found, asked.by, sort, before)
    drawn = _chart(service, viewer, asked) if found else None
    context = {
        "asked": asked,
        "fields": asked.fields,
        "span": asked.span,
        "ranges": RANGES,
        "things": TITLES,
        "acrosses": _ACROSS,
        "offered": offered(service.summaries, viewer, min(asked.span.last, asked.current)),
        "measures": measures(energy=service.settings.energy.enabled),
        "months": months_back(asked.known) or [str(asked.current)],
        "by_day": is_by_day(asked.question(asked.span)),
        "rows": rows[asked.first_row : asked.first_row + _MOST_ROWS],
        "sort": sort,
        "count": len(rows),
        "most_rows": _MOST_ROWS,
        "total": total(found),
        "total_before": None if before is None else total(before),
        "most": max((measure.value(row.usage) for row in rows), default=0.0),
        "chart": drawn,
        "colours": charts.SERIES,
        "crossing": _crossing(service, viewer, asked, _MOST_ROWS) if found else None,
        **_homes(service, viewer, asked),
        "query": lambda **changes: urlencode(_changed(asked.address, changes)),
        "under": partial(_under, asked),
        "into": partial(_into, asked),
    }
    return templates.TemplateResponse(request, "usage.html", context)


@router.get("/{what}.{kind}")
def file(request: Request, service: Parts, viewer: Reader, what: str, kind: str) -> Response:
    """The table or the chart as CSV, the chart as SVG: what the page with this question shows."""
    asked = _asked(request, service, viewer)
    name = f"{what}-{'-to-'.join(asked.span.asked.values())}"
    asked.fields.refuse()
    if (what, kind) == ("table", "csv"):
        if asked.across:
            crossing = None if asked.is_empty else _crossing(service, viewer, asked)
            return csv_file(crossing.csv(asked.by) if crossing else (), name)
        found, before = _found(service, viewer, asked)
        return csv_file(csv_of(rows_of(found, asked.by, f"-{asked.show}", before), asked.by), name)
    drawn = _chart(service, viewer, asked) if what == "chart" and not asked.is_empty else None
    about = ", ".join([asked.span.said, *asked.filters.asked.values()])
    return chart_file(drawn, kind, name, about)


def _found(
    service: Service, viewer: Viewer, asked: Asked
) -> tuple[list[Usage], list[Usage] | None]:
    """What was used, and what in the period before if that is compared and was measured."""
    if asked.is_empty:
        return [], None
    found = service.summaries.summary(viewer, asked.question(asked.span, asked.by))
    began = windows.first_start(service.database)
    before = asked.before
    if not asked.compare or began is None or began > before.start * _DAY:
        return found, None
    return found, service.summaries.summary(viewer, asked.question(before, asked.by))


def _chart(service: Service, viewer: Viewer, asked: Asked) -> Chart | None:
    question, measure = asked.question(asked.span, asked.by), MEASURES[asked.show]
    return chart(service.summaries, viewer, question, measure, until=asked.until, rank=asked.rank)


def _into(asked: Asked, by: str, name: str, then: str = "") -> str:
    """The address of what one name used: of a VO by user, of others by VO.

    Args:
        asked: the question that is narrowed.
        by: what the name is of.
        name: the VO, user or flavour.
        then: by this instead.
    """
    then = then or (By.USER.value if by == By.VO.value else By.VO.value)
    changes = {by: name, "by": then, "sort": "", "across": ""}
    return f"usage?{urlencode(_changed(asked.address, changes))}"


def _under(asked: Asked, *, month: str = "", before: bool = False, **names: str) -> str:
    """The address of the records under a figure; none where they have no name to ask for.

    Args:
        asked: what the figures are of.
        month: only its days of this month.
        before: in the period before instead.
        names: of what the figure stands for: VO, user, flavour, image.
    """
    span = asked.before if before else asked.span
    if month:
        whole = Span.of_months(*(Month.parse(month),) * 2)
        span = Span(max(span.start, whole.start), min(span.end, whole.end))
    if not all(names.values()):
        return ""
    return f"records?{urlencode({**span.asked, **asked.filters.asked, **names})}"


def _homes(service: Service, viewer: Viewer, asked: Asked) -> dict[str, object]:
    """Home volumes in the last month that is asked for, by VO or user.

    None where a filter is about notebooks alone.
    """
    by = StorageBy.USER if asked.by is By.USER else StorageBy.VO
    named = asked.filters.named()
    whose = {name: named.pop(name, "") for name in ("user", "vo")}
    month = min(asked.span.last, asked.current)
    found = []
    if not (asked.fields.wrong or named or asked.filters.contains):
        found = stored(service.database, viewer, [by], month, **whose)
    found.sort(key=lambda row: -row.used_bytes)
    link = {"by": by.value, "month": str(month), **whose, "format": "csv"}
    return {
        "homes": found[:_MOST_ROWS],
        "homes_by": by.value,
        "homes_month": month,
        "homes_file": urlencode({name: said for name, said in link.items() if said}),
    }


def _crossing(
    service: Service, viewer: Viewer, asked: Asked, most: int | None = None
) -> Crossing | None:
    """The table across, if it is asked for: a page of it, or all without ``most``."""
    if asked.across is None:
        return None
    value, sort = MEASURES[asked.show].value, asked.sort or "-sum"
    question = asked.question(asked.span)
    crosses = Crosses(service.summaries, viewer, question, asked.by, asked.across, value)
    return crosses.crossed(sort, asked.first_row if most else 0, most)


def _changed(address: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    return {key: one for key, one in {**address, **changes}.items() if one}
