"""A stand-in for EOSC's accounting system and the OIDC provider that it trusts.

It follows ARGOeu/argo-accounting (documentation, request classes, change log): metrics have ids of
the server's own, a second POST is a second metric, unknown fields are refused, nothing may end in
the future, and lists come in pages. It listens on this machine only, without TLS.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from accounting.simulation.judges.standin import Receiver, RefusedError, Standin

SCOPES = "openid email profile voperson_id entitlements"
_MUST = {"metric_definition_id", "time_period_start", "time_period_end", "value"}
_MAY = {"user_id", "group_id"}
_MOST_ON_A_PAGE = 100

Metric = dict[str, Any]
"""A metric's fields, its id and its installation."""


@dataclass
class Eosc(Receiver):
    """What the accounting system holds, and how it behaves.

    Attributes:
        installations, definitions: those that exist.
        client: (id, secret) of the only client.
        roles: what the client may do: ``add``, ``read``, ``change``.
        token_seconds: how long a token is good.
        now: Unix time.
        has_index: refuse a second metric of a definition and period, as servers before July 2024.
        metrics: by id, in the order in which they were made.
    """

    installations: Iterable[str] = ("site",)
    definitions: Iterable[str] = ("small-hours", "large-hours")
    client: tuple[str, str] = ("client", "the-clients-secret")
    roles: frozenset[str] = frozenset({"add", "read", "change"})
    token_seconds: float = 300.0
    now: Callable[[], float] = time.time
    has_index: bool = False
    metrics: dict[str, Metric] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)

    def hours(self) -> dict[tuple[str, str, str, str], float]:
        """(definition, user, group, day) → hours of all metrics, doubles added up."""
        found: dict[tuple[str, str, str, str], float] = {}
        for one in self.metrics.values():
            named = (str(one[name]) for name in ("metric_definition_id", "user_id", "group_id"))
            definition, user, group = named
            key = (definition, user, group, str(one["time_period_start"])[:10])
            found[key] = found.get(key, 0.0) + one["value"]
        return found

    def app(self) -> Starlette:
        """Answers as the provider and the accounting system do."""
        base = "/accounting-system/installations/{installation}/metrics"
        return Starlette(
            routes=[
                Route("/token", self._answer(self._give_token, "TOKEN"), methods=["POST"]),
                Route(base, self._answer(self._add), methods=["POST"]),
                Route(base, self._answer(self._list), methods=["GET"]),
                Route(base + "/{number}", self._answer(self._change), methods=["PATCH"]),
                Route(base + "/{number}", self._answer(self._remove), methods=["DELETE"]),
            ]
        )

    def _error(self, refused: RefusedError) -> Response:
        return JSONResponse({"code": refused.status, "message": refused.message}, refused.status)

    def _give_token(self, request: Request, body: bytes) -> Response:
        form = {name: value[0] for name, value in parse_qs(body.decode()).items()}
        shown = (form.get("client_id", ""), form.get("client_secret", ""))
        scheme, _, basic = request.headers.get("authorization", "").partition(" ")
        pair = base64.b64decode(basic).decode() if scheme == "Basic" else ""
        if shown != self.client or pair != ":".join(self.client):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        if set(form.get("scope", "").split()) != set(SCOPES.split()):
            return JSONResponse({"error": "invalid_scope"}, 400)
        token = secrets.token_urlsafe(24)
        self.tokens[token] = self.now() + self.token_seconds
        given = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}
        return JSONResponse(given)

    def _admit(self, request: Request, role: str) -> str:
        """The installation, if whoever asks may do that there."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.tokens.get(token, 0.0) <= self.now():
            raise RefusedError(401, "the token is missing or has expired")
        if role not in self.roles:
            raise RefusedError(403, "the authenticated client is not permitted to do that")
        installation = str(request.path_params["installation"])
        if installation not in self.installations:
            raise RefusedError(
                404, f"There is no Installation with the following id: {installation}"
            )
        return installation

    def _add(self, request: Request, body: bytes) -> Response:
        installation = self._admit(request, "add")
        said = _object(request, body, must=_MUST)
        self._require_true(said)
        key = [said[name] for name in sorted(_MUST - {"value"})]
        if self.has_index and any(
            [one[name] for name in sorted(_MUST - {"value"})] == key
            for one in self.metrics.values()
        ):
            raise RefusedError(409, "There is a Metric at this time period")
        number = secrets.token_hex(12)
        self.metrics[number] = {
            "metric_id": number,
            "installation": installation,
            **dict.fromkeys(_MAY, ""),
            **said,
        }
        return JSONResponse(self._shown(number), 201)

    def _require_true(self, said: Metric) -> None:
        if said["metric_definition_id"] not in self.definitions:
            raise RefusedError(404, "There is no Metric Definition with that id")
        start, end = (_moment(said[f"time_period_{name}"]) for name in ("start", "end"))
        if end <= start:
            raise RefusedError(400, "time_period_end must be after time_period_start")
        if end.timestamp() > self.now():
            raise RefusedError(400, "Timestamp cannot be in the future")
        if isinstance(said["value"], bool) or not isinstance(said["value"], int | float):
            raise RefusedError(400, "value is no number")

    def _list(self, request: Request, _body: bytes) -> Response:
        installation = self._admit(request, "read")
        asked = request.query_params
        page, size = int(asked.get("page", "1")), int(asked.get("size", "10"))
        if page < 1 or not 1 <= size <= _MOST_ON_A_PAGE:
            raise RefusedError(400, "page or size is out of bounds")
        first = date.fromisoformat(asked.get("start", "1970-01-01"))
        last = date.fromisoformat(asked.get("end", "9999-12-31"))
        definition = asked.get("metric-definition-id")
        found = [
            self._shown(number)
            for number, one in self.metrics.items()
            if one["installation"] == installation
            and definition in {None, one["metric_definition_id"]}
            and first <= _moment(one["time_period_start"]).date()
            and _moment(one["time_period_end"]).date() <= last
        ]
        content = found[(page - 1) * size : page * size]
        return JSONResponse(
            {
                "size_of_page": len(content),
                "number_of_page": page,
                "total_elements": len(found),
                "total_pages": max(1, -(-len(found) // size)),
                "content": content,
            }
        )

    def _change(self, request: Request, body: bytes) -> Response:
        number = self._metric(request)
        said = _object(request, body, must=set())
        self._require_true({**self.metrics[number], **said})
        self.metrics[number].update(said)
        return JSONResponse(self._shown(number))

    def _remove(self, request: Request, _body: bytes) -> Response:
        del self.metrics[self._metric(request)]
        return JSONResponse({"code": 200, "message": "Metric has been deleted successfully."})

    def _metric(self, request: Request) -> str:
        installation = self._admit(request, "change")
        number = str(request.path_params["number"])
        if self.metrics.get(number, {}).get("installation") != installation:
            raise RefusedError(404, f"There is no Metric with the following id: {number}")
        return number

    def _shown(self, number: str) -> Metric:
        """Without what is empty."""
        one = self.metrics[number]
        return {
            name: value for name, value in one.items() if value != "" and name != "installation"
        }


def _object(request: Request, body: bytes, must: set[str]) -> Metric:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise RefusedError(415, "The content type is not application/json")
    try:
        said: Any = json.loads(body)
    except ValueError as exc:
        raise RefusedError(400, "The request body is not JSON") from exc
    if not isinstance(said, dict) or not must <= set(said) <= _MUST | _MAY:
        raise RefusedError(400, "fields are missing or unknown")
    return dict(said)


def _moment(text: object) -> datetime:
    """RFC 3339 with Z."""
    try:
        return datetime.strptime(str(text), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as exc:
        raise RefusedError(400, "a time must be as yyyy-MM-ddTHH:mm:ssZ") from exc


class EoscStandin(Standin):
    """Serves an ``Eosc`` on a port of this machine.

    Args:
        eosc: what it holds; it outlives the server.
        port: which; 0 for any that is free.
    """

    def __init__(self, eosc: Eosc, port: int = 0) -> None:
        super().__init__(eosc.app(), port)
        self.eosc = eosc

    @property
    def token_url(self) -> str:
        """The provider's token endpoint."""
        return f"{self.url}/token"
