"""Login at an OpenID Connect provider that is found by its issuer."""

import json
import time
from collections.abc import Mapping
from typing import Any, ClassVar, cast
from urllib.parse import urlencode

import jwt
from jupyterhub.handlers import BaseHandler
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthenticator
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPResponse
from traitlets import Bool, Float, List, TraitError, Unicode, default, validate

from hub.authenticator.handlers import CallbackHandler, LoginHandler
from hub.oidc import claims
from hub.oidc.discovery import Discovery
from hub.oidc.errors import OIDCError, Refused, Unavailable

AuthModel = dict[str, Any]
AuthState = dict[str, Any]

MOST_CONNECTIONS = 64  # tornado's default of 10 makes a queue at a slow provider

_ENDPOINTS = {
    "authorize_url": "authorization",
    "token_url": "token",
    "userdata_url": "userinfo",
    "introspect_url": "introspection",
    "revoke_url": "revocation",
    "jwks_url": "jwks",
}
_REFUSALS = frozenset({400, 401, 403})


class ProviderAuthenticator(GenericOAuthenticator):  # type: ignore[misc]
    """Discovers the provider's endpoints; makes names and groups of what it says.

    auth_state has, beside what oauthenticator puts there, `groups` (as the provider lists them),
    `primary_group` (or None), and in Unix seconds `expires_at` (of the access token, if the
    provider said) and `confirmed_at` (when the provider last confirmed the user).
    """

    login_handler = LoginHandler
    callback_handler = CallbackHandler
    login_parameters: tuple[str, ...] = ()
    """Parameters of the login page's URL that `authenticate` needs; kept in the OAuth state."""

    issuer = Unicode(
        help="""The provider's issuer URL; its endpoints are discovered from there.

        An endpoint that is configured (`authorize_url`, `token_url`, `userdata_url`,
        `introspect_url`, `revoke_url`, `jwks_url`) wins over the discovered one.
        """,
    ).tag(config=True)

    introspect_url = Unicode(
        help="""Where the provider says whether a token is active (RFC 7662); discovered.""",
    ).tag(config=True)

    revoke_url = Unicode(
        help="""Where the provider revokes tokens (RFC 7009); discovered.""",
    ).tag(config=True)

    jwks_url = Unicode(
        help="""Where the provider's public keys are (JWKS); discovered.""",
    ).tag(config=True)

    groups_claims = List(
        Unicode(),
        ["entitlements", "eduperson_entitlement"],
        help="""The claims that list a user's groups, each a list or one text.

        `auth_state_groups_key`, if set, decides about JupyterHub's groups instead.
        """,
    ).tag(config=True)

    primary_group_priority = List(
        Unicode(),
        help="""Which of a user's groups their work is accounted to, most important first.

        Each entry is a group or a regular expression that matches a whole group; where the
        expression captures a part, that part is the name. Without entries, whoever is in just one
        of `allowed_groups` has that one.
        """,
    ).tag(config=True)

    primary_group_in_order = Bool(
        default_value=False,
        help="""Of several allowed groups, take the one that the provider lists first.

        EGI's earlier authenticator did so. The provider's order may change; entries in
        `primary_group_priority` are safer.
        """,
    ).tag(config=True)

    servicename_claim = Unicode(
        "client_id",
        help="""The claim with the name of a program that logs in for itself, with no user.""",
    ).tag(config=True)

    service_prefix = Unicode(
        "service-account-",
        help="""Set before a program's name, so that no user can have it.""",
    ).tag(config=True)

    anonymous_prefix = Unicode(
        "anonymous-",
        help="""Set before an anonymous user's name.""",
    ).tag(config=True)

    allow_anonymous = Bool(
        default_value=False,
        help="""Give users without a name one made from their subject, the same at each login.""",
    ).tag(config=True)

    request_seconds = Float(
        10.0,
        help="""How long to wait for an answer of the provider.""",
    ).tag(config=True)

    renamed: ClassVar[Mapping[str, str]] = {
        "openid_configuration_url": "set issuer to its part before /.well-known/",
        "use_oidc_discovery": "leave it out: endpoints that are not configured are discovered",
        "auth_refresh_leeway": "write token_margin_seconds",
        "anonymous_username_prefix": "write anonymous_prefix",
    }
    """Settings of EGI's earlier authenticators, with what to write instead."""

    @default("manage_groups")
    def _manage_groups_default(self) -> bool:
        return True

    @default("auth_state_groups_key")
    def _auth_state_groups_key_default(self) -> Any:
        return lambda state: claims.groups(state[self.user_auth_state_key], self.groups_claims)

    @default("http_client")
    def _default_http_client(self) -> AsyncHTTPClient:
        return AsyncHTTPClient(
            force_instance=True,
            max_clients=MOST_CONNECTIONS,
            defaults={
                "validate_cert": self.validate_server_cert,
                "connect_timeout": self.request_seconds,
                "request_timeout": self.request_seconds,
            },
        )

    @validate("scope")
    def _with_openid(self, proposal: Any) -> list[str]:
        return [*([] if "openid" in proposal.value else ["openid"]), *proposal.value]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._refuse_renamed()
        if not self.issuer:
            raise TraitError(
                f"c.{type(self).__name__}.issuer is not set: write the provider's issuer URL, as "
                "its /.well-known/openid-configuration has it"
            )
        self._discovered = [name for name in _ENDPOINTS if not getattr(self, name)]
        self._discovery = Discovery(self.issuer.rstrip("/"), self.ask)

    def _refuse_renamed(self) -> None:
        """Refuse renamed settings: to ignore one could silently change who may log in."""
        for cls in type(self).__mro__:
            for name, cure in self.renamed.items():
                if name in self.config.get(cls.__name__, {}):
                    raise TraitError(f"c.{cls.__name__}.{name} is not a setting any more: {cure}")

    async def discover(self) -> None:
        """Fill in the endpoints that are not configured.

        Raises:
            Unavailable: They are not known, and the provider does not tell.
        """
        if not self._discovered:
            return
        endpoints = await self._discovery.endpoints()
        for name in self._discovered:
            setattr(self, name, getattr(endpoints, _ENDPOINTS[name]))

    # Asking

    async def ask(self, url: str, label: str = "provider", **request: Any) -> dict[str, Any]:
        """Ask the provider for a JSON object; all requests pass here, to translate errors once.

        Args:
            url: Where.
            label: What for, in the log.
            request: Arguments of tornado's `HTTPRequest`.

        Raises:
            Refused: It answered 400, 401 or 403.
            Unavailable: It did not answer, or anything else.
        """
        where = url.partition("?")[0]
        try:
            response = await self.httpfetch(
                url, label, parse_json=False, raise_error=False, **request
            )
        except (HTTPClientError, OSError) as exc:
            raise Unavailable(f"{where} does not answer: {exc}") from exc
        body = _object(response)
        if response.code in _REFUSALS:
            error = str(body.get("error", "")) if body else ""
            raise Refused(f"{where} answered {response.code} {error}".rstrip(), error)
        if response.error or body is None:
            raise Unavailable(f"{where} answered {response.code}, and no JSON object of use")
        return body

    async def ask_as_client(self, url: str, label: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Post a form that carries our own credentials; raises as `ask`."""
        client = {} if self.basic_auth else self._credentials()
        return await self.ask(
            url,
            label,
            method="POST",
            headers=self.build_token_info_request_headers(),
            body=urlencode({**form, **client}),
        )

    def _credentials(self) -> dict[str, str]:
        return {"client_id": self.client_id, "client_secret": self.client_secret}

    # What oauthenticator asks for

    async def get_token_info(self, _handler: object, params: Mapping[str, Any]) -> dict[str, Any]:
        """A token response, with `expires_at` in Unix seconds; raises as `ask`."""
        await self.discover()
        form = {name: value for name, value in params.items() if value is not None}
        info = await self.ask(
            self.token_url,
            "tokens",
            method="POST",
            headers=self.build_token_info_request_headers(),
            body=urlencode(form),
        )
        if not info.get("access_token"):
            raise Unavailable(f"{self.token_url} answered without an access token")
        info.setdefault("token_type", "Bearer")
        if seconds := _seconds(info.get("expires_in")):
            info["expires_at"] = time.time() + seconds
        return info

    async def token_to_user(self, token_info: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of whom an access token is for; raises as `ask`."""
        await self.discover()
        if self.userdata_from_id_token:
            return cast("dict[str, Any]", await super().token_to_user(token_info))
        user_info = await self.ask(
            self.userdata_url,
            "userinfo",
            headers=self.build_userdata_request_headers(
                token_info["access_token"], token_info.get("token_type") or "Bearer"
            ),
        )
        subject = subject_of(token_info.get("id_token"))
        if subject and user_info.get("sub") != subject:
            raise Refused("the userinfo is about another user than the ID token")
        return user_info

    def user_info_to_username(self, user_info: Mapping[str, Any]) -> str:
        """The name, as `hub.oidc.claims.username` says; raises `Refused` without one."""
        if callable(self.username_claim):
            return str(super().user_info_to_username(user_info))
        return claims.username(
            user_info,
            claim=self.username_claim,
            service_claim=self.servicename_claim,
            service_prefix=self.service_prefix,
            anonymous_prefix=self.anonymous_prefix if self.allow_anonymous else None,
            issuer=self.issuer,
        )

    async def build_auth_state_dict(
        self, token_info: Mapping[str, Any], user_info: Mapping[str, Any]
    ) -> AuthState:
        """Oauthenticator's auth_state, with the keys that the class names."""
        state: AuthState = super().build_auth_state_dict(token_info, user_info)
        listed = claims.groups(user_info, self.groups_claims)
        members_of = await self.get_user_groups(state)
        ordered = [*(group for group in listed if group in members_of)]
        ordered += sorted(members_of.difference(ordered))
        state["groups"] = ordered
        state["primary_group"] = claims.primary_group(
            ordered,
            self.primary_group_priority,
            self.allowed_groups,
            in_order=self.primary_group_in_order,
        )
        state["expires_at"] = token_info.get("expires_at")
        state["confirmed_at"] = time.time()
        return state

    async def authenticate(
        self, handler: BaseHandler, data: Any = None, **kwargs: Any
    ) -> AuthModel | None:
        """Log in who comes back from the provider; errors say what the visitor can do."""
        try:
            return await self.identify(handler, data, **kwargs)
        except Unavailable as exc:
            self.log.warning("Nobody can log in: %s", exc)
            raise web.HTTPError(
                503, f"{self.login_service} does not answer. Try again in a minute."
            ) from exc
        except OIDCError as exc:
            self.log.warning("A login failed: %s", exc)
            raise web.HTTPError(
                403, f"{self.login_service} did not confirm who you are. Log in again."
            ) from exc

    async def identify(self, handler: BaseHandler, data: Any, **kwargs: Any) -> AuthModel | None:
        """Turn what came back from the provider into an auth_model; raises `OIDCError`."""
        model = await OAuthenticator.authenticate(self, handler, data, **kwargs)
        return cast("AuthModel | None", model)


def _object(response: HTTPResponse) -> dict[str, Any] | None:
    """The JSON object of a response; an empty body counts as an empty one."""
    if not response.body:
        return {}
    try:
        body = json.loads(response.body)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(value: object) -> float:
    """A lifetime as a provider writes it; 0 if it says nothing of use."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def subject_of(id_token: str | None) -> str | None:
    """The subject of an ID token; raises `Refused` if it cannot be read.

    Its signature needs no check: it came from the token endpoint itself, over TLS
    (OpenID Connect Core, 3.1.3.7).
    """
    if not id_token:
        return None
    try:
        return cast(
            "str | None", jwt.decode(id_token, options={"verify_signature": False}).get("sub")
        )
    except jwt.PyJWTError as exc:
        raise Refused("the ID token cannot be read") from exc
