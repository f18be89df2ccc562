"""Tokens by OIDC client credentials (RFC 6749, section 4.4)."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from accounting.delivery.exchange import Answer, Exchange
from ssm.errors import Refused, Unavailable

_EARLY_SECONDS = 30.0
"""A token that ends sooner is renewed first: a request takes a while."""
_USUAL_SECONDS = 300.0
_BAD_CREDENTIALS = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        id: the client's, as the provider has given it.
        secret: reads it when it is used, so that it can be renewed.
        scope: what is asked for.
    """

    id: str
    secret: Callable[[], str]
    scope: str


class Login:
    """Gets tokens, and keeps one until it ends.

    Args:
        exchange: reaches the provider's token endpoint.
        client: who asks.
        clock: seconds that only grow.
    """

    def __init__(
        self, exchange: Exchange, client: Client, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._exchange = exchange
        self._client = client
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        """A token that is good for a while.

        Raises:
            CertificateError: the secret cannot be read.
            Refused: the provider does not know the client, or not with this secret.
            Unavailable: the provider gives no usable answer.
        """
        if not self._token or self._clock() >= self._until:
            self._renew()
        return self._token

    def forget(self) -> None:
        """The receiver refuses the token."""
        self._token = ""

    def _renew(self) -> None:
        client, asked_at = self._client, self._clock()
        secret = client.secret()
        form = {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": secret,
            "scope": client.scope,
        }
        with closing(self._exchange):
            answer = self._exchange.ask("POST", data=form, auth=(client.id, secret))
        where = self._exchange.place
        if answer.status in _BAD_CREDENTIALS:
            raise Refused(
                f"{where} gives no token: {answer.status} {_error(answer)}".rstrip(),
                "Check the client's id, the file with its secret, and its scopes.",
            )
        try:
            said = json.loads(answer.content) if answer.is_good else {}
            token = str(said["access_token"])
            lasts = float(said.get("expires_in") or _USUAL_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Unavailable(
                f"{where} gives no token: it answers {answer.status}, and not as OIDC has it",
                "It is tried again; check that this is the provider's token endpoint.",
            ) from exc
        if not token.isascii() or not token.isprintable():
            raise Unavailable(f"{where} gives a token that is none", "It is tried again.")
        self._token, self._until = token, asked_at + max(0.0, lasts - _EARLY_SECONDS)


def _error(answer: Answer) -> str:
    """OIDC's word for it, which is one of a few; what else stands there is not repeated."""
    try:
        error = json.loads(answer.content).get("error", "")
    except (ValueError, AttributeError):
        return ""
    known = ("invalid_client", "invalid_scope", "unauthorized_client", "invalid_grant")
    return error if error in known else ""
