"""``/deliveries``: what waits, what went, what is the matter, and what to do about it."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from accounting.api.dependencies import Admin, Parts
from accounting.api.routes.messages import change, where
from accounting.delivery.outbox import Outbox
from accounting.guard.problem import Problem
from accounting.lookup import cursor as cursors
from accounting.lookup import status
from accounting.lookup.messages import Messages, Selection
from accounting.model.messages import UNDELIVERED, WAITING, MessageState
from accounting.web.fields import Fields
from accounting.web.templating import templates
from accounting.wiring.destinations import names_of

router = APIRouter(prefix="/deliveries", include_in_schema=False)

_AT_ONCE = 50
_SORT = "-id"
_SHOWN_RECORDS = 500
_SEE_OTHER = 303
DONE = {
    "retry": "The next push sends it, without waiting any longer.",
    "park": "It is parked. Only messages with the same notebooks and months wait for it.",
    "withdraw": "It was withdrawn. Its records are due again, with their current values.",
    "resume": "The next push tries that destination again at once.",
}
"""What was done, by the name of the action."""

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("")
def deliveries(request: Request, service: Parts, viewer: Admin) -> Response:
    """Destinations, and a page of messages."""
    fields = Fields(request.query_params)
    names = names_of(service.settings)
    destination = fields.text("destination")
    state = fields.choice("state", [one.value for one in MessageState])
    after = request.query_params.get("cursor", "")
    before = cursors.decode(after, _SORT, (int,))[0] if after else None
    messages = Messages(service.database)
    chosen = Selection(where(service, destination), (MessageState(state),) if state else ())
    found = [] if fields.wrong else messages.page(chosen, before, _AT_ONCE + 1)
    more = len(found) > _AT_ONCE
    context = {
        "fields": fields,
        "status": status.status(service.settings, service.database, viewer, service.clock()),
        "destinations": messages.destinations(names),
        "names": names,
        "destination": destination,
        "state": state,
        "states": list(MessageState),
        "messages": found[:_AT_ONCE],
        "is_first": not after,
        "next": cursors.encode(_SORT, [found[_AT_ONCE - 1].id]) if more else "",
        "runs": service.runs.latest()[:5],
        "done": DONE.get(request.query_params.get("done", "")),
        "waiting": WAITING,
        "undelivered": UNDELIVERED,
    }
    return templates.TemplateResponse(request, "deliveries.html", context)


@router.get("/{number}")
def message(request: Request, service: Parts, _viewer: Admin, number: Number) -> Response:
    """One message: its story, its records, and its text."""
    messages = Messages(service.database)
    found = messages.find(number)
    if found is None:
        raise Problem(404, "no message has this number", "look for it in the list of deliveries")
    context = {
        "message": found,
        "records": messages.records(number, limit=_SHOWN_RECORDS),
        "body": messages.body(number),
        "waiting": WAITING,
        "undelivered": UNDELIVERED,
        "done": DONE.get(request.query_params.get("done", "")),
    }
    return templates.TemplateResponse(request, "message.html", context)


@router.post("/resume")
def resume(
    request: Request, service: Parts, _viewer: Admin, destination: Annotated[str, Form()]
) -> Response:
    """Let the next push try a destination again."""
    if not Outbox(service.database).resume(destination):
        raise Problem(409, "nothing keeps this destination", "look at the deliveries again")
    return _back(request, "resume")


@router.post("/{number}/{action}")
def act(
    request: Request,
    service: Parts,
    _viewer: Admin,
    number: Number,
    action: str,
    stay: Annotated[str, Query()] = "",
) -> Response:
    """Retry, park or withdraw a message."""
    if action not in {"retry", "park", "withdraw"}:
        raise Problem(404, "there is no such action", "retry, park or withdraw a message")
    change(service, number, action)
    return _back(request, action, f"/{number}" if stay else "")


def _back(request: Request, done: str, path: str = "") -> Response:
    home = request.scope.get("root_path", "")
    return RedirectResponse(f"{home}/deliveries{path}?done={done}", _SEE_OTHER)
