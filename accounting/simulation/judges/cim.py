"""A stand-in for GreenDIGIT's CIM: its tokens, what publishers submit, and how they read it back.

It follows the CIM pipeline's ``login_server`` (2026-06-30): a submission is stored as it is, as one
document, and nothing is de-duplicated; documents are found by keys and values anywhere in them, and
by times. It listens on this machine only, without TLS.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from accounting.simulation.judges.standin import Receiver, RefusedError, Standin

BASE = "/gd-cim-api/v1"
_MOST = 500
_TIMES = frozenset({"timestamp", "Timestamp", "EndExecTime", "StartExecTime", "SubmissionTime"})

Document = dict[str, Any]


@dataclass
class Cim(Receiver):
    """What the CIM holds, and how it behaves.

    Attributes:
        publisher: (e-mail address, password) of the only publisher.
        may_publish: it has the role.
        token_seconds: how long a token is good.
        most_bytes: of a request's body; the proxy before the CIM refuses more.
        now: Unix time.
        documents: what was submitted, the oldest first.
    """

    publisher: tuple[str, str] = ("site@example.org", "the-publishers-password")
    may_publish: bool = True
    token_seconds: float = 86400.0
    most_bytes: int = 2**20
    now: Callable[[], float] = time.time
    documents: list[Document] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)

    @property
    def events(self) -> list[dict[str, Any]]:
        """All records of all documents, doubles too."""
        bodies = (one["body"] for one in self.documents)
        return [event for body in bodies for event in (body if isinstance(body, list) else [body])]

    def watt_hours(self) -> dict[tuple[str, str], float]:
        """(pod, start) → Wh of all records, doubles added up."""
        found: dict[tuple[str, str], float] = {}
        for one in self.events:
            key = (one["ExecUnitID"], one["StartExecTime"])
            found[key] = found.get(key, 0.0) + one["EnergyWh"]
        return found

    def app(self) -> Starlette:
        """Answers as the CIM does."""
        routes = (
            ("/token", "GET", self._token, "TOKEN"),
            ("/submit", "POST", self._submit, "POST"),
            ("/submit-cim", "POST", self._gone, "POST"),
            ("/cim-records", "GET", self._records, "GET"),
            ("/cim-records/count", "GET", self._count, "GET"),
        )
        return Starlette(
            routes=[
                Route(BASE + path, self._answer(work, name), methods=[method])
                for path, method, work, name in routes
            ]
        )

    def _error(self, refused: RefusedError) -> Response:
        return JSONResponse({"detail": refused.message}, refused.status)

    def _token(self, request: Request, _body: bytes) -> Any:
        email, password = self.publisher
        shown = request.query_params
        if "email" not in shown or "password" not in shown:
            raise RefusedError(422, "Field required")
        if shown["email"].strip().lower() != email:
            raise RefusedError(403, "Email not allowed.")
        if shown["password"] != password:
            raise RefusedError(400, "Incorrect password.")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = self.now() + self.token_seconds
        lasts = int(self.token_seconds)
        return {"access_token": token, "token_type": "bearer", "expires_in": lasts}

    def _admit(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or self.tokens.get(token, 0.0) <= self.now():
            raise RefusedError(401, "Invalid token")

    def _submit(self, request: Request, body: bytes) -> Any:
        if len(body) > self.most_bytes:
            raise RefusedError(413, "Request Entity Too Large")
        self._admit(request)
        if not self.may_publish:
            raise RefusedError(403, "Missing required role: publish")
        try:
            said = json.loads(body)
        except ValueError as exc:
            raise RefusedError(500, "JSONDecodeError") from exc  # as its middleware answers
        number = secrets.token_hex(12)
        at = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="microseconds")
        document = {"_id": number, "publisher_email": self.publisher[0], "timestamp": at}
        self.documents.append({**document, "body": said})
        return {"stored": {"ok": True, "inserted_id": number}}

    def _gone(self, _request: Request, _body: bytes) -> Any:
        raise RefusedError(410, "POST /v1/submit-cim is disabled.")

    def _records(self, request: Request, _body: bytes) -> Any:
        found = self._found(request)
        asked = request.query_params
        limit = min(int(asked.get("limit", _MOST)), _MOST)
        page = asked.get("page")
        offset = (int(page) - 1) * limit if page else int(asked.get("offset", 0))
        part = found[offset : offset + limit]
        return {"ok": True, "limit": limit, "returned": len(part), "records": part}

    def _count(self, request: Request, _body: bytes) -> Any:
        return {"ok": True, "count": len(self._found(request))}

    def _found(self, request: Request) -> list[Document]:
        """The newest first."""
        self._admit(request)
        asked = request.query_params
        start, end = asked.get("start"), asked.get("end")
        if (start is None) != (end is None):
            raise RefusedError(400, "Provide both start and end, or neither")
        filters = [one.partition("=")[::2] for one in asked.getlist("filter_key")]
        return [
            one
            for one in reversed(self.documents)
            if all(_has(one, key, value) for key, value in filters)
            and (start is None or _is_within(one, _moment(start), _moment(str(end))))
        ]


def _values(node: Any) -> list[tuple[str, Any]]:
    """All keys with their values, however deep."""
    if isinstance(node, dict):
        return [pair for key, value in node.items() for pair in ((key, value), *_values(value))]
    return [pair for one in node for pair in _values(one)] if isinstance(node, list) else []


def _has(document: Document, key: str, value: str) -> bool:
    wanted = key.strip().lower(), value.strip().lower()
    return any((str(k).lower(), str(v).lower()) == wanted for k, v in _values(document))


def _is_within(document: Document, start: datetime, end: datetime) -> bool:
    times = [str(value) for key, value in _values(document) if key in _TIMES]
    return any(start <= _moment(at) <= end for at in times)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


class CimStandin(Standin):
    """Serves a ``Cim`` on a port of this machine.

    Args:
        cim: what it holds; it outlives the server.
        port: which; 0 for any that is free.
    """

    def __init__(self, cim: Cim, port: int = 0) -> None:
        super().__init__(cim.app(), port)
        self.cim = cim

    @property
    def base(self) -> str:
        """The API's address."""
        return self.url + BASE
