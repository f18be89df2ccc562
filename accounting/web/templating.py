"""Templates: what every page knows."""

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates


def _context(request: Request) -> dict[str, Any]:
    identity = getattr(request.state, "identity", None)
    session = identity.session if identity else None
    return {
        "home": f"{request.scope.get('root_path', '')}/",
        "nonce": request.state.csp_nonce,
        "viewer": identity.viewer if identity else None,
        "csrf_token": session.csrf_token if session else "",
        "hub_login": request.app.state.doors.hub is not None,
    }


templates = Jinja2Templates(
    directory=Path(__file__).parent / "templates", context_processors=[_context]
)
