"""Style sheets, scripts and pictures: few and small, read once, kept by browsers for a year."""

import hashlib
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from accounting.guard.problem import Problem

router = APIRouter(include_in_schema=False)

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOLDER = Path(__file__).parent / "static"
_FILES = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _KINDS}
_VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _FILES.items()}
_KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}


def version(name: str) -> str:
    """Part of a file's address, so that a new version is loaded at once."""
    return _VERSIONS[name]


def text(name: str) -> str:
    """A file's text."""
    return _FILES[name].decode()


@router.get("/static/{name}")
def asset(name: str) -> Response:
    """One file."""
    if name not in _FILES:
        raise Problem(404, "there is no such file", "load the page again")
    return Response(_FILES[name], 200, _KEPT, _KINDS[Path(name).suffix])
