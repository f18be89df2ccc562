"""Bounds on what a client may hold open: how many connections, how long, how many bytes.

uvicorn reads HTTP, but bounds neither the time and size of a request's head nor the time of its
body. This module does. If there are too many connections, it closes those that have waited longest
for their clients. Clients that send a whole request at once are served.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

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

_TIMEOUT, _HEAD_TOO_LARGE = 408, 431


class HeadTooLarge(Exception):
    """A request's head is larger than may be."""


class Connection(HttpToolsProtocol):
    """A client's connection, which is closed if it keeps the service waiting.

    Attributes:
        waits_since: since when its next request is not whole, the loop's seconds; None while one is
            answered.
        has_asked: it has sent a whole request before.
    """

    waits_since: float | None = None
    has_asked = False
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
        self._wait()
        known = (c for c in self.connections if isinstance(c, Connection))
        for other in surplus(known, self.loop.time()):
            other.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._cease()
        self._unwatch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, as long as the head does not grow too large."""
        if self._deadline is None and self.waits_since is not None:
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
        if self.waits_since is None:  # while another one is answered
            self._wait()

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
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._cease()
        self._is_head, self._head_bytes, self._has_ended = True, 0, True
        self.waits_since, self.has_asked = None, True

    def on_response_complete(self) -> None:
        """It is answered; uvicorn closes the connection if nothing else comes soon."""
        super().on_response_complete()
        if self.waits_since is None:
            self.waits_since = self.loop.time()

    def pause_writing(self) -> None:
        """The client takes less than it is sent: see that it goes on reading."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It has taken nearly all of it."""
        super().resume_writing()
        self._unwatch()

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

    def _wait(self) -> None:
        self.waits_since = self.loop.time()
        self._arm()

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


def surplus(connections: Iterable[Connection], now: float) -> list[Connection]:
    """Which connections must go, because too many wait for their clients.

    Silent connections and idle ones (which have asked before) are counted apart, so that neither
    group closes connections of the other. New connections are in neither group.

    Args:
        connections: all.
        now: the loop's seconds.
    """
    waiting = [c for c in connections if c.waits_since is not None]
    slow = [c for c in waiting if not c.has_asked and now - (c.waits_since or 0.0) >= SOON_SECONDS]
    idle = [c for c in waiting if c.has_asked]
    gone = [
        *_beyond(slow, MOST_WAITING, MOST_WAITING_OF_ONE),
        *_beyond(idle, MOST_WAITING, MOST_WAITING_OF_ONE),
    ]
    return gone or _beyond(waiting, MOST_OPEN, MOST_OPEN)


def _beyond(group: list[Connection], most: int, most_of_one: int) -> list[Connection]:
    """What the address with the most of a group must give up: those that have waited longest."""
    if len(group) <= most_of_one:
        return []
    addresses = [c.client[0] if c.client else "" for c in group]
    address, count = Counter(addresses).most_common(1)[0]
    excess = max(len(group) - most, count - most_of_one, 0)
    its_own = [c for c, of in zip(group, addresses, strict=True) if of == address]
    return sorted(its_own, key=lambda c: (c.has_asked, c.waits_since))[:excess]
