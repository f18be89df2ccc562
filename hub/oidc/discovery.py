"""Where a provider's endpoints are: its discovery document, kept and refreshed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hub.oidc.errors import OIDCError, Unavailable
from hub.oidc.patience import Patience

Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Reads a JSON object from a URL; raises `Unavailable` or `Refused`."""

KEEP_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs of a provider; an empty one does not exist there."""

    issuer: str
    authorization: str
    token: str
    userinfo: str
    jwks: str
    introspection: str
    revocation: str


def endpoints_of(document: Mapping[str, Any], issuer: str) -> Endpoints:
    """Read a discovery document (OpenID Connect Discovery 1.0, 3).

    Raises:
        Unavailable: It is not this issuer's, or leads to another host.
    """
    if document.get("issuer") != issuer:
        raise Unavailable(
            f"{well_known(issuer)} speaks for {document.get('issuer')!r}, not for {issuer!r}: "
            "set the issuer as the provider spells it"
        )

    def url(name: str) -> str:
        value = document.get(name) or ""
        if value and urlsplit(value)[:2] != urlsplit(issuer)[:2]:
            raise Unavailable(
                f"{well_known(issuer)} leads to another host for {name}: if that is right, set "
                "the URL in the configuration"
            )
        return str(value)

    return Endpoints(
        issuer=issuer,
        authorization=url("authorization_endpoint"),
        token=url("token_endpoint"),
        userinfo=url("userinfo_endpoint"),
        jwks=url("jwks_uri"),
        introspection=url("introspection_endpoint"),
        revocation=url("revocation_endpoint"),
    )


def well_known(issuer: str) -> str:
    """The URL of an issuer's discovery document."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


class Discovery:
    """A provider's endpoints: fetched once an hour; while it is away, the last ones serve.

    Args:
        issuer: Whose; no other is ever asked.
        fetch: Reads the document.
        clock: Monotonic seconds.
    """

    def __init__(
        self, issuer: str, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._patience = Patience(issuer, clock)
        self._lock = asyncio.Lock()
        self._known: Endpoints | None = None
        self._until = 0.0

    async def endpoints(self) -> Endpoints:
        """The endpoints; many may ask at once, one request is made.

        Raises:
            Unavailable: They were never fetched, and cannot be fetched now.
        """
        if self._known and self._clock() < self._until:
            return self._known
        async with self._lock:
            if self._known and self._clock() < self._until:
                return self._known
            try:
                self._patience.check()
                self._known = endpoints_of(
                    await self._fetch(well_known(self._issuer)), self._issuer
                )
            except OIDCError as exc:
                return self._kept(exc)
            self._patience.succeeded()
            self._until = self._clock() + KEEP_SECONDS
            return self._known

    def _kept(self, exc: OIDCError) -> Endpoints:
        if not getattr(exc, "retry_seconds", 0):
            self._patience.failed()
        if self._known is None:
            if isinstance(exc, Unavailable):
                raise exc
            raise Unavailable(str(exc)) from exc
        return self._known
