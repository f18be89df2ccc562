"""Connections to the metrics' store that are used again, and a bound on the whole of a request.

urllib3 takes half of httpx's processor time for the small answers that most of a poll's are. Like
httpx it bounds each read alone: an answer that comes a byte a second would otherwise never end.
"""

import http.client
import io
import math
import socket
import ssl
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager, make_headers
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import parse_url

_MOST_CONNECTIONS = 20


class _Until(threading.local):
    """When the request of this thread must have ended; monotonic seconds."""

    at: float = math.inf


_until = _Until()


def begin(seconds: float) -> None:
    """What this thread asks from now on must be answered in that time, else its reads time out."""
    _until.at = time.monotonic() + seconds


def is_over() -> bool:
    """Whether this thread's time is over."""
    return time.monotonic() >= _until.at


class _Reader(io.RawIOBase):
    """What comes from a socket, until this thread's time is over."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience = sock.gettimeout() or math.inf
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _until.at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request as a whole took too long")
        self._sock.settimeout(min(self._patience, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock))

    def begin(self) -> None:
        super().begin()
        while self.status < HTTPStatus.OK:  # a hint: taken for an answer, it would shift them all
            self.headers = None  # type: ignore[assignment]  # else it would not read on
            super().begin()
        if self.length is None and not self.chunked and "Content-Length" in self.headers:
            raise http.client.HTTPException("the length of its answer is none")


class _Plain(HTTPConnection):
    response_class = _Response


class _Secure(HTTPSConnection):
    response_class = _Response

    def send(self, data: Any) -> None:
        # Who refuses our certificate takes no question, and says why where the answer would be.
        with suppress(ssl.SSLEOFError):
            super().send(data)


def pool_of(
    url: str, context: ssl.SSLContext, proxy: str | None, timeout_seconds: float
) -> HTTPConnectionPool:
    """Connections to one server, or to a proxy before it.

    Args:
        url: the server's.
        context: for https.
        proxy: its address, with user and password if it wants them.
        timeout_seconds: to connect, and for each read.
    """
    options: dict[str, Any] = {
        "maxsize": _MOST_CONNECTIONS,
        "timeout": timeout_seconds,
        "retries": False,
        "ssl_context": context,
    }
    if proxy is None:
        pool = PoolManager(**options).connection_from_url(url)
    else:
        user = unquote(parse_url(proxy).auth or "")
        shown = make_headers(proxy_basic_auth=user) if user else None
        pool = ProxyManager(proxy, proxy_headers=shown, **options).connection_from_url(url)
    pool.ConnectionCls = _Secure if pool.scheme == "https" else _Plain
    return pool
