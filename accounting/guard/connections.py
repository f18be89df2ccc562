"""Bounds on what a client may hold open: how many connections, how long, how many bytes.

uvicorn reads HTTP, but bounds neither the time and size of a request's head nor the time of its
body. This module does. If there are too many connections, it closes those that have waited longest
for their clients. Clients that send a whole request at once are served.

How long a connection waits is told by timers. The event loop runs a timer only after it has read
what its sockets hold. So a loop that is late does not count a request that is there as missing.
"""

import asyncio
from collections import defaultdict
from enum import Enum

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from accounting.guard.throttle import network

REQUEST_SECONDS = 15.0
"""From a connection's first moment, or a request's first byte, until the request is whole."""
MOST_HEAD_BYTES = 32 * 1024
MOST_WAITING = 200
"""Connections without a whole request; no more of one address than half of them."""
MOST_WAITING_OF_ONE = MOST_WAITING // 2
MOST_OPEN = 500
"""Connections without a whole request, new ones included."""
SOON_SECONDS = 1.0
"""An honest client sends a whole request within that time of connecting."""

READ_SECONDS = 30.0
LEAST_READ_BYTES = 64 * 1024
"""What a client takes in that time of an answer that waits for it."""

MOST_PIPELINED = 64
"""Requests on one connection that wait for the answer to an earlier one; each takes some 3 KB."""

ACCEPTED_AT_ONCE = 50
"""Connections that are accepted before those that are there are read again."""
QUEUED = 4096
"""Connections that the kernel holds until they are accepted."""

_TIMEOUT, _HEAD_TOO_LARGE = 408, 431


class HeadTooLarge(Exception):
    """A request's head is larger than may be."""


class HasBody(Exception):
    """A request to change the protocol has a body: the parser would read it as the next request."""


class TooManyRequests(Exception):
    """Too many requests came on one connection before the first was answered."""


class Wait(Enum):
    """Why a connection waits for its client."""

    NEW = "it has just come"
    SILENT = "it has not sent a whole request soon"
    IDLE = "it was answered before"


class Waiting:
    """The connections that wait for their clients, by reason and address, the longest first.

    Silent connections and idle ones are counted apart, so that neither group closes connections of
    the other. New ones are closed only if there are too many in all.
    """

    def __init__(self) -> None:
        self._by: dict[Wait, dict[str, dict[Connection, None]]] = {
            why: defaultdict(dict) for why in Wait
        }
        self._count = dict.fromkeys(Wait, 0)

    def enter(self, connection: "Connection", why: Wait) -> "list[Connection]":
        """Note that a connection waits; returns those that must go, because there are too many."""
        its = self._by[why][connection.address]
        its[connection] = None
        self._count[why] += 1
        if why is Wait.NEW:
            return self._beyond(why, sum(self._count.values()) - MOST_OPEN)
        return self._beyond(
            why, max(self._count[why] - MOST_WAITING, len(its) - MOST_WAITING_OF_ONE)
        )

    def leave(self, connection: "Connection", why: Wait) -> None:
        """Note that it does no longer."""
        its = self._by[why][connection.address]
        del its[connection]
        if not its:
            del self._by[why][connection.address]
        self._count[why] -= 1

    def _beyond(self, why: Wait, excess: int) -> "list[Connection]":
        """What the address with the most of a group gives up: those that have waited longest."""
        if excess <= 0:
            return []
        its = max(self._by[why].values(), key=len)
        return list(its)[:excess]


class Connection(HttpToolsProtocol):
    """A client's connection, which is closed if it keeps the service waiting.

    Attributes:
        waiting: all that wait at the same server (``connections_of_a_server``).
        waits: why it waits for its client; None while a request is answered.
        address: the client's address, or its network.
    """

    waiting = Waiting()
    waits: Wait | None = None
    address = ""
    _soon: asyncio.TimerHandle | None = None
    _is_head = True
    _head_bytes = 0
    _line_bytes = 0
    _has_ended = False
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    # uvicorn's own method takes a Transport, too, which is narrower than asyncio.Protocol's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; close other connections if there are too many."""
        super().connection_made(transport)
        self.address = network(self.client[0]) if self.client else ""
        self._arm()
        self._soon = self.loop.call_later(SOON_SECONDS, self._wait, Wait.SILENT)
        self._wait(Wait.NEW)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._cease()
        self._wait(None)
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as the head does not grow too large."""
        if self._deadline is None and self.waits is not None:
            self._arm()
        was_head, self._has_ended = self._is_head, False
        super().data_received(data)
        if self._is_head and was_head and not self._has_ended:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._line_bytes = 0
        if self.waits is None:  # while another one is answered
            self._arm()
            self._wait(Wait.IDLE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line; those that come after a body are not kept."""
        if self._is_head:
            self._line_bytes += len(name) + len(value)
            if self._line_bytes > MOST_HEAD_BYTES:  # that came in one piece
                self._refuse(_HEAD_TOO_LARGE)
                raise HeadTooLarge  # ends the parsing; uvicorn closes the connection
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; a body may follow."""
        self._is_head = False
        if len(self.pipeline) >= MOST_PIPELINED:
            self.transport.abort()
            raise TooManyRequests  # ends the parsing
        is_upgrade = self.parser.should_upgrade()
        if is_upgrade and self._has_body():
            raise HasBody  # ends the parsing; uvicorn answers 400 and closes the connection
        super().on_headers_complete()
        if is_upgrade:  # which we ignore; but the parser would not read on in the right place
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._cease()
        self._is_head, self._head_bytes, self._has_ended = True, 0, True
        self._wait(None)

    def on_response_complete(self) -> None:
        """It is answered; uvicorn closes the connection if nothing else comes soon."""
        super().on_response_complete()
        if self.waits is None and not self.transport.is_closing():
            self._wait(Wait.IDLE)

    def pause_writing(self) -> None:
        """The client takes less than it is sent: see that it goes on reading."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has taken nearly all of it."""
        super().resume_writing()
        self._unwatch()

    def give_up(self) -> None:
        """Close it, because too many wait."""
        self._wait(None)  # at once: asyncio tells only later that it is lost
        self.transport.abort()

    def _watch(self) -> None:
        self._unwatch()
        unread = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(READ_SECONDS, self._require_progress, unread)

    def _unwatch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _require_progress(self, unread: int) -> None:
        """An unread answer takes memory: its client reads on, or loses its connection."""
        if self.transport.get_write_buffer_size() > unread - LEAST_READ_BYTES:
            self.transport.abort()
        else:
            self._watch()

    def _has_body(self) -> bool:
        lengths = (b"content-length", b"transfer-encoding")
        return any(name in lengths and value != b"0" for name, value in self.headers)

    def _wait(self, why: Wait | None) -> None:
        """Note why it waits; those that have waited too long, among too many, must go."""
        if self._soon is not None and why is not Wait.NEW:
            self._soon.cancel()
            self._soon = None
        if self.waits is not None:
            self.waiting.leave(self, self.waits)
        self.waits = why
        if why is not None:
            for other in self.waiting.enter(self, why):
                other.give_up()

    def _arm(self) -> None:
        self._cease()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._refuse, _TIMEOUT)

    def _cease(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int) -> None:
        self._cease()
        if self.transport.is_closing():
            return
        if self._is_head:
            self.transport.write(
                STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()
        else:  # its body is missing: the application learns that the client has gone
            self.transport.abort()


def connections_of_a_server() -> type[Connection]:
    """The connections of one server: bounds on how many wait hold for them together."""

    class OfOneServer(Connection):
        waiting = Waiting()

    return OfOneServer
