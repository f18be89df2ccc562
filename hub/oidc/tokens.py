"""Signed access tokens (JWT): a provider's keys, and the checks that a token must pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import jwt

from hub.oidc.discovery import Fetch
from hub.oidc.errors import InvalidToken, OIDCError, Unavailable

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Signatures by a key pair: never `none`, never a secret that a client shares."""

KEEP_SECONDS = 3600.0
"""Keys are fetched anew after this time, so that a withdrawn one stops working."""

PAUSE_SECONDS = 1.0
"""Least time between two fetches for an unknown key: made-up key ids cause no loop of requests."""

LEEWAY_SECONDS = 10


class Keys:
    """A provider's public keys, read when a token names one that is not known yet.

    Args:
        url: Tells where they are (the JWKS).
        fetch: Reads them.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        url: Callable[[], Awaitable[str]],
        fetch: Fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None

    async def get(self, kid: str) -> jwt.PyJWK:
        """The key of this id.

        Raises:
            InvalidToken: The provider has no such key.
            Unavailable: The keys cannot be read, and this one is not known from before.
        """
        async with self._lock:
            if self._is_due(kid):
                try:
                    await self._read()
                except OIDCError:
                    if kid not in self._keys:
                        raise
        if kid not in self._keys:
            raise InvalidToken("it is signed with a key that the provider does not have")
        return self._keys[kid]

    def _is_due(self, kid: str) -> bool:
        if self._read_at is None:
            return True
        age = self._clock() - self._read_at
        return age > (KEEP_SECONDS if kid in self._keys else PAUSE_SECONDS)

    async def _read(self) -> None:
        document = await self._fetch(await self._url())
        try:
            keys = jwt.PyJWKSet.from_dict(dict(document)).keys
        except (jwt.PyJWTError, AttributeError, KeyError, TypeError, ValueError) as exc:
            raise Unavailable("the provider's keys (JWKS) cannot be read") from exc
        self._keys = {
            key.key_id: key for key in keys if key.key_id and key.public_key_use in {None, "sig"}
        }
        self._read_at = self._clock()


async def verified(
    token: str, keys: Keys, issuer: str, audience: str | None = None
) -> dict[str, Any]:
    """The claims of a token that this issuer signed and that has not expired.

    Args:
        token: In JWS compact form.
        keys: The issuer's.
        issuer: Who must have issued it.
        audience: For whom it must be; `None` leaves that to `check_audience`.

    Raises:
        InvalidToken: It is not such a token.
        Unavailable: The keys cannot be read.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as exc:
        raise InvalidToken("it is no signed token (JWT)") from exc
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise InvalidToken("its signature's algorithm is not one for public keys")
    key = await keys.get(str(header.get("kid") or ""))
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key=key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss"], "verify_aud": audience is not None},
        )
    except jwt.PyJWTError as exc:
        raise InvalidToken(f"it does not hold: {exc}") from exc
    if claims.get("typ", "Bearer") != "Bearer":
        raise InvalidToken(f"it is an {claims['typ']} token, not an access token")
    return claims


def check_audience(
    claims: Mapping[str, Any], audiences: Iterable[str], clients: Iterable[str]
) -> None:
    """A token must be for us, or have been given to a client that we trust.

    Raises:
        InvalidToken: It was issued for another service.
    """
    audience = claims.get("aud") or ()
    named = {audience} if isinstance(audience, str) else set(audience)
    client = claims.get("azp") or claims.get("client_id")
    if not named & set(audiences) and client not in set(clients):
        raise InvalidToken("it was given to another client, for another audience")


def check_introspection(claims: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """What the provider says of the token now (RFC 7662) must agree with what it signed.

    Raises:
        InvalidToken: The token is revoked, or the answer is about another one.
    """
    if answer.get("active") is not True:
        raise InvalidToken("the provider says that it is not active (any more)")
    if answer.get("sub", claims.get("sub")) != claims.get("sub"):
        raise InvalidToken("the provider says that it is somebody else's")
