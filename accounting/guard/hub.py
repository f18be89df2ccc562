"""JupyterHub's login: its tokens, its users and groups, and OAuth for browsers.

``jupyterhub.services.auth.HubOAuth`` asks the hub. All calls are asynchronous: a slow hub would
otherwise block every request. State and PKCE verifier are in a signed cookie of ours, because
HubOAuth's cookie works with tornado only.
"""

import asyncio
import base64
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlencode

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from accounting.config import PREFIX, Settings, read_secret
from accounting.config.service import HubSettings
from accounting.errors import SettingsError
from accounting.guard.problem import Problem
from accounting.guard.sessions import named
from accounting.store.engine.access import Right, Viewer

STATE_COOKIE = "accounting-login"
STATE_SECONDS = 600
_HUB_SECONDS = 10.0
_CACHED_SECONDS = 60
_UNAVAILABLE = 503
_FORBIDDEN = 403
_NO_ANSWER = (ValueError, LookupError, TypeError, AttributeError)
"""What comes of an answer that is none of a hub's, such as the page of a proxy in between."""


def prefix_of(settings: Settings) -> str:
    """The path that a proxy in front keeps, without a slash at its end."""
    return (settings.hub.prefix or os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")).rstrip("/")


def hub_of(settings: Settings) -> "Hub | None":
    """The hub's login, if there is one.

    Raises:
        SettingsError: it is wanted, but the extra ``login`` is missing, or the token is.
    """
    hub, token = settings.hub, ""
    # Notebooks have JUPYTERHUB_API_TOKEN, too; JUPYTERHUB_SERVICE_NAME is set for services only.
    if hub.api_token_file is not None:
        token = read_secret(hub.api_token_file, "hub.api_token_file").decode()
    elif os.environ.get("JUPYTERHUB_SERVICE_NAME"):
        token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not token:
        return None
    try:
        library = import_module("jupyterhub.services.auth")
    except ImportError as exc:
        raise SettingsError(
            "the hub's login is set, but JupyterHub's package is not installed",
            f"install notebooks-accounting[login], or unset {PREFIX}HUB__API_TOKEN_FILE",
        ) from exc
    return Hub(library.HubOAuth(**_traits(settings, token)), hub)


def _traits(settings: Settings, token: str) -> dict[str, Any]:
    """HubOAuth's options; it reads those that are left out from the hub's variables."""
    hub, prefix = settings.hub, prefix_of(settings)
    traits: dict[str, Any] = {
        "api_token": token,
        "base_url": f"{prefix}/",
        "cache_max_age": _CACHED_SECONDS,
    }
    if hub.api_url:
        traits["api_url"] = hub.api_url
    if not os.environ.get("JUPYTERHUB_CLIENT_ID"):
        traits["oauth_client_id"] = f"service-{hub.service}"
    if not os.environ.get("JUPYTERHUB_SERVICE_NAME"):
        traits["access_scopes"] = {f"access:services!service={hub.service}"}
    if hub.callback_url:
        traits["oauth_redirect_uri"] = hub.callback_url
    if hub.public_url:
        traits["oauth_authorization_url"] = f"{hub.public_url}/api/oauth2/authorize"
    return traits


@dataclass(frozen=True)
class Ticket:
    """A login that has begun.

    Attributes:
        address: where the browser goes to log in.
        cookie: what it brings back with it.
    """

    address: str
    cookie: str


class Hub:
    """Asks the hub who somebody is.

    Args:
        auth: a ``HubOAuth``.
        settings: who may see what.
    """

    def __init__(self, auth: Any, settings: HubSettings) -> None:
        self._auth = auth
        self._settings = settings
        # A new key at each start: a login that a restart interrupts begins again.
        self._signer = URLSafeTimedSerializer(secrets.token_bytes(32), salt="login")

    async def viewer(self, token: str, session_id: str = "") -> Viewer | None:
        """Whose token it is; None if it is nobody's.

        Args:
            token: the hub's token of a user or service.
            session_id: the browser's session with the hub: a logout there counts here too.

        Raises:
            Problem: the hub does not answer, or the token's owner may not use this service.
        """
        asked = self._auth.user_for_token(token, session_id=session_id, sync=False)
        model = await self._answered(asked)
        if model is None:
            return None
        try:
            may_come = self._auth.check_scopes(self._auth.access_scopes, model)
            viewer = viewer_of(model, self._settings)
        except _NO_ANSWER as exc:
            raise _silent() from exc
        if not may_come:
            raise Problem(
                _FORBIDDEN,
                "this token does not reach the accounting service",
                f"the hub must grant access:services!service={self._settings.service}",
            )
        return viewer

    def begin(self, following: str) -> Ticket:
        """Begin a login in the browser.

        Args:
            following: the path to go to afterwards.
        """
        verifier = secrets.token_urlsafe(48)
        state = secrets.token_urlsafe(24)
        query = {
            "client_id": self._auth.oauth_client_id,
            "redirect_uri": self._auth.oauth_redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        cookie = self._signer.dumps([state, verifier, following])
        return Ticket(f"{self._auth.oauth_authorization_url}?{urlencode(query)}", str(cookie))

    async def finish(self, request: Request) -> tuple[str, str]:
        """The hub's token, and the path to go to, when the browser comes back.

        Raises:
            Problem: it is not a login that was begun here, or the hub refused it.
        """
        begun = self._begun(request.cookies.get(named(request, STATE_COOKIE), ""))
        query = request.query_params
        if begun is None or not secrets.compare_digest(
            begun[0].encode(), query.get("state", "").encode()
        ):
            raise Problem(
                _FORBIDDEN,
                "this login was not begun here, or too long ago",
                "open the page again, and let the browser keep cookies",
            )
        if "code" not in query:
            raise Problem(_FORBIDDEN, "the hub did not let you in", "ask the hub's operator")
        _, verifier, following = begun
        asked = self._auth.token_for_code(query["code"], code_verifier=verifier, sync=False)
        try:
            return str(await self._answered(asked)), following
        except Problem as exc:
            if not _is_refused(exc.__cause__):
                raise
            raise Problem(
                _FORBIDDEN,
                "the hub does not know this login's code: it was used already, or is too old",
                "open the page again: the login begins anew",
            ) from exc

    def _begun(self, cookie: str) -> tuple[str, str, str] | None:
        try:
            state, verifier, following = self._signer.loads(cookie, max_age=STATE_SECONDS)
        except (BadSignature, ValueError):
            return None
        return state, verifier, following

    async def _answered(self, asked: Any) -> Any:
        from tornado.web import HTTPError  # noqa: PLC0415 - comes with JupyterHub

        try:
            async with asyncio.timeout(_HUB_SECONDS):
                return await asked
        except (HTTPError, TimeoutError, *_NO_ANSWER) as exc:
            raise _silent() from exc


def _silent() -> Problem:
    return Problem(
        _UNAVAILABLE,
        "the hub does not tell who you are",
        "try again soon; the service's log says more",
        {"Retry-After": "10"},
    )


def _is_refused(cause: BaseException | None) -> bool:
    """Whether the hub refused a login's code (RFC 6749, section 5.2).

    HubOAuth raises the same for every refusal; only its text ends in the hub's word.
    """
    return str(getattr(cause, "log_message", "")).endswith(": invalid_grant")


def _challenge(verifier: str) -> str:
    """PKCE, S256 (RFC 7636)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def viewer_of(model: Mapping[str, Any], settings: HubSettings) -> Viewer:
    """What the hub says about a user or service → what they may see.

    For a token without the scope ``read:users:groups`` the hub tells no groups: its user then sees
    their own usage only.
    """
    groups = frozenset(model.get("groups") or ())
    is_admin = bool(model.get("admin")) or bool(groups & settings.admin_groups)
    is_person = model.get("kind", "user") == "user"
    return Viewer(
        name=model["name"],
        rights=frozenset(Right) if is_admin else frozenset({Right.READ}),
        is_admin=is_admin,
        vos=managed(groups, settings.manager_group),
        user=model["name"] if is_person else "",
    )


def managed(groups: frozenset[str], pattern: str) -> frozenset[str]:
    """The VOs that members of these groups manage."""
    if not pattern:
        return frozenset()
    matches = (re.fullmatch(pattern, group) for group in groups)
    return frozenset(match["vo"] for match in matches if match and match["vo"])
