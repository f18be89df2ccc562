"""``/records/UID``: one notebook's life, what was recorded of it, and what took it to APEL."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Admin, Parts, Reader, Service
from accounting.api.parameters import UidPath
from accounting.api.routes.notebooks import notebook_of
from accounting.api.routes.records import acknowledge
from accounting.errors import SettingsError
from accounting.guard.problem import Problem
from accounting.lookup import notebooks
from accounting.lookup.entries import Delivery, Entry
from accounting.lookup.evidence import Evidence, evidence
from accounting.measure.promql.evidence import of_pod
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.web.fields import Fields
from accounting.web.files import svg_file
from accounting.web.pages.records import address_of
from accounting.web.templating import templates

router = APIRouter(include_in_schema=False)

_WIDTH, _MARGIN = 960.0, 8.0
_AROUND_SECONDS = 600
"""Prometheus shows so much around a notebook's life."""

FLAGS = {
    "CPU time unknown": "cAdvisor never showed the pod; the record goes out without it.",
    "CPU count from limits": "No requests were given.",
    "CPU count from requests": "No limits were given.",
    "CPU count by default": "Neither requests nor limits were given.",
    "CPU count unknown": "Neither requests nor limits were given, and there is no default.",
    "memory from limits": "No requests were given.",
    "memory from requests": "No limits were given.",
    "memory by default": "Neither requests nor limits were given.",
    "memory from peak use": "Neither requests nor limits were given, and there is no default.",
    "memory unknown": "Neither requests nor limits were given, and nothing was measured.",
    "unknown resource": "The pod asked for a resource that no rule knows: see"
    " ACCOUNTING_RECORD__ACCELERATORS.",
    "accelerators not countable": "The pod has a resource claim, which tells no number of devices.",
    "accelerator use not told apart": "Devices are shared; what tells use shows whole ones.",
    "default VO": "The pod had no group, or one that is sent under the default.",
    apel.ASCII_USER: "A destination carries ASCII only; the name goes out percent-encoded.",
    "user name escaped": "The name holds what a record cannot carry; it goes out percent-encoded.",
    "text escaped": "A label of the pod has a character that no database can store; it is stored"
    " percent-encoded.",
    "no user": "The pod had no user annotation.",
    "ended in a gap": "The metrics fell silent when it was last seen: it may have run longer.",
    "node lost": "Its node was lost. It counts as ended then, unless it is seen running again.",
    "clocks differ": "The node's clock is wrong: the start is bounded by when it was seen.",
    "start from creation": "The metrics did not tell when it started.",
    "start from first sample": "The metrics told neither when it started nor when it was made.",
}
"""What flags mean; ``docs/units.md`` says the same."""

RULES = {
    "map": "The settings' map says so for {source}.",
    "entitlement": "It is the first group of the entitlement {source}.",
    "fqan": "It is the first group of the FQAN {source}.",
    "plain": "The pod's primary group, {source}, is a VO's name.",
    "default": "It is the settings' default{source_of}.",
    "none": "No rule fits the primary group{source_of}.",
}

HELD = {
    Held.OWNER_UNKNOWN: "No pod shows the hub's annotations: set kube-state-metrics' "
    "--metric-annotations-allowlist, as 'notebooks-accounting doctor' says.",
    Held.UNMAPPED: "Map the group in ACCOUNTING_VO__MAP, or set"
    " ACCOUNTING_VO__DEFAULT_FOR_UNMAPPED.",
    Held.INVALID: "The repository would refuse the record, and its whole message with it. Correct"
    " the field at its source, in the pod's annotations or in the settings; the next poll builds"
    " the record again. If it cannot be corrected, acknowledge it.",
}


@router.get("/records/{uid}")
def notebook(request: Request, service: Parts, viewer: Reader, uid: UidPath) -> Response:
    """One notebook."""
    found = notebook_of(service, viewer, uid)
    last = found.months[-1].record
    rests_on = evidence(service.database, uid, service.clock())
    context = {
        "notebook": found,
        "back": address_of(request),
        "flags": {
            flag: FLAGS.get(flag, "") for entry in found.months for flag in entry.record.flags
        },
        "rule": _rule(last),
        "held": HELD,
        "texts": {
            str(entry.record.month): {
                "text": apel.text(entry.record),
                "held": bool(entry.record.held),
            }
            for entry in found.months
        },
        **_life(found),
        "evidence": rests_on,
        "queries": _queries(service, rests_on) if rests_on else [],
        "month_of": lambda key: str(Month(*key)),
    }
    return templates.TemplateResponse(request, "record.html", context)


@router.get("/records/{uid}/life.svg")
def life(service: Parts, viewer: Reader, uid: UidPath) -> Response:
    """A notebook's life as a picture: what its page shows, with a title and a legend."""
    found = notebook_of(service, viewer, uid)
    return svg_file(templates.get_template("life.xml").render(_life(found)), f"life-{uid}")


def _life(found: notebooks.Notebook) -> dict[str, Any]:
    """What the picture of a life shows."""
    last = found.months[-1].record
    return {
        "uid": found.uid,
        "line": line_of(found.months),
        "last": last,
        "is_running": last.end_at is None,
    }


@router.post("/records/{uid}/{action}")
def act(
    request: Request,
    service: Parts,
    viewer: Admin,
    *,
    uid: UidPath,
    action: str,
    month: Annotated[str, Form()],
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Acknowledge a held record, or take that back."""
    if action not in {"acknowledge", "reopen"}:
        raise Problem(404, "there is no such action", "acknowledge or reopen a record")
    fields = Fields({"month": month, "reason": reason})
    of, why = fields.month("month"), fields.text("reason")
    if of is None or (action == "acknowledge" and not why):
        raise Problem(400, "a month and a reason are needed", "go back and fill in the reason")
    acknowledge(service, viewer, uid, of, why if action == "acknowledge" else "")
    back = address_of(request)
    home = request.scope.get("root_path", "")
    return RedirectResponse(f"{home}/records/{uid}{'?' if back else ''}{back}", 303)


def _queries(service: Service, rests_on: Evidence) -> list[tuple[str, str, str]]:
    """(what it shows, PromQL, its address in Prometheus if people can reach that)."""
    try:
        scope = service.settings.scope()
    except SettingsError:
        return []
    pod = rests_on.pod
    end = int(max(pod.last_listed_at, pod.last_running_at)) + _AROUND_SECONDS
    public = service.settings.prometheus.public_url
    found = []
    for title, query in of_pod(scope, pod.uid).items():
        shown = {
            "g0.expr": query,
            "g0.tab": "0",
            "g0.range_input": f"{end - pod.start_at + _AROUND_SECONDS}s",
            "g0.end_input": f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M:%S}",
        }
        link = f"{str(public).rstrip('/')}/graph?{urlencode(shown)}" if public else ""
        found.append((title, query, link))
    return found


def _rule(record: Record) -> str:
    source = record.vo.source
    said = RULES.get(record.vo.rule, "")
    return said.format(source=source, source_of=f", for the group {source}" if source else "")


@dataclass(frozen=True, slots=True)
class Span:
    """One month on the time line; places are in the picture's units.

    Attributes:
        month: which.
        start, width: of the month, as far as the line shows it.
        life, life_width: where the notebook ran in it.
        goes_on: it runs on after what was measured.
        delivery: of the month's record.
        measured_at: Unix seconds, when the month's record was measured.
    """

    month: str
    start: float
    width: float
    life: float
    life_width: float
    goes_on: bool
    delivery: Delivery
    measured_at: int


def line_of(months: Sequence[Entry]) -> list[Span]:
    """A notebook's life from its start to its last sample, cut at the ends of months.

    Args:
        months: its records, the earliest first.
    """
    first, last = months[0].record, months[-1].record
    begin, end = first.start_at, max(last.created_at, first.start_at + 1)
    room = max(3600.0, (end - begin) * 0.06)
    low, high = begin - room, end + room
    scale = (_WIDTH - 2 * _MARGIN) / (high - low)

    def place(at: float) -> float:
        return round(_MARGIN + (min(max(at, low), high) - low) * scale, 2)

    found = []
    for entry in months:
        record = entry.record
        month_start = low if record is first else record.month.start
        month_end = high if record is last else record.month.end
        life = max(record.start_at, record.month.start if record is not first else begin)
        found.append(
            Span(
                str(record.month),
                place(month_start),
                place(month_end) - place(month_start),
                place(life),
                max(2.0, place(record.created_at) - place(life)),
                record is last and record.end_at is None,
                entry.delivery,
                record.created_at,
            )
        )
    return found
