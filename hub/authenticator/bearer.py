"""Programs that hold an access token of the provider log in with it, without a browser."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from jupyterhub.handlers import BaseHandler
from jupyterhub.user import User
from tornado.web import RequestHandler
from traitlets import Bool, Integer, List, Unicode, default

from hub.authenticator.handlers import RevokeHandler, TokenLoginHandler
from hub.authenticator.provider import AuthModel, subject_of
from hub.authenticator.session import SessionAuthenticator
from hub.oidc import claims
from hub.oidc.errors import InvalidToken, OIDCError, Refused, Unavailable
from hub.oidc.tokens import Keys, check_audience, check_introspection, verified

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name of RFC 8693
_REFRESH_TOKEN = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105 - the same
_SERVICE = "service_claims"


@dataclass(frozen=True, slots=True)
class BearerLogin:
    """A verified access token; only `BearerAuthenticator.bearer` makes one.

    A type of its own, so that the fields of a login form cannot pass for a verified token.
    """

    token: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)


class BearerAuthenticator(SessionAuthenticator):
    """Takes access tokens at `/hub/jwt_login`, and revokes users' own at `/hub/token_revoke`."""

    jwt_clients = List(
        Unicode(),
        help="""Clients whose access tokens may log in (`azp`); our own `client_id` by default.

        Everybody with a token of such a client can use the hub as that token's user.
        """,
    ).tag(config=True)

    jwt_audiences = List(
        Unicode(),
        help="""Audiences whose tokens may log in (`aud`); our own `client_id` by default.""",
    ).tag(config=True)

    jwt_token_scopes = List(
        Unicode(),
        ["access:servers!user", "read:users!user", "servers!user"],
        help="""What the Hub API token of a program may do: by default start, use and stop the
        user's own servers, and read the user's own model.
        """,
    ).tag(config=True)

    jwt_token_seconds = Integer(
        3600,
        help="""How long the Hub API token of a program holds, at most.

        Without a refresh token it ends with the access token that it was given for.
        """,
    ).tag(config=True)

    jwt_exchange = Bool(
        default_value=False,
        help="""Exchange a program's access token for a refresh token (RFC 8693).

        The user's servers then have fresh tokens for as long as they run. The provider must allow
        it to our client.
        """,
    ).tag(config=True)

    revoke_scope = Unicode(
        "custom:token-acquirer:read",
        help="""The scope that a Hub token or a user needs to have access tokens replaced.""",
    ).tag(config=True)

    @default("jwt_clients")
    def _jwt_clients_default(self) -> list[str]:
        return [self.client_id] if self.client_id else []

    @default("jwt_audiences")
    def _jwt_audiences_default(self) -> list[str]:
        return [self.client_id] if self.client_id else []

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._keys = Keys(self._keys_url, self.ask)

    async def _keys_url(self) -> str:
        await self.discover()
        return str(self.jwks_url)

    def get_handlers(self, app: Any) -> list[tuple[str, type[RequestHandler]]]:
        """Oauthenticator's pages and ours."""
        return [
            *super().get_handlers(app),
            (r"/jwt_login", TokenLoginHandler),
            (r"/token_revoke", RevokeHandler),
        ]

    async def bearer(self, token: str) -> BearerLogin:
        """Verify an access token: signature, issuer, audience, times, and that it is active.

        Raises:
            InvalidToken: The token must not be accepted.
            Unavailable: The token cannot be checked now.
        """
        await self.discover()
        signed = await verified(token, self._keys, self.issuer.rstrip("/"))
        check_audience(signed, self.jwt_audiences, self.jwt_clients)
        check_introspection(signed, await self._introspected(token))
        return BearerLogin(token, signed)

    async def _introspected(self, token: str) -> dict[str, Any]:
        if not self.introspect_url:
            raise Unavailable("the provider has no introspection endpoint: set introspect_url")
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            return await self.ask_as_client(self.introspect_url, "introspection", form)
        except Refused as exc:  # the hub's own credentials, not the token
            raise Unavailable(f"the hub may not introspect tokens: {exc}") from exc

    async def identify(self, handler: BaseHandler, data: Any, **kwargs: Any) -> AuthModel | None:
        """A login by the browser, or by `BearerLogin`."""
        if not isinstance(data, BearerLogin):
            return await super().identify(handler, data, **kwargs)
        info = await self._token_info(data)
        model = cast("AuthModel", await self._token_to_auth_model(info))
        user = handler.find_user(self.normalize_username(model["name"]))
        return (user and await self._session(user, handler)) or model

    async def _session(self, user: User, handler: BaseHandler) -> AuthModel | None:
        """The auth_model of the session that the user has already, if it is still valid.

        That session may have more scopes than a program's token. Its refresh token must survive
        a program's login.
        """
        state = await user.get_auth_state()
        if not state or not state.get("refresh_token"):
            return None
        confirmed = await self.refresh_user(user, handler)
        if isinstance(confirmed, dict):
            return {**confirmed, "name": user.name}
        if not confirmed:
            return None
        state = await user.get_auth_state()  # the refresh may have renewed it
        groups = sorted(group.name for group in user.groups)
        return {"name": user.name, "admin": None, "groups": groups, "auth_state": state}

    async def _token_info(self, login: BearerLogin) -> dict[str, Any]:
        info = {
            "access_token": login.token,
            "token_type": "Bearer",
            "scope": login.claims.get("scope", ""),
            "expires_at": login.claims["exp"],
        }
        if claims.is_service(login.claims):
            names = ("sub", "client_id", "azp", self.servicename_claim)
            return {**info, _SERVICE: {n: login.claims[n] for n in names if n in login.claims}}
        return {**info, **await self._exchanged(login)} if self.jwt_exchange else info

    async def _exchanged(self, login: BearerLogin) -> dict[str, Any]:
        """Exchange a program's access token for a refresh token; empty if there is none.

        The new token comes in `access_token`, whatever its type (RFC 8693, 2.2.1). Some providers
        send an access token there, and a `refresh_token` beside it, or the `refresh_token` alone.
        """
        form = {
            "grant_type": _EXCHANGE,
            "subject_token": login.token,
            "subject_token_type": _ACCESS_TOKEN,
            "requested_token_type": _REFRESH_TOKEN,
            "scope": " ".join(self.scope),
        }
        try:
            answer = await self.ask_as_client(self.token_url, "exchange", form)
            subject = subject_of(answer.get("id_token"))
        except OIDCError as exc:
            self.log.warning("A program logs in without a refresh token: %s", exc)
            return {}
        if subject and subject != login.claims.get("sub"):
            self.log.warning("The provider exchanged a token for somebody else's")
            return {}
        refresh_token = answer.get("refresh_token")
        if not refresh_token and answer.get("issued_token_type") != _ACCESS_TOKEN:
            refresh_token = answer.get("access_token")
        if not refresh_token or not isinstance(refresh_token, str):
            self.log.warning("The provider exchanged a token, but not for a refresh token")
            return {}
        kept = {"refresh_token": refresh_token, "id_token": answer.get("id_token")}
        return {name: value for name, value in kept.items() if value}

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of a user, or of a program that has no user and so no userinfo."""
        service: Mapping[str, Any] | None = token_info.get(_SERVICE)
        if service is None:
            return await super().token_to_user(token_info)
        answer = await self._introspected(token_info["access_token"])
        try:
            check_introspection(service, answer)
        except InvalidToken as exc:
            raise Refused(str(exc)) from exc
        return {"client_id": service.get("azp"), **service}

    def token_seconds(self, login: BearerLogin, state: Mapping[str, Any] | None) -> int:
        """How long a Hub API token for this login holds, in seconds."""
        if state and state.get("refresh_token"):
            return int(self.jwt_token_seconds)
        return max(1, min(self.jwt_token_seconds, int(login.claims["exp"] - time.time())))
