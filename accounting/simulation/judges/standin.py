"""A receiver over HTTP on this machine, without TLS, and what may go wrong with it."""

import socket
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Fault(StrEnum):
    """What goes wrong besides a status that is answered instead."""

    LOSE_ANSWER = "lose answer"
    """Do it, and close the connection before the whole answer is out."""
    CLOSE = "close"
    """Close the connection and do nothing."""
    SLOW = "slow"
    """Wait first."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the next fitting request meets.

    Attributes:
        what: a fault, or a status that is answered instead.
        on: the request's method, ``TOKEN``, or ``any``.
        seconds: how long ``SLOW`` waits.
    """

    what: Fault | int
    on: str = "any"
    seconds: float = 0.0


class Cut(Response):
    """An answer that ends before it is whole: the server then closes the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The beginning of an answer."""
        del scope, receive
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


class Standin:
    """Serves an application on a port of this machine.

    Args:
        app: what answers; it outlives the server.
        port: which; 0 for any that is free.
    """

    def __init__(self, app: Starlette, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        # Connections inherit it. Without it, small answers wait for acknowledgements.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            app, log_config=None, log_level="critical", lifespan="off", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, args=([self._listener],), daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve from now on; connections are accepted already."""
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
