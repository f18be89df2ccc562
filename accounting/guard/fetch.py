"""Which of a browser's requests may carry its session: what Fetch Metadata says of them.

https://www.w3.org/TR/fetch-metadata/: browsers tell with every request to https, or to this
machine, which kind of page asks (``Sec-Fetch-Site``), how (``-Mode``) and for what (``-Dest``).
Scripts cannot set these headers.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from accounting.guard.problem import Problem
from accounting.guard.sessions import Session

CSRF_HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_READS = frozenset({"GET", "HEAD"})
_STATIC = "/static/"
# A link with the attribute "download" navigates to no document.
_WINDOWS = frozenset({"document", "empty"})
_FORBIDDEN = 403


def require_own_page(request: Request, session: Session) -> None:
    """Accept a browser's cookie only if a person opens a page, or one of our pages asks.

    Opening a page in a window is no action, and shows nothing to the page that led there. Frames
    and prefetches are refused. Actions and scripts must repeat what only our own pages know.

    Raises:
        Problem: this request may not carry a session.
    """
    said = [request.headers.get(f"sec-fetch-{name}") for name in ("site", "mode", "dest")]
    if None in said:
        raise Problem(
            _FORBIDDEN,
            "the browser does not tell where this request comes from",
            "open the pages over https with a current browser; programs send a token",
        )
    site, mode, dest = said
    is_ahead = "sec-purpose" in request.headers or "service-worker" in request.headers
    is_window = mode == "navigate" and dest in _WINDOWS
    if not is_ahead and request.method in _READS:
        if is_window:
            return
        if site == "same-origin" and mode != "navigate" and _is_static(request):
            return
    is_framed = mode == "navigate" and not is_window
    shown = request.headers.get(CSRF_HEADER) or request.state.csrf_token
    is_ours = site == "same-origin" and not is_framed and not _is_foreign(request)
    if is_ahead or not is_ours or not session.is_own(shown):
        raise Problem(
            _FORBIDDEN,
            "this action does not come from a page of this service",
            "load the page again, and repeat the action there",
        )


def _is_static(request: Request) -> bool:
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return bool(path.startswith(_STATIC))


def _is_foreign(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
