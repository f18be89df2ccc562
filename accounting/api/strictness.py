"""What a request asks for beside what there is: refused, so that it does not mean something else.

A mistyped option would silently select more than was meant, and a body that nobody reads would do
so, too. Every endpoint of the API takes its options in the address, each once, and no body.
"""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from itertools import islice
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo

from accounting.guard.gate import CSRF_FIELD
from accounting.guard.problem import Problem

API = "/api/v1"
PAGED = ("cursor", "limit", "total")
"""What is asked of a list that is told a page at a time, and means nothing of a whole one."""
_BAD = 400
_SHOWN = 100
_MOST_TOLD = 5
"""To look for what was meant takes time, and an address holds thousands of options."""
_EMPTY = (b"", b"{}")


async def strict(request: Request) -> None:
    """What every endpoint of the API depends on.

    Raises:
        Problem: an option is not known, or given twice; or there is a body.
    """
    route = request.scope["route"]
    assert isinstance(route, APIRoute)  # noqa: S101 - this is a dependency of such only
    known = _parameters(route.dependant)
    if errors := list(islice(_misused(request, known), _MOST_TOLD)):
        names = ", ".join(sorted(known)) or "none"
        raise wrong(errors, f"the options here are: {names}")
    if not _is_nothing(await request.body()):
        raise Problem(
            _BAD,
            "a body is not read here",
            f"send no body, and options in the address; see {API}/openapi.json",
        )


def endpoints(tag: str, prefix: str = "") -> APIRouter:
    """A part of the API: below its prefix, strict, each operation named by its function.

    Args:
        tag: under which the description has them.
        prefix: of their addresses, below that of the API.
    """
    return APIRouter(
        prefix=API + prefix,
        tags=[tag],
        dependencies=[Depends(strict)],
        generate_unique_id_function=lambda route: route.name,
    )


def refuse_useless(request: Request, names: Collection[str], where: str) -> None:
    """Refuse options that are known, but mean nothing in a question.

    Args:
        request: the question.
        names: of the options.
        where: in what they mean nothing, such as "in a file".

    Raises:
        Problem: one of them is given.
    """
    errors = [
        _error(name, f"means nothing {where}") for name in request.query_params if name in names
    ]
    if errors:
        raise wrong(errors, "leave it out")


def require_order(since: int | None, until: int | None) -> None:
    """Refuse a span of time that ends before it begins.

    Raises:
        Problem: it does.
    """
    if since is not None and until is not None and since > until:
        raise wrong([_error("since", "is after until")], "exchange them")


def wrong(errors: list[dict[str, str]], cure: str = "") -> Problem:
    """The refusal of options.

    Args:
        errors: option and problem of each.
        cure: what to do about it.
    """
    said = "; ".join(f"{error['parameter']} {error['problem']}" for error in errors)
    cure = cure or f"see {API}/openapi.json for what may be asked"
    return Problem(_BAD, said, cure, errors=errors)


def _misused(request: Request, known: dict[str, FieldInfo]) -> Iterator[dict[str, str]]:
    given = request.query_params.multi_items()
    for name in dict.fromkeys(name for name, _ in given):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield _error(name, f"is not known{hint}")
        elif sum(one == name for one, _ in given) > 1 and not _takes_many(known[name]):
            yield _error(name, "is given more than once")


def _error(name: str, problem: str) -> dict[str, str]:
    return {"parameter": name[:_SHOWN], "problem": problem}


def _parameters(of: Dependant) -> dict[str, FieldInfo]:
    found = {parameter.alias: parameter.field_info for parameter in of.query_params}
    for one in of.dependencies:
        found |= _parameters(one)
    return found


def _takes_many(field: FieldInfo) -> bool:
    return getattr(field.annotation, "__origin__", None) is list


def _is_nothing(body: bytes) -> bool:
    """Whether a body asks for nothing: a form of our pages has their token (``guard.gate``)."""
    if body.strip() in _EMPTY:
        return True
    return set(parse_qs(body.decode("latin-1"), keep_blank_values=True)) == {CSRF_FIELD}
