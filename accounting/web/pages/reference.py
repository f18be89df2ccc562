"""``/docs``: the API's description as a page, from its own OpenAPI; nothing is loaded for it."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup, escape
from starlette.responses import Response

from accounting.api.dependencies import identity_of
from accounting.web.templating import templates

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def reference(request: Request) -> Response:
    """What may be asked, and what is answered."""
    identity_of(request)
    described = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = described["components"]["schemas"]
    kind = partial(kind_of, schemas=schemas)
    models = {
        name: [_field(field, known, kind) for field, known in model.get("properties", {}).items()]
        for name, model in schemas.items()
        if model.get("type") == "object"
    }
    context = {"info": described["info"], "operations": operations, "models": models}
    shown = {"kind": kind, "prose": prose}
    return templates.TemplateResponse(request, "reference.html", {**context, **shown})


def _field(
    name: str, known: dict[str, Any], kind: Callable[[dict[str, Any]], str]
) -> dict[str, Any]:
    examples = known.get("examples") or [None]
    return {
        "name": name,
        "kind": kind(known),
        "says": known.get("description", ""),
        "example": examples[0],
    }


def prose(text: str) -> Markup:
    """A description, its code between backticks shown as such."""
    pieces = re.split(r"`{1,2}([^`]+)`{1,2}", text)
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )


def kind_of(known: dict[str, Any], schemas: Mapping[str, dict[str, Any]]) -> str:
    """A schema in a few words; a named one by its name, or by its values if it lists them."""
    if "$ref" in known:
        name = str(known["$ref"]).rpartition("/")[2]
        return kind_of(schemas[name], schemas) if "enum" in schemas.get(name, {}) else name
    if "enum" in known:
        return " | ".join(map(str, known["enum"]))
    if "anyOf" in known:
        return " or ".join(kind_of(one, schemas) for one in known["anyOf"])
    if known.get("type") == "array":
        return f"list of {kind_of(known.get('items', {}), schemas)}"
    return str(known.get("type", "any"))
