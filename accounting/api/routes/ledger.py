"""``/windows``, ``/gaps``, ``/status`` and ``/me``: progress of the ledger, and the viewer."""

from dataclasses import asdict

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Admin, Parts, Reader, identity_of
from accounting.api.models import GapsModel, MeModel, StatusModel, WindowsModel
from accounting.api.parameters import CursorQuery, LimitQuery, SinceQuery, TotalQuery, UntilQuery
from accounting.api.strictness import require_order
from accounting.lookup import status, windows

router = APIRouter(tags=["ledger"])


@router.get("/status", response_model=StatusModel, responses=refusals())
def get_status(service: Parts, viewer: Reader) -> Response:
    """Is everything measured and delivered?"""
    found = status.status(service.settings, service.database, viewer, service.clock())
    return as_json({**asdict(found), "gaps": [gap._asdict() for gap in found.gaps]})


@router.get("/windows", response_model=WindowsModel, responses=refusals())
def list_windows(
    service: Parts,
    _viewer: Admin,
    *,
    since: SinceQuery = None,
    until: UntilQuery = None,
    cursor: CursorQuery = "",
    limit: LimitQuery = 100,
    total: TotalQuery = False,
) -> Response:
    """The windows that were read, the latest first."""
    require_order(since, until)
    page = windows.page(service.database, since=since, until=until, limit=limit, after=cursor)
    rows = [
        {
            "start_at": window.start,
            "end_at": window.end,
            "spoke": window.spoke,
            "pods": window.pods,
            "rejected": window.rejected,
            "polled_at": window.polled_at,
        }
        for window in page.windows
    ]
    count = windows.count(service.database, since=since, until=until) if total else None
    return as_json({"windows": rows, "next": page.next or None, "total": count})


@router.get("/gaps", response_model=GapsModel, responses=refusals())
def list_gaps(
    service: Parts, _viewer: Reader, since: SinceQuery = None, until: UntilQuery = None
) -> Response:
    """When the source was silent: usage in there is known only from what came before and after."""
    require_order(since, until)
    found = windows.silences(service.database, since=since, until=until)
    return as_json({"gaps": [gap._asdict() for gap in found]})


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
