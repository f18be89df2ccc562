"""Tokens of receivers over HTTP: got when one is needed, kept until they end."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from typing import ClassVar

from accounting.delivery.exchange import Answer, Exchange
from ssm.errors import Unavailable


class Tokens(ABC):
    """Gets tokens, and keeps one until it ends.

    Args:
        exchange: reaches what gives them.
        clock: seconds that only grow.
    """

    early_seconds: ClassVar[float] = 30.0
    """A token that ends sooner is renewed first: a request takes a while."""
    usual_seconds: ClassVar[float] = 300.0
    """How long a token lasts that does not say so."""
    cure: ClassVar[str]
    """What to do about an answer that has no token."""

    def __init__(self, exchange: Exchange, clock: Callable[[], float] = time.monotonic) -> None:
        self._exchange = exchange
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def token(self) -> str:
        """A token that is good for a while.

        Raises:
            CertificateError: the secret cannot be read.
            Refused: whoever asks is not known, or not with this secret.
            Unavailable: there is no usable answer.
        """
        if not self._token or self._clock() >= self._until:
            self._renew()
        return self._token

    def forget(self) -> None:
        """The receiver refuses the token."""
        self._token = ""

    @abstractmethod
    def _asked(self) -> Answer:
        """The answer to a request for a token; ``Refused`` if it says that the secret is wrong."""

    def _renew(self) -> None:
        asked_at = self._clock()
        with closing(self._exchange):
            answer = self._asked()
        where = self._exchange.place
        try:
            said = json.loads(answer.content) if answer.is_good else {}
            token = str(said["access_token"])
            lasts = float(said.get("expires_in") or self.usual_seconds)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Unavailable(
                f"{where} gives no token: it answers {answer.status}", self.cure
            ) from exc
        if not token.isascii() or not token.isprintable():
            raise Unavailable(f"{where} gives a token that is none", "It is tried again.")
        self._token, self._until = token, asked_at + max(0.0, lasts - self.early_seconds)
