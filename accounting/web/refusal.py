"""What a browser is shown instead of a page: the sign-in form, or what is the matter."""

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from accounting.guard.problem import Problem
from accounting.web.templating import templates

_UNAUTHORIZED = 401
_HEADINGS = {
    400: "That cannot be asked",
    403: "This is not open to you",
    404: "There is nothing here",
    409: "Not now",
    413: "That was too much",
    429: "Too many tries",
    500: "Something went wrong here",
    503: "The service cannot answer now",
}
_MAY_PASS = frozenset({429, 500, 503})


def error_page(request: Request, problem: Problem) -> Response:
    """A problem as a page; where nobody is signed in, with the form to do so."""
    name = "signin.html" if problem.status == _UNAUTHORIZED else "error.html"
    address = _address(request) if request.method == "GET" else ""
    context = {
        "problem": problem,
        "following": address,
        "heading": _HEADINGS.get(problem.status, problem.title),
        "again": address if problem.status in _MAY_PASS else "",
    }
    return templates.TemplateResponse(request, name, context, problem.status)


def _address(request: Request) -> str:
    """What was asked for, as a link that leads nowhere else."""
    path = quote(request.scope["path"])
    query = request.url.query
    return "" if path.startswith("//") else path + (f"?{query}" if query else "")
