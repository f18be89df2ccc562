"""``/records``: lists, exports, and what is accepted of held ones."""

import re
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Operator, Parts, Reader, Service
from accounting.api.exports import HEAVY
from accounting.api.formats import MEDIA_TYPES, FormatQuery, chosen
from accounting.api.models import AcknowledgedModel, RecordsModel
from accounting.api.parameters import (
    ContainsQuery,
    CursorQuery,
    FlavorQuery,
    ImageQuery,
    LimitQuery,
    MonthQuery,
    PodQuery,
    SinceQuery,
    TotalQuery,
    UidPath,
    UntilQuery,
    UserQuery,
    VoQuery,
)
from accounting.api.strictness import PAGED, endpoints, refuse_useless, require_order
from accounting.guard.problem import Problem
from accounting.lookup import records, streams
from accounting.lookup.entries import Delivery, Entry
from accounting.lookup.records import Question, Sort
from accounting.model.records import Status
from accounting.model.time import Month
from accounting.records.formats.export import TABLES, WRITERS, Format
from accounting.records.formats.tabular import parquet_libraries
from accounting.store.engine.access import Viewer
from accounting.store.holds import Holds
from accounting.store.records import Selection
from accounting.wiring.months import open_from

router = endpoints("records", "/records")

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BAD, _NOT_FOUND = 400, 404
_SORTS = sorted(f"{sign}{sort}" for sort in Sort for sign in ("", "-"))
ReasonQuery = Annotated[
    str,
    Query(
        min_length=1,
        max_length=500,
        description="Why it may stay held.",
        examples=["test pod of the operator"],
    ),
]
_FILES = {
    MEDIA_TYPES[kind].partition(";")[0]: {"schema": {"type": "string"}}
    for kind in (Format.APEL, Format.CSV, Format.PARQUET)
}


@router.get("", response_model=RecordsModel, responses={200: {"content": _FILES}, **refusals(406)})
async def list_records(
    *,
    request: Request,
    service: Parts,
    viewer: Reader,
    month: MonthQuery = None,
    since: SinceQuery = None,
    until: UntilQuery = None,
    user: UserQuery = "",
    vo: VoQuery = "",
    pod: PodQuery = "",
    flavor: FlavorQuery = "",
    image: ImageQuery = "",
    contains: ContainsQuery,
    status: Annotated[Status | None, Query(description="Running, or completed.")] = None,
    delivery: Annotated[
        Delivery | None, Query(description="How far the record's content has come.")
    ] = None,
    sort: Annotated[
        str,
        Query(
            description="By what; a minus in front: the largest first.",
            json_schema_extra={"enum": _SORTS},
        ),
    ] = "-month",
    cursor: CursorQuery = "",
    limit: LimitQuery = 50,
    total: TotalQuery = False,
    kind: FormatQuery = None,
) -> Response:
    """Records that you may see, a page at a time; or all of them as a file."""
    require_order(since, until)
    selection = selected(
        pod=pod,
        month=month,
        since=since,
        until=until,
        user=user,
        vo=vo,
        flavor=flavor,
        image=image,
        contains=contains,
        status=status.value if status else "",
    )
    order, descending = _sort(sort)
    question = Question(
        selection,
        delivery,
        open_from(service.settings, service.clock()),
        order,
        descending=descending,
        cursor=cursor,
    )
    wanted = chosen(request, kind)
    if wanted is not Format.JSON:
        refuse_useless(
            request, ("sort", *PAGED), "in a file, which has all records that are selected"
        )
        return await run_in_threadpool(_file, service, viewer, question, wanted)
    question = replace(question, selection=replace(selection, limit=limit))
    return await service.turns.run(lambda: _page(service, viewer, question, total=total))


def _page(service: Service, viewer: Viewer, question: Question, *, total: bool) -> Response:
    page = records.page(service.database, viewer, question)
    return as_json(
        {
            "records": [shown(e) for e in page.entries],
            "next": page.next or None,
            "total": records.count(service.database, viewer, question) if total else None,
        }
    )


def selected(*, pod: str, **more: Any) -> Selection:
    """A selection; for the pages too.

    Args:
        pod: a pod's uid, or its name as the record shows it.
        more: the selection's other members.
    """
    is_uid = _UUID.fullmatch(pod)
    return Selection(uid=pod.lower() if is_uid else "", machine="" if is_uid else pod, **more)


def _file(service: Service, viewer: Viewer, question: Question, kind: Format) -> Response:
    if kind is Format.PARQUET:
        parquet_libraries()
    pieces = (
        TABLES[kind](streams.stream_lines(service.database, viewer, question))
        if kind in TABLES
        else WRITERS[kind](streams.stream(service.database, viewer, question))
    )
    month = question.selection.month
    name = f"records{f'-{month}' if month else ''}.{'txt' if kind is Format.APEL else kind}"
    weight = HEAVY if kind is Format.PARQUET else 1
    return service.exports.begin(viewer, pieces, MEDIA_TYPES[kind], name, weight)


def _sort(said: str) -> tuple[Sort, bool]:
    if said not in _SORTS:
        problem = "is not something to sort by"
        raise Problem(
            _BAD,
            f"sort {problem}",
            f"sort by one of {', '.join(_SORTS)}",
            errors=[{"parameter": "sort", "problem": problem}],
        )
    return Sort(said.removeprefix("-")), said.startswith("-")


@router.post("/{uid}/acknowledge", response_model=AcknowledgedModel, responses=refusals(404))
def acknowledge_records(
    service: Parts, viewer: Operator, uid: UidPath, reason: ReasonQuery, month: MonthQuery = None
) -> Response:
    """Accept that a notebook's held records stay held: pushes and pages stop warning of them."""
    return as_json({"records": acknowledge(service, viewer, uid, month, reason)})


@router.post("/{uid}/reopen", response_model=AcknowledgedModel, responses=refusals(404))
def reopen_records(
    service: Parts, viewer: Operator, uid: UidPath, month: MonthQuery = None
) -> Response:
    """Take a notebook's acknowledgements back."""
    return as_json({"records": acknowledge(service, viewer, uid, month)})


def acknowledge(
    service: Service, viewer: Viewer, uid: str, month: Month | None, reason: str = ""
) -> int:
    """Acknowledge a notebook's held records, or reopen them; for the pages too.

    Args:
        service: the service.
        viewer: who does it.
        uid: the pod's.
        month: only this month's record.
        reason: why; empty: take acknowledgements back.

    Raises:
        Problem: none of its records is held.
    """
    selection = Selection(uid=uid, month=month)
    holds, now = Holds(service.database), service.clock()
    if reason:
        count = holds.acknowledge(selection, viewer.name, reason, now)
    else:
        count = holds.reopen(selection, now)
    if not count:
        raise Problem(
            _NOT_FOUND, "no held record has this uid", "look for it in the list of records"
        )
    return count


def shown(entry: Entry) -> dict[str, Any]:
    """A record as the API shows it."""
    return {
        **entry.values,
        "delivery": entry.delivery.value,
        "message_id": entry.message_id,
    }
