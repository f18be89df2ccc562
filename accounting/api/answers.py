"""How answers are written: JSON and entity tags."""

import hashlib
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from accounting.api.models import ProblemModel
from accounting.guard.problem import MEDIA_TYPE

_NOT_MODIFIED = 304
_WORDS = {
    400: "A parameter is wrong.",
    401: "No token, or not one that is known.",
    403: "This token may not.",
    404: "It is not there.",
    406: "None of the formats that are accepted can be written.",
    409: "Something else is under way.",
    413: "The request is too large.",
    429: "Too many failed logins.",
    503: "The service cannot answer now.",
}
_ALWAYS = (400, 401, 403, 413, 429, 503)


def refusals(*more: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint may answer beside what it is for, for OpenAPI."""
    return {
        status: {
            "description": _WORDS[status],
            "model": ProblemModel,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemModel"}}},
        }
        for status in sorted({*_ALWAYS, *more})
    }


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; encodes dictionaries and dataclasses."""
    content = msgspec.json.encode(value)
    return Response(content, status, headers, media_type="application/json")


def tag_of(*parts: Any) -> str:
    """An entity tag of what an answer depends on."""
    return f'"{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]}"'


def unchanged(request: Request, tag: str) -> Response | None:
    """The answer to one who has it already."""
    known = {
        part.strip().removeprefix("W/")
        for part in request.headers.get("if-none-match", "").split(",")
    }
    if tag in known or "*" in known:
        return Response(status_code=_NOT_MODIFIED, headers=tagged(tag))
    return None


def tagged(tag: str) -> dict[str, str]:
    """Headers of an answer that may be kept, but must be asked for again, by its reader only."""
    return {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
