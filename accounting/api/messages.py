"""``/messages``: the outbox, for administrators."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.models import MessageModel, MessagesModel
from accounting.api.parameters import CursorQuery, LimitQuery
from accounting.api.parts import Admin, Parts
from accounting.guard.problem import Problem
from accounting.lookup import messages
from accounting.outbox import State

router = APIRouter(prefix="/messages", tags=["messages"])

_NOT_FOUND = 404
_LARGEST = 2**63 - 1
Number = Annotated[int, Path(ge=1, le=_LARGEST, description="The message's id.")]


@router.get("", response_model=MessagesModel, responses=refusals())
def list_messages(
    service: Parts,
    _viewer: Admin,
    state: Annotated[State | None, Query(description="Only those that are there.")] = None,
    cursor: CursorQuery = "",
    limit: LimitQuery = 100,
) -> Response:
    """Messages, the latest first."""
    page = messages.page(service.database, state=state or "", limit=limit, after=cursor)
    return as_json({"messages": [asdict(m) for m in page.messages], "next": page.next or None})


@router.get("/{number}", response_model=MessageModel, responses=refusals(404))
def one(service: Parts, _viewer: Admin, number: Number) -> Response:
    """One message."""
    found = messages.one(service.database, number)
    if found is None:
        raise Problem(_NOT_FOUND, "no message has this id", "look for it in the list of messages")
    return as_json(asdict(found))


@router.get(
    "/{number}/body",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **refusals(404),
    },
)
def body(service: Parts, _viewer: Admin, number: Number) -> Response:
    """The exact text that a message carries; empty if it named a user who was forgotten."""
    found = messages.body(service.database, number)
    if found is None:
        raise Problem(_NOT_FOUND, "no message has this id", "look for it in the list of messages")
    return Response(found, media_type="text/plain; charset=utf-8")
