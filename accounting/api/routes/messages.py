"""``/messages``: the outbox, for administrators: look, retry, park, withdraw."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Path, Query, Request
from starlette.responses import Response

from accounting.api.answers import as_json, refusals
from accounting.api.dependencies import Admin, Parts, Service
from accounting.api.formats import TableQuery
from accounting.api.models import (
    DestinationsModel,
    MessageModel,
    MessagesModel,
    TakenRecordModel,
    TakenRecordsModel,
)
from accounting.api.parameters import CursorQuery, DestinationQuery, LimitQuery, TotalQuery
from accounting.api.strictness import PAGED, endpoints, refuse_useless
from accounting.api.tables import DESCRIBED, is_csv, lines_of, long_csv_file
from accounting.delivery.outbox import Outbox
from accounting.errors import AccountingError, DatabaseError, SettingsError
from accounting.guard.problem import Problem
from accounting.lookup import cursor as cursors
from accounting.lookup.messages import Destination, Entry, Messages, Selection, Taken
from accounting.lookup.standing import standing_of
from accounting.model.messages import Failure, FailureKind, MessageState, RecordKey
from accounting.model.time import Month
from accounting.telemetry.standing import Outgoing
from accounting.wiring.destinations import address_of, names_of

router = endpoints("messages", "/messages")

_SORT, _BY_KEY = "-id", "pod"
_COLUMNS = (
    "id",
    "empaid",
    "destination",
    "state",
    "records",
    "built_at",
    "attempts",
    "tried_at",
    "next_try_at",
    "sent_at",
    "broker_id",
    "failure_kind",
    "failure_reason",
    "failure_cure",
    "origin",
    "part",
)
_NOT_FOUND, _CONFLICT, _BAD_REQUEST = 404, 409, 400
_LARGEST = 2**63 - 1
_SET_ASIDE = Failure(FailureKind.OPERATOR, "parked by an administrator", "retry it, or withdraw it")
Number = Annotated[int, Path(ge=1, le=_LARGEST, description="The message's id.")]


@router.get("", response_model=MessagesModel, responses={**DESCRIBED, **refusals(406)})
def list_messages(
    *,
    request: Request,
    service: Parts,
    viewer: Admin,
    state: Annotated[MessageState | None, Query(description="Only those that are there.")] = None,
    destination: DestinationQuery = "",
    cursor: CursorQuery = "",
    limit: LimitQuery = 100,
    total: TotalQuery = False,
    kind: TableQuery = None,
) -> Response:
    """Messages, the latest first, a page at a time; or all of them as a file."""
    chosen = Selection(where(service, destination), (state,) if state else ())
    if is_csv(request, kind):
        refuse_useless(request, PAGED, "in a file, which has all messages that are selected")
        rows = map(shown, Messages(service.database).all(chosen))
        return long_csv_file(service, viewer, lines_of(_COLUMNS, rows), "messages")
    before = cursors.decode(cursor, _SORT, (int,))[0] if cursor else None
    found = Messages(service.database).page(chosen, before, limit + 1)
    more = cursors.encode(_SORT, [found[limit - 1].id]) if len(found) > limit else None
    return as_json(
        {
            "messages": [shown(entry) for entry in found[:limit]],
            "next": more,
            "total": Messages(service.database).count(chosen) if total else None,
        }
    )


@router.get("/destinations", response_model=DestinationsModel, responses=refusals())
def list_destinations(service: Parts, _viewer: Admin) -> Response:
    """Where messages go, and how delivery there stands."""
    found = Messages(service.database).destinations(names_of(service.settings))
    stands = standing_of(service.settings, service.database, service.clock()).destinations
    shown = [_destination(one, stands.get(one.alias)) for one in found]
    return as_json({"destinations": shown})


def where(service: Service, destination: str) -> str:
    """How messages name a destination; empty if none was asked for.

    Raises:
        Problem: the settings have none of that name.
    """
    if not destination:
        return ""
    try:
        return address_of(service.settings, destination)
    except SettingsError as exc:
        raise Problem(_BAD_REQUEST, exc.message, exc.cure) from exc


@router.get("/{number}", response_model=MessageModel, responses=refusals(404))
def get_message(service: Parts, _viewer: Admin, number: Number) -> Response:
    """One message."""
    return as_json(shown(_found(service, number)))


@router.get(
    "/{number}/records",
    response_model=TakenRecordsModel,
    responses={**DESCRIBED, **refusals(404, 406)},
)
def list_message_records(
    *,
    request: Request,
    service: Parts,
    viewer: Admin,
    number: Number,
    cursor: CursorQuery = "",
    limit: LimitQuery = 100,
    kind: TableQuery = None,
) -> Response:
    """A message's records by uid and month, a page at a time; or all of them as a file."""
    _found(service, number)
    messages = Messages(service.database)
    if is_csv(request, kind):
        refuse_useless(request, PAGED, "in a file, which has all records of the message")
        rows = map(_record, messages.all_records(number))
        lines = lines_of(tuple(TakenRecordModel.model_fields), rows)
        return long_csv_file(service, viewer, lines, f"records-of-message-{number}")
    after = RecordKey(*cursors.decode(cursor, _BY_KEY, (str, int, int))) if cursor else None
    found = messages.records(number, after, limit + 1)
    more = len(found) > limit
    last = found[limit - 1] if more else None
    return as_json(
        {
            "records": list(map(_record, found[:limit])),
            "next": cursors.encode(_BY_KEY, [last.uid, last.year, last.month]) if last else None,
        }
    )


def _record(one: Taken) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "month": str(Month(one.year, one.month)),
        "digest": one.digest,
        "is_latest": one.is_latest,
        "is_current": one.is_current,
    }


@router.get(
    "/{number}/body",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
        **refusals(404),
    },
)
def get_message_body(service: Parts, _viewer: Admin, number: Number) -> Response:
    """The exact text that a message carries; empty if it named a user who was forgotten."""
    _found(service, number)
    text = Messages(service.database).body(number)
    return Response(text, media_type="text/plain; charset=utf-8")


@router.post("/{number}/retry", response_model=MessageModel, responses=refusals(404, 409))
def retry_message(service: Parts, _viewer: Admin, number: Number) -> Response:
    """Send a parked or failed message with the next push, without further waiting."""
    return _changed(service, number, "retry")


@router.post("/{number}/park", response_model=MessageModel, responses=refusals(404, 409))
def park_message(service: Parts, _viewer: Admin, number: Number) -> Response:
    """Set a message aside: only what shares a notebook and month with it waits for it."""
    return _changed(service, number, "park")


@router.post("/{number}/withdraw", response_model=MessageModel, responses=refusals(404, 409))
def withdraw_message(service: Parts, _viewer: Admin, number: Number) -> Response:
    """Give a parked message up: its records are due again, with what they say then."""
    return _changed(service, number, "withdraw")


def change(service: Service, number: int, action: str) -> Entry:
    """Change a message; for the pages too.

    Raises:
        Problem: there is no such message, or its state does not allow it.
    """
    _found(service, number)
    outbox = Outbox(service.database)
    try:
        if action == "retry":
            outbox.retry(number)
        elif action == "park":
            outbox.park(number, _SET_ASIDE)
        else:
            outbox.withdraw(number)
    except DatabaseError:
        raise
    except AccountingError as exc:
        raise Problem(_CONFLICT, exc.message, "look at the message again") from exc
    return _found(service, number)


def _changed(service: Service, number: int, action: str) -> Response:
    return as_json(shown(change(service, number, action)))


def _found(service: Service, number: int) -> Entry:
    found = Messages(service.database).find(number)
    if found is None:
        raise Problem(_NOT_FOUND, "no message has this id", "look for it in the list of messages")
    return found


def shown(entry: Entry) -> dict[str, Any]:
    """A message as the API shows it."""
    return {**asdict(entry), "state": entry.state.value, "failure": _failure(entry.failure)}


def _failure(failure: Failure | None) -> dict[str, str] | None:
    if failure is None:
        return None
    return {"kind": failure.kind.value, "reason": failure.reason, "cure": failure.cure}


def _destination(found: Destination, stand: Outgoing | None) -> dict[str, Any]:
    return {
        "name": found.name,
        "alias": found.alias,
        "due": stand.due if stand else None,
        "differing": stand.differing if stand else None,
        "messages": {state.value: count for state, count in found.messages.items()},
        "oldest_at": found.oldest_at,
        "last_sent_at": found.last_sent_at,
        "next_try_at": found.next_try_at,
        "failure": _failure(found.failure),
        "stopped_at": found.stop.stopped_at if found.stop else None,
    }
