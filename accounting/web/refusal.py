"""What a browser is shown instead of a page: the sign-in form, or what is the matter."""

from fastapi import Request
from starlette.responses import Response

from accounting.guard.problem import Problem
from accounting.web.templating import templates

_UNAUTHORIZED = 401


def error_page(request: Request, problem: Problem) -> Response:
    """A problem as a page; where nobody is signed in, with the form to do so."""
    name = "signin.html" if problem.status == _UNAUTHORIZED else "error.html"
    following = request.scope["path"] if request.method == "GET" else ""
    context = {"problem": problem, "following": following}
    return templates.TemplateResponse(request, name, context, problem.status)
