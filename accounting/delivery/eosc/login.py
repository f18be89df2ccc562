"""Tokens by OIDC client credentials (RFC 6749, section 4.4)."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from accounting.delivery.exchange import Answer, Exchange
from accounting.delivery.tokens import Tokens
from ssm.errors import Refused

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


class Login(Tokens):
    """Gets tokens, and keeps one until it ends.

    Args:
        exchange: reaches the provider's token endpoint.
        client: who asks.
        clock: seconds that only grow.
    """

    cure = "It is tried again; check that this is the provider's token endpoint."

    def __init__(
        self, exchange: Exchange, client: Client, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(exchange, clock)
        self._client = client

    def _asked(self) -> Answer:
        client = self._client
        secret = client.secret()
        form = {
            "grant_type": "client_credentials",
            "client_id": client.id,
            "client_secret": secret,
            "scope": client.scope,
        }
        answer = self._exchange.ask("POST", data=form, auth=(client.id, secret))
        if answer.status in _BAD_CREDENTIALS:
            raise Refused(
                f"{self._exchange.place} gives no token: {answer.status} {_error(answer)}".rstrip(),
                "Check the client's id, the file with its secret, and its scopes.",
            )
        return answer


def _error(answer: Answer) -> str:
    """OIDC's word for it, which is one of a few; what else stands there is not repeated."""
    try:
        error = json.loads(answer.content).get("error", "")
    except (ValueError, AttributeError):
        return ""
    known = ("invalid_client", "invalid_scope", "unauthorized_client", "invalid_grant")
    return error if error in known else ""
