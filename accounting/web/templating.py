"""Templates: what every page knows."""

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.templating import Jinja2Templates
from markupsafe import Markup

from accounting.model.energy import Emission
from accounting.web import assets
from accounting.web.navigation import entries
from accounting.web.views import figures


def _context(request: Request) -> dict[str, Any]:
    identity = getattr(request.state, "identity", None)
    viewer = identity.viewer if identity else None
    session = identity.session if identity else None
    doors = request.app.state.doors
    home = f"{request.scope.get('root_path', '')}/"
    return {
        "home": home,
        "asset": lambda name: f"{home}static/{name}?v={assets.version(name)}",
        # Who is not signed in may not load files: the page brings them along.
        "inline": lambda name: Markup(assets.text(name)),  # noqa: S704 - our own file
        "nonce": request.state.csp_nonce,
        "viewer": viewer,
        "navigation": entries(viewer, request.scope["path"].removeprefix(home.rstrip("/"))),
        "csrf_token": session.csrf_token if session else "",
        "is_narrowed": bool(identity and identity.is_narrowed),
        "own_address": doors.origin.address,
        "takes_tokens": doors.origin.is_apart(request),
        "hub_login": doors.hub is not None,
        "co2": Emission(request.app.state.service.settings.energy.grams_per_kwh).of,
    }


templates = Jinja2Templates(
    directory=Path(__file__).parent / "templates", context_processors=[_context]
)
templates.env.trim_blocks = True
templates.env.lstrip_blocks = True
templates.env.filters.update(
    {
        "change": figures.change,
        "count": figures.count,
        "figure": figures.number,
        "percent": figures.percent,
        "ago": figures.ago,
        "duration": figures.duration,
        "energy": figures.energy,
        "hours": figures.hours,
        "iso": figures.iso,
        "iso_day": lambda at: figures.iso(at)[:10],
        "memory": figures.memory,
        "memory_hours": figures.memory_hours,
        "moment": figures.moment,
        "month_name": figures.month_name,
        "name": figures.name,
        "sentence": figures.sentence,
        "size": figures.size,
    }
)


def load() -> None:
    """Compile all templates: without it, whoever first opens a page waits 0.1 s for its own."""
    for name in templates.env.list_templates():
        templates.env.get_template(name)
