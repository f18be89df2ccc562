"""Tokens of the CIM: for an e-mail address and a password, good for a day."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from accounting.delivery.exchange import Exchange
from ssm.errors import Refused, Unavailable

_EARLY_SECONDS = 60.0
_USUAL_SECONDS = 3600.0
_BAD_CREDENTIALS = frozenset({400, 401, 403, 422})


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes.

    Attributes:
        email: as the CIM knows it.
        password: reads it when it is used, so that it can be changed.
    """

    email: str
    password: Callable[[], str]


class Login:
    """Gets tokens, and keeps one until it ends.

    The CIM takes the password in the address's query only (``GET /token``): no error repeats it.

    Args:
        exchange: reaches the CIM.
        publisher: who asks.
        clock: seconds that only grow.
    """

    def __init__(
        self, exchange: Exchange, publisher: Publisher, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._exchange = exchange
        self._publisher = publisher
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        """A token that is good for a while.

        Raises:
            CertificateError: the password cannot be read.
            Refused: the CIM does not know the publisher, or not with this password.
            Unavailable: it gives no usable answer.
        """
        if not self._token or self._clock() >= self._until:
            self._renew()
        return self._token

    def forget(self) -> None:
        """The CIM refuses the token."""
        self._token = ""

    def _renew(self) -> None:
        asked_at = self._clock()
        shown = {"email": self._publisher.email, "password": self._publisher.password()}
        with closing(self._exchange):
            answer = self._exchange.ask("GET", "/token", params=shown)
        where = self._exchange.place
        if answer.status in _BAD_CREDENTIALS:
            raise Refused(
                f"{where} gives no token: it answers {answer.status}",
                "Check the publisher's e-mail address and the file with its password; GreenDIGIT "
                "registers addresses.",
            )
        try:
            said = json.loads(answer.content) if answer.is_good else {}
            token, lasts = str(said["access_token"]), float(said.get("expires_in", _USUAL_SECONDS))
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Unavailable(
                f"{where} gives no token: it answers {answer.status}",
                "It is tried again; check that this is the CIM's address.",
            ) from exc
        if not token.isascii() or not token.isprintable():
            raise Unavailable(f"{where} gives a token that is none", "It is tried again.")
        self._token, self._until = token, asked_at + max(0.0, lasts - _EARLY_SECONDS)
