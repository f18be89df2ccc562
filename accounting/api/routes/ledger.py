"""``/windows``, ``/gaps``, ``/status`` and ``/me``: progress of the ledger, and the viewer."""

from dataclasses import asdict, astuple
from typing import Any

from fastapi import Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Admin, Parts, Reader, identity_of
from accounting.api.formats import TableQuery
from accounting.api.models import GapsModel, MeModel, StatusModel, WindowsModel
from accounting.api.parameters import CursorQuery, LimitQuery, SinceQuery, TotalQuery, UntilQuery
from accounting.api.strictness import PAGED, endpoints, refuse_useless, require_order
from accounting.api.tables import DESCRIBED, csv_file, is_csv, lines_of, long_csv_file
from accounting.lookup import status, windows
from accounting.lookup.windows import Covered
from accounting.model.time import Gap
from accounting.store.ledger import Ledger

router = endpoints("ledger")

_WINDOW = ("start_at", "end_at", "spoke", "pods", "rejected", "polled_at")


@router.get("/status", response_model=StatusModel, responses=refusals())
def get_status(service: Parts, viewer: Reader) -> Response:
    """Is everything measured and delivered?"""
    found = status.status(service.settings, service.database, viewer, service.clock())
    return as_json({**asdict(found), "gaps": [gap._asdict() for gap in found.gaps]})


@router.get("/windows", response_model=WindowsModel, responses={**DESCRIBED, **refusals(406)})
def list_windows(
    *,
    request: Request,
    service: Parts,
    viewer: Admin,
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = "",
    limit: LimitQuery = 100,
    total: TotalQuery = False,
    kind: TableQuery = None,
) -> Response:
    """The windows that were read, the latest first, a page at a time; or all of them as a file."""
    require_order(since, until)
    if is_csv(request, kind):
        refuse_useless(request, PAGED, "in a file, which has all windows of that time")
        found = windows.every(service.database, since=since, until=until)
        return long_csv_file(service, viewer, lines_of(_WINDOW, map(_window, found)), "windows")
    page = windows.page(service.database, since=since, until=until, limit=limit, after=cursor)
    count = windows.count(service.database, since=since, until=until) if total else None
    rows = [_window(one) for one in page.windows]
    return as_json({"windows": rows, "next": page.next or None, "total": count})


def _window(window: Covered) -> dict[str, Any]:
    return dict(zip(_WINDOW, astuple(window), strict=True))


@router.get("/gaps", response_model=GapsModel, responses={**DESCRIBED, **refusals(406)})
def list_gaps(
    *,
    request: Request,
    service: Parts,
    _viewer: Reader,
    since: SinceQuery = None,
    until: UntilQuery = None,
    kind: TableQuery = None,
) -> Response:
    """When the source was silent: usage in these times is computed from the samples around them.

    Of what comes after `read_until`, nothing is known yet.
    """
    require_order(since, until)
    found = windows.silences(service.database, service.clock(), since=since, until=until)
    rows = [gap._asdict() for gap in found]
    if is_csv(request, kind):
        return csv_file(lines_of(Gap._fields, rows), "gaps")
    progress = Ledger(service.database).progress()
    return as_json({"gaps": rows, "read_until": progress.watermark if progress else None})


@router.get("/me", response_model=MeModel, responses=refusals())
def get_me(request: Request) -> Response:
    """Who you are here, and what you may see and do."""
    viewer = identity_of(request).viewer
    return as_json(
        {
            "name": viewer.name,
            "role": viewer.role.value,
            "rights": sorted(right.value for right in viewer.rights),
            "vos": sorted(viewer.vos),
            "user": viewer.user,
        }
    )
