"""Refusals and failures in one shape: problem details (RFC 9457), with the cure beside the detail.

Browsers that open a page get a page instead; what renders it is handed in, so that this module
knows no templates.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
_PROGRAMS = ("/api/", "/metrics", "/healthz", "/readyz")
"""Paths that only programs ask for."""


class Problem(Exception):
    """A refusal or failure that the client is told.

    Args:
        status: the HTTP status.
        detail: what is the matter, one line, without secrets, paths or other people's names.
        cure: what to do about it.
        headers: to be sent with it.
        more: further members of the problem's object.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        cure: str,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail, cure)
        self.status = status
        self.detail = detail
        self.cure = cure
        self.headers = dict(headers or {})
        self.more = more

    @property
    def title(self) -> str:
        """The status in words."""
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return "Error"

    def body(self, instance: str) -> dict[str, Any]:
        """The problem's object.

        Args:
            instance: the path that was asked for.
        """
        return {
            "type": "about:blank",  # the status says all there is to the kind
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "cure": self.cure,
            "instance": instance,
            **self.more,
        }


ErrorPage = Callable[[Request, Problem], Response]
"""Renders a problem for a browser."""


def wants_page(request: Request) -> bool:
    """Whether a person's browser opens a page, as opposed to a program or a script."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return "text/html" in request.headers.get("accept", "") and not path.startswith(_PROGRAMS)


def answer(request: Request, problem: Problem) -> Response:
    """A problem as a page for browsers, as JSON for programs."""
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if page is not None and wants_page(request):
        response = page(request, problem)
    else:
        content = msgspec.json.encode(problem.body(request.scope["path"]))
        response = Response(content, problem.status, media_type=MEDIA_TYPE)
    response.headers.update(problem.headers)
    return response
