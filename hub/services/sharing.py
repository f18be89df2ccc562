"""Releases users' access tokens to their own servers' pages, and shares servers.

A service of the Hub: `python -m hub.services.sharing`. A server that is shared shows others what
its user sees. So it gets no token, and before it is shared for the first time the token that it may
have seen is revoked.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web
from oauthenticator.oauth2 import OAuthenticator

from hub.services.service import (
    SESSION,
    HubService,
    application,
    bearer,
    below,
    forward,
    from_environment,
    serve,
)

SCOPE = "custom:token-acquirer:read"
_SERVER = "Server at "
"""How JupyterHub describes the OAuth client that a user's server is."""

_NOT_KEPT = {"Cache-Control": "no-store"}
_FORBIDDEN = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody at their own server: a user, the server's name, and the token that says so."""

    name: str
    server: str
    token: str = field(repr=False)

    @property
    def path(self) -> str:
        """`USER/SERVER`, as paths of the Hub API have it."""
        return f"{quote(self.name, safe='')}/{quote(self.server, safe='')}"


class Sharing:
    """The service.

    Args:
        service: The Hub.
        scope: What a caller's token must have.
        release_while_shared: Release tokens to shared servers too.
        details: The claims that `token_details` tells; all if there are none.
    """

    def __init__(
        self,
        service: HubService,
        scope: str,
        *,
        release_while_shared: bool,
        details: Sequence[str] = (),
    ) -> None:
        self._service = service
        self._scope = scope
        self._details = frozenset(details)
        self._release_while_shared = release_while_shared

    async def token(self, request: web.Request) -> web.Response:
        """`{"access_token": …}`: the caller's own."""
        access_token = (await self._login(request)).get("access_token")
        if not access_token:
            raise web.HTTPNotFound(text="There is no access token. Log in again.")
        return web.json_response({"access_token": access_token}, headers=_NOT_KEPT)

    async def details(self, request: web.Request) -> web.Response:
        """What the provider says of the caller: the claims that the operator has chosen."""
        claims = (await self._login(request)).get(OAuthenticator.user_auth_state_key)
        if not claims:
            raise web.HTTPNotFound(text="There are no details. Log in again.")
        chosen = {k: v for k, v in claims.items() if not self._details or k in self._details}
        return web.json_response(chosen, headers=_NOT_KEPT)

    async def _login(self, request: web.Request) -> dict[str, Any]:
        """The caller's auth_state, unless others see what the caller's server sees."""
        visitor = await self._visitor(request)
        if not self._release_while_shared and await self._is_shared(request, visitor):
            raise web.HTTPForbidden(
                text="This server is shared, so it gets no token. Stop sharing it first."
            )
        user = await self._ask(request, f"/users/{quote(visitor.name, safe='')}")
        return dict(user.get("auth_state") or {})

    async def shares(self, request: web.Request) -> web.StreamResponse:
        """The Hub's API for shares and share codes, of the caller's own server."""
        visitor = await self._visitor(request)
        asked = request.match_info
        if (asked["owner"], asked["server"]) != (visitor.name, visitor.server):
            raise web.HTTPForbidden(text="This is not your own server")
        if request.method == "POST" and not await self._is_shared(request, visitor):
            await self._revoke(request, visitor)
        url = below(request, self._service.prefix, self._service.api_url)
        return await forward(request, url, self._service.api_token)

    async def _visitor(self, request: web.Request) -> Visitor:
        token = bearer(request, ("bearer", "token"))
        model = await self._ask(request, "/user", token)
        if model.get("kind") != "user" or not {
            self._scope,
            f"{self._scope}!user={model['name']}",
        } & {*model["scopes"]}:
            raise web.HTTPForbidden(text=f"This needs a user's token with the scope {self._scope}")
        name = quote(model["name"], safe="")
        details = await self._ask(request, f"/users/{name}/tokens/{model['token_id']}")
        user = await self._ask(request, f"/users/{name}")
        for server, about in user["servers"].items():
            if details["oauth_client"] == _SERVER + urlsplit(about["url"]).path:
                return Visitor(model["name"], server, token)
        raise web.HTTPForbidden(text="This token does not come from a running server of your own")

    async def _is_shared(self, request: web.Request, visitor: Visitor) -> bool:
        for kind in ("shares", "share-codes"):
            if (await self._ask(request, f"/{kind}/{visitor.path}"))["items"]:
                return True
        return False

    async def _revoke(self, request: web.Request, visitor: Visitor) -> None:
        async with request.app[SESSION].post(
            f"{self._service.hub_url}/token_revoke",
            headers={"Authorization": f"token {visitor.token}"},
        ) as answer:
            if not answer.ok:
                raise _failure(answer.status, "The server is not shared", await answer.read())

    async def _ask(self, request: web.Request, path: str, token: str = "") -> dict[str, Any]:
        """Read from the Hub API, with the service's own token or the given one."""
        async with request.app[SESSION].get(
            self._service.api_url + path,
            headers={"Authorization": f"token {token or self._service.api_token}"},
        ) as answer:
            if answer.ok:
                return dict(await answer.json())
            if token and answer.status in _FORBIDDEN:
                raise web.HTTPUnauthorized(text="The Hub does not know this token")
            raise _failure(answer.status, "The Hub did not tell", await answer.read())


def _failure(status: int, what: str, body: bytes) -> web.HTTPException:
    """The error for an answer of the Hub that we cannot go on with; its reason is passed on."""
    try:
        reason = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        reason = f"status {status}"
    return web.HTTPBadGateway(text=f"{what}: {reason}")


def main() -> None:
    """Serve what the Hub's environment describes."""
    parser = argparse.ArgumentParser(prog="python -m hub.services.sharing", description=__doc__)
    parser.add_argument(
        "--scope", default=SCOPE, help="what a caller's token must have (default: %(default)s)"
    )
    parser.add_argument(
        "--release-while-shared", action="store_true", help="release tokens to shared servers too"
    )
    parser.add_argument(
        "--detail",
        action="append",
        default=[],
        metavar="CLAIM",
        help="a claim that token_details tells; repeat it (default: all that the provider gave)",
    )
    options = parser.parse_args()
    service = from_environment()
    sharing = Sharing(
        service,
        options.scope,
        release_while_shared=options.release_while_shared,
        details=options.detail,
    )
    prefix = service.prefix
    routes = [
        web.get(prefix, sharing.token),
        web.get(prefix + "token", sharing.token),
        web.get(prefix + "token_details", sharing.details),
        web.route("*", prefix + "{kind:shares|share-codes}/{owner}/{server:[^/]*}", sharing.shares),
    ]
    serve(application(routes), service)


if __name__ == "__main__":
    main()
