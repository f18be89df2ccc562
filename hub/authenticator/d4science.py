"""Login by D4Science, into one of its virtual research environments (VREs)."""

import base64
import json
import re
from typing import Any, cast
from urllib.parse import quote_plus, unquote_plus, urlencode

from jupyterhub.handlers import BaseHandler
from jupyterhub.user import User
from tornado import web
from tornado.httpclient import HTTPClientError
from traitlets import List, Unicode, default

from hub.authenticator.bearer import BearerAuthenticator
from hub.authenticator.information_system import options_of, profiles, volumes
from hub.authenticator.provider import AuthModel, AuthState
from hub.oidc.errors import InvalidToken, Refused, Unavailable
from hub.oidc.tokens import verified

_UMA_TICKET = "urn:ietf:params:oauth:grant-type:uma-ticket"
_JWT = "urn:ietf:params:oauth:token-type:jwt"
_CONTEXT = re.compile(r"(/[^/\x00-\x1f]+)+")


class D4ScienceAuthenticator(BearerAuthenticator):
    """Login by D4Science (`c.JupyterHub.authenticator_class = "d4science"`).

    The login page's URL has `context`, the VRE's full name, and maybe `namespace` and `label`.
    With the spawner `d4science-spawner`, auth_state also has `context`, `context_token` (the user's
    token there), `profiles`, `volumes`, `roles` (in the VRE), `namespace` and `label`.
    """

    login_parameters = ("context", "namespace", "label")

    issuer = Unicode(
        "https://accounts.d4science.org/auth/realms/d4science",
        help=BearerAuthenticator.issuer.help,
    ).tag(config=True)

    information_system_url = Unicode(
        "https://registry.d4science.org/icproxy/gcube/service/GenericResource/JupyterHub",
        help="""Where the information system lists what a VRE offers, as XML.""",
    ).tag(config=True)

    scope = List(
        Unicode(),
        ["openid", "profile", "email", "offline_access"],
        help="""The OAuth scopes to request; `openid` always is among them.""",
    ).tag(config=True)

    @default("login_service")
    def _login_service_default(self) -> str:
        return "D4Science"

    @default("username_claim")
    def _username_claim_default(self) -> str:
        return "preferred_username"

    async def identify(self, handler: BaseHandler, data: Any, **kwargs: Any) -> AuthModel | None:
        """Log a visitor in to the VRE that the login page's URL named."""
        given = handler.login_parameters() if hasattr(handler, "login_parameters") else {}
        model = await super().identify(handler, data, **kwargs)
        if not model or "context" in model["auth_state"]:
            return model
        context = unquote_plus(given.get("context", ""))
        if not _CONTEXT.fullmatch(context):
            raise web.HTTPError(
                403, "Come by your research environment: the login needs its name, ?context=/…"
            )
        named = {name: given.get(name, "") for name in ("namespace", "label")}
        state = {**model["auth_state"], **named}
        return {**model, "auth_state": await self._in_context(state, context)}

    async def _asked_again(self, user: User, state: AuthState) -> AuthModel:
        if not state.get("context"):
            raise Refused("the session is in no research environment")
        model = await super()._asked_again(user, state)
        kept = {name: state.get(name, "") for name in ("namespace", "label")}
        fresh = await self._in_context({**model["auth_state"], **kept}, state["context"])
        return {**model, "auth_state": fresh}

    async def _in_context(self, state: AuthState, context: str) -> AuthState:
        """Add what a VRE offers the user: by two tickets, one for the hub and one for the VRE."""
        audience = quote_plus(context)
        claim = base64.b64encode(json.dumps({"context": [audience]}).encode()).decode()
        access_token = state["access_token"]
        _, permitted = await self._ticket(
            access_token, self.client_id, claim_token_format=_JWT, claim_token=claim
        )
        token, there = await self._ticket(access_token, audience)
        granted = (permitted.get("authorization") or {}).get("permissions") or ()
        roles = ((there.get("resource_access") or {}).get(audience) or {}).get("roles") or []
        options = options_of(await self._resources(token))
        return {
            **state,
            "context": context,
            "context_token": token,
            "roles": roles,
            "profiles": profiles(options, [one.get("rsname", "") for one in granted]),
            "volumes": volumes(options, roles),
        }

    async def _ticket(
        self, access_token: str, audience: str, **more: str
    ) -> tuple[str, dict[str, Any]]:
        """A UMA ticket for an audience, and its claims."""
        form = {"grant_type": _UMA_TICKET, "audience": audience, **more}
        answer = await self.ask(
            self.token_url,
            "UMA ticket",
            method="POST",
            headers={
                "Accept": "application/json",
                "Authorization": f"Bearer {access_token}",
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            },
            body=urlencode(form),
        )
        token = str(answer.get("access_token") or "")
        try:
            return token, await verified(token, self._keys, self.issuer.rstrip("/"), audience)
        except InvalidToken as exc:
            raise Refused(f"a UMA ticket is not accepted: {exc}") from exc

    async def _resources(self, token: str) -> bytes:
        """Fetch the information system's XML with a ticket of the VRE."""
        url = self.information_system_url
        try:
            response = await self.httpfetch(
                url,
                "information system",
                parse_json=False,
                headers={"Authorization": f"Bearer {token}"},
            )
        except (HTTPClientError, OSError) as exc:
            raise Unavailable(f"{url} does not answer: {exc}") from exc
        return cast("bytes", response.body)
