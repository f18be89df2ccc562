"""Who may look: people by the hub's login, programs by a token."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from itsdangerous import BadSignature, URLSafeTimedSerializer
from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError

from hub.program.settings import read_secret

_SESSION, _STATE = "notebooks-monitor-session", "notebooks-monitor-state"
_SESSION_SECONDS, _STATE_SECONDS = 8 * 3600, 600


class HubSilent(Exception):
    """The hub cannot say who somebody is."""


@dataclass(frozen=True)
class Doorkeeper:
    """Knows the hub's users and the probes' token.

    Attributes:
        hub: asks the hub; configured by the environment that the hub gives its services.
        prefix: the service's path, with slashes around it.
        token_file: the probes' token, read for each request so that it may be rotated.
    """

    hub: HubOAuth
    prefix: str
    token_file: Path | None = None
    # The key is new at each start: then visitors pass the hub's login once more, unasked.
    _signer: URLSafeTimedSerializer = field(
        default_factory=lambda: URLSafeTimedSerializer(secrets.token_bytes(32))
    )

    async def admits(self, request: Request) -> bool:
        """Whether the request bears the probes' token, or one of the hub's that may come here.

        Raises:
            HubSilent: the hub does not answer.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() in {"bearer", "token"} and token:
            return self._is_probes(token) or await self._may_come(token)
        session = self._opened(request.cookies.get(_SESSION, ""), "session", _SESSION_SECONDS)
        return session is not None and await self._may_come(str(session))

    def _is_probes(self, token: str) -> bool:
        if self.token_file is None:
            return False
        expected = read_secret(self.token_file, "token_file").encode()
        return hmac.compare_digest(token.encode("latin-1", "replace"), expected)

    async def _may_come(self, token: str) -> bool:
        try:
            found: dict[str, Any] | None = await self.hub.user_for_token(token, sync=False)
        except HTTPError as exc:
            raise HubSilent from exc
        return bool(found and self.hub.check_scopes(self.hub.access_scopes, found))

    def send_to_login(self) -> Response:
        """To the hub's login, with a state of its own (PKCE)."""
        state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "client_id": self.hub.oauth_client_id,
            "redirect_uri": self.hub.oauth_redirect_uri,
            "response_type": "code",
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        answer = RedirectResponse(f"{self.hub.oauth_authorization_url}?{urlencode(query)}", 303)
        self._seal(answer, _STATE, [state, verifier], "state", _STATE_SECONDS)
        return answer

    async def finish_login(self, request: Request) -> Response | None:
        """The hub sent somebody back: to the page, with a session; None: not as we asked.

        Raises:
            HubSilent: the hub does not answer.
        """
        sealed = self._opened(request.cookies.get(_STATE, ""), "state", _STATE_SECONDS)
        code, given = request.query_params.get("code"), request.query_params.get("state", "")
        if not sealed or not code or not hmac.compare_digest(sealed[0].encode(), given.encode()):
            return None
        try:
            token = await self.hub.token_for_code(code, code_verifier=sealed[1], sync=False)
        except HTTPError as exc:
            # The hub's word for a code that was used, or is too old (RFC 6749, section 5.2).
            if str(exc.log_message).endswith(": invalid_grant"):
                return None
            raise HubSilent from exc
        answer = RedirectResponse(self.prefix, 303)
        answer.delete_cookie(_STATE, path=self.prefix)
        self._seal(answer, _SESSION, token, "session", _SESSION_SECONDS)
        return answer

    def _seal(self, answer: Response, name: str, value: object, salt: str, seconds: int) -> None:
        answer.set_cookie(
            name,
            str(self._signer.dumps(value, salt=salt)),
            max_age=seconds,
            path=self.prefix,
            httponly=True,
            samesite="lax",
            secure=self.hub.oauth_redirect_uri.startswith("https:"),
        )

    def _opened(self, sealed: str, salt: str, seconds: int) -> Any:
        try:
            return self._signer.loads(sealed, max_age=seconds, salt=salt)
        except BadSignature:
            return None
