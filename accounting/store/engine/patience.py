"""A PostgreSQL that is silent: up, but without answers. No call waits for it for ever.

The server ends what takes too long itself, as long as it is well. Where it, its machine or the
network has stopped, only the client can tell: psycopg's calls have no timeout of their own.
"""

import math
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 20
LOCK_SECONDS = 10
SILENT_SECONDS = 25.0
"""More than a statement may take: then the server would have said so."""

_T = TypeVar("_T")
_POLL_SECONDS = 0.1
_LATELY_SECONDS = 1.0

OPTIONS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": int(SILENT_SECONDS * 1000),
    "application_name": "notebooks-accounting",
}
"""Of a connection; what its address says goes first."""


class Connection(psycopg.Connection[Any]):
    """A connection whose calls end.

    Attributes:
        silent_seconds: how long the server may say nothing; None: as long as it likes.
        heard_at: when the server last said something, monotonic seconds.
    """

    silent_seconds: float | None = SILENT_SECONDS
    heard_at = -math.inf

    def wait(
        self,
        gen: Generator[Any, Any, _T],
        interval: float = _POLL_SECONDS,
        timeout: float | None = None,
    ) -> _T:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: there is none in time; the connection is closed then.
        """
        if self.silent_seconds is not None:
            gen = self._bounded(gen, self.silent_seconds)
        more = {} if timeout is None else {"timeout": timeout}  # psycopg 3.2 does not know it
        return super().wait(gen, interval, **more)

    def _bounded(self, gen: Generator[Any, Any, _T], seconds: float) -> Generator[Any, Any, _T]:
        until = time.monotonic() + seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    self.heard_at = time.monotonic()
                    until = self.heard_at + seconds
                elif time.monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"it does not answer for {seconds:g} s")
                # Nothing came within an interval: psycopg goes on with what was wanted before.
                wanted = gen.send(ready) or wanted
        except StopIteration as ended:
            answer: _T = ended.value
            return answer


def ping(ask: Callable[[Any], bool], connection: Any) -> bool:
    """Whether a pool's connection still works; where the server has just answered, it is not asked.

    That is a round trip before each question: of a page of the list, for twenty clients, an eighth
    of the time. A server that ended since then fails the question, as if it had ended during it.

    Args:
        ask: asks the server, and raises the driver's error.
        connection: the connection.
    """
    return time.monotonic() - connection.heard_at < _LATELY_SECONDS or ask(connection)


def bounds() -> tuple[str, ...]:
    """Statements for a new connection: after how long the server gives up by itself."""
    return (
        f"SET statement_timeout = '{STATEMENT_SECONDS}s'",
        f"SET lock_timeout = '{LOCK_SECONDS}s'",
    )
