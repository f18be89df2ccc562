"""A receiver over HTTP on this machine, without TLS, and what may go wrong with it."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Thread
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
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


class RefusedError(Exception):
    """An error as the receiver answers it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(kw_only=True)
class Receiver(ABC):
    """Takes requests one by one, notes them, and lets trouble happen to them.

    Attributes:
        log: (method, path, status) of every request.
        troubles: what the next requests meet.
        busy: requests that are being worked on.
    """

    log: list[tuple[str, str, int]] = field(default_factory=list)
    troubles: deque[Trouble] = field(default_factory=deque)
    busy: int = 0

    @abstractmethod
    def _error(self, refused: RefusedError) -> Response:
        """How it answers an error."""

    def _answer(self, work: Callable[[Request, bytes], Any], name: str = "") -> Any:
        """An endpoint that does ``work``; troubles know it by ``name``, else by its method."""

        async def endpoint(request: Request) -> Response:
            self.busy += 1
            try:
                body = await request.body()
                answer = await self._met(name or request.method, lambda: work(request, body))
            finally:
                self.busy -= 1
            self.log.append((request.method, request.url.path, answer.status_code))
            return answer

        return endpoint

    async def _met(self, name: str, work: Callable[[], Any]) -> Response:
        """The answer, or what the next trouble makes of it."""
        trouble = next((one for one in self.troubles if one.on in {name, "any"}), None)
        if trouble is not None:
            self.troubles.remove(trouble)
            match trouble.what:
                case Fault.CLOSE:
                    return Cut()
                case Fault.SLOW:
                    await asyncio.sleep(trouble.seconds)
                case Fault.LOSE_ANSWER:
                    self._done(work)
                    return Cut()
                case status:
                    return self._error(RefusedError(int(status), "out of order"))
        return self._done(work)

    def _done(self, work: Callable[[], Any]) -> Response:
        try:
            done = work()
        except RefusedError as exc:
            return self._error(exc)
        return done if isinstance(done, Response) else JSONResponse(done)


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
