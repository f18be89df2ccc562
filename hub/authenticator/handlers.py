"""The pages and API endpoints that the authenticators add to the Hub."""

import json
from typing import Any, cast

from jupyterhub.apihandlers import APIHandler
from oauthenticator.oauth2 import (
    OAuthCallbackHandler,
    OAuthLoginHandler,
    _deserialize_state,
    _serialize_state,
)
from tornado import web

from hub.oidc.errors import InvalidToken, NothingRevoked, NotRevoked, OIDCError, Unavailable

_PARAMETERS = "login_parameters"


class LoginHandler(OAuthLoginHandler):  # type: ignore[misc]
    """Redirects the visitor to the provider's current login page."""

    async def get(self) -> None:
        """Redirect; 503 as long as the provider's endpoints are not known."""
        try:
            await self.authenticator.discover()
        except Unavailable as exc:
            self.log.warning("Nobody can log in: %s", exc)
            service = self.authenticator.login_service
            raise web.HTTPError(503, f"{service} does not answer. Try again in a minute.") from exc
        super().get()

    def set_state_cookie(self, state_cookie_value: str) -> None:
        """Keep the login page's parameters with this visitor's OAuth state."""
        state = _deserialize_state(state_cookie_value)
        state[_PARAMETERS] = {
            name: self.get_argument(name)
            for name in self.authenticator.login_parameters
            if self.get_argument(name, None) is not None
        }
        super().set_state_cookie(_serialize_state(state))


class CallbackHandler(OAuthCallbackHandler):  # type: ignore[misc]
    """Takes the visitor who comes back from the provider."""

    def login_parameters(self) -> dict[str, str]:
        """The parameters of the login page that this visitor opened."""
        state = _deserialize_state(self.get_state_cookie())
        return cast("dict[str, str]", state.get(_PARAMETERS) or {})


class TokenLoginHandler(APIHandler):  # type: ignore[misc]
    """`/hub/jwt_login`: a Hub API token for a provider's access token."""

    _accept_cookie_auth = False

    def check_xsrf_cookie(self) -> None:
        """No cookie opens this page, and it sets none: there is nothing to forge."""

    async def get(self) -> None:
        """The token is in the header `Authorization: Bearer …`."""
        await self._login(self._bearer())

    async def post(self) -> None:
        """The token is in the header, or in the form's `access_token`."""
        await self._login(self._bearer() or self.get_body_argument("access_token", None))

    def _bearer(self) -> str | None:
        kind, _, token = self.request.headers.get("Authorization", "").partition(" ")
        return token.strip() or None if kind.lower() == "bearer" else None

    async def _login(self, token: str | None) -> None:
        if not token:
            raise _refusal(
                401,
                "An access token is needed: Authorization: Bearer …, or access_token in a form",
                {"WWW-Authenticate": "Bearer"},
            )
        authenticator = self.authenticator
        try:
            login = await authenticator.bearer(token)
        except InvalidToken as exc:
            raise _refusal(
                401,
                f"This access token is not accepted: {exc}",
                {"WWW-Authenticate": 'Bearer error="invalid_token"'},
            ) from exc
        except OIDCError as exc:
            self.log.warning("Access tokens cannot be checked: %s", exc)
            raise _refusal(
                503,
                f"{authenticator.login_service} does not answer. Try again later.",
                {"Retry-After": "30"},
            ) from exc
        model = await self.authenticate(login)
        if not model:
            raise web.HTTPError(403, authenticator.custom_403_message)
        user = await self.auth_to_user(model)
        await self._answer(user, authenticator.token_seconds(login, model["auth_state"]))

    async def _answer(self, user: Any, seconds: int) -> None:
        scopes = list(self.authenticator.jwt_token_scopes)
        token = user.new_api_token(
            note="Login with an access token", expires_in=seconds, scopes=scopes
        )
        self.set_header("Cache-Control", "no-store")
        self.finish(
            json.dumps({"token": token, "user": user.name, "scopes": scopes, "expires_in": seconds})
        )


class RevokeHandler(APIHandler):  # type: ignore[misc]
    """`/hub/token_revoke`: gives the calling user fresh tokens and revokes the old one."""

    async def post(self) -> None:
        """200 when it is done; 403 without the scope; 502 or 503 when it is not, and why."""
        authenticator = self.authenticator
        user = self.current_user
        if user is None or getattr(user, "kind", "user") != "user":
            raise web.HTTPError(403, "Only a user has access tokens to replace")
        if not self.has_scope(authenticator.revoke_scope):
            raise web.HTTPError(403, f"This needs the scope {authenticator.revoke_scope}")
        try:
            await authenticator.replace_tokens(user)
        except NothingRevoked as exc:
            self.log.warning("No fresh tokens for user %s: %s", user.id, exc)
            raise web.HTTPError(
                503, "Nothing was revoked: there is no fresh token. Log in again, then retry."
            ) from exc
        except NotRevoked as exc:
            self.log.warning("An old token of user %s is not revoked: %s", user.id, exc)
            raise web.HTTPError(
                502, "There is a fresh token, but the provider did not revoke the old one."
            ) from exc
        self.finish(json.dumps({"revoked": True}))


def _refusal(status: int, message: str, headers: dict[str, str]) -> web.HTTPError:
    """An error with headers for the response: they tell a program what to do."""
    error: Any = web.HTTPError(status, message)
    error.headers = headers
    return cast("web.HTTPError", error)
