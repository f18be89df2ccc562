"""The Hub API for whoever comes with an access token of the identity provider.

A service of the Hub: `python -m hub.services.wrapper`. It logs in with the caller's token at
`/hub/jwt_login` and forwards the call with the Hub token that it gets.
"""

import argparse
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import web

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

KEEP_SECONDS = 300.0
MOST_TOKENS = 10_000


class HubTokens:
    """Hub tokens by the access tokens that they were given for, which are not kept.

    Args:
        keep_seconds: How long one is used; a revoked access token is refused after this time.
        clock: Monotonic seconds.
    """

    def __init__(self, keep_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def get(self, access_token: str) -> str | None:
        """The Hub token, if there is one that still holds."""
        token, until = self._tokens.get(_digest(access_token), ("", 0.0))
        return token if token and self._clock() < until else None

    def put(self, access_token: str, token: str, holds_seconds: float) -> None:
        """Keep a Hub token that holds for so long."""
        until = self._clock() + min(self._keep_seconds, holds_seconds / 2)
        self._tokens[_digest(access_token)] = token, until
        self._tokens.move_to_end(_digest(access_token))
        while len(self._tokens) > MOST_TOKENS:
            self._tokens.popitem(last=False)

    def drop(self, access_token: str) -> None:
        """Forget one that the Hub does not know any more."""
        self._tokens.pop(_digest(access_token), None)


class Wrapper:
    """The service; `call` answers every path and method."""

    def __init__(self, service: HubService, tokens: HubTokens) -> None:
        self._service = service
        self._tokens = tokens

    async def call(self, request: web.Request) -> web.StreamResponse:
        """Log in, unless that was done lately, and forward the call."""
        access_token = bearer(request)
        token = self._tokens.get(access_token)
        if token is None:
            answer = await self._login(request, access_token)
            if isinstance(answer, web.Response):
                return answer
            token = str(answer["token"])
            self._tokens.put(access_token, token, float(answer["expires_in"]))
        url = below(request, self._service.prefix, self._service.api_url)
        response = await forward(request, url, token)
        if response.status == web.HTTPForbidden.status_code and not await self._holds(
            request, token
        ):
            self._tokens.drop(access_token)
        return response

    async def _login(
        self, request: web.Request, access_token: str
    ) -> dict[str, Any] | web.Response:
        """The Hub's answer to a login; if it refuses, that is the caller's answer too."""
        async with request.app[SESSION].post(
            f"{self._service.hub_url}/jwt_login",
            headers={"Authorization": f"Bearer {access_token}"},
        ) as answer:
            if answer.ok:
                return dict(await answer.json())
            names = ("WWW-Authenticate", "Retry-After", "Content-Type")
            kept = {name: answer.headers[name] for name in names if name in answer.headers}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _holds(self, request: web.Request, token: str) -> bool:
        async with request.app[SESSION].get(
            f"{self._service.api_url}/user", headers={"Authorization": f"token {token}"}
        ) as answer:
            return answer.ok


def _digest(access_token: str) -> bytes:
    return hashlib.sha256(access_token.encode()).digest()


def main() -> None:
    """Serve what the Hub's environment describes."""
    parser = argparse.ArgumentParser(prog="python -m hub.services.wrapper", description=__doc__)
    parser.add_argument(
        "--keep-seconds",
        type=float,
        default=KEEP_SECONDS,
        help="how long one login serves (default: %(default)s); a revoked access token is refused "
        "after this time",
    )
    options = parser.parse_args()
    service = from_environment()
    wrapper = Wrapper(service, HubTokens(options.keep_seconds))
    serve(application([web.route("*", service.prefix + "{path:.*}", wrapper.call)]), service)


if __name__ == "__main__":
    main()
