"""Tokens of the CIM: for an e-mail address and a password, good for a day."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from accounting.delivery.exchange import Answer, Exchange
from accounting.delivery.tokens import Tokens
from ssm.errors import Refused

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


class Login(Tokens):
    """Gets tokens, and keeps one until it ends.

    The CIM takes the password in the address's query only (``GET /token``): no error repeats it.

    Args:
        exchange: reaches the CIM.
        publisher: who asks.
        clock: seconds that only grow.
    """

    early_seconds = 60.0
    usual_seconds = 3600.0
    cure = "It is tried again; check that this is the CIM's address."

    def __init__(
        self, exchange: Exchange, publisher: Publisher, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(exchange, clock)
        self._publisher = publisher

    def _asked(self) -> Answer:
        shown = {"email": self._publisher.email, "password": self._publisher.password()}
        answer = self._exchange.ask("GET", "/token", params=shown)
        if answer.status in _BAD_CREDENTIALS:
            raise Refused(
                f"{self._exchange.place} gives no token: it answers {answer.status}",
                "Check the publisher's e-mail address and the file with its password; GreenDIGIT "
                "registers addresses.",
            )
        return answer
