"""A bound on the whole of a request, which httpx lacks: its timeouts are for each read alone.

An answer that comes a byte a second would otherwise never end, be it in its head or its body.
"""

import math
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

# httpcore may close a connection whose time has run out under a thread that was just given it.
# With httpx's five seconds that is in the middle of a poll on a busy machine; polls are further
# apart than this, and servers keep connections for longer.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class _Until(threading.local):
    """When the request of this thread must have ended; monotonic seconds."""

    at: float = math.inf

    def left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        """A timeout that ends no later.

        Raises:
            httpcore.TimeoutException: it is over.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise late("the request as a whole took too long")
        if math.isinf(left):
            return timeout
        return left if timeout is None else min(timeout, left)


class DeadlineTransport(httpx.HTTPTransport):
    """Sends requests that must end in time as a whole: see ``begin``."""

    def __init__(self, verify: ssl.SSLContext | bool, proxy: str | None = None) -> None:
        super().__init__(verify=verify, proxy=proxy, limits=_LIMITS)
        self._until = _Until()
        # httpx has no public way to hand a network backend to httpcore.
        self._pool._network_backend = _Backend(self._until)  # noqa: SLF001 - no public way

    def begin(self, seconds: float) -> None:
        """What this thread asks from now on must be answered in that time, else httpx times out."""
        self._until.at = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether this thread's time is over."""
        return time.monotonic() >= self._until.at


class _Backend(httpcore.NetworkBackend):
    def __init__(self, until: _Until) -> None:
        self._until = until
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._until.left(timeout, httpcore.ConnectTimeout)
        stream = self._real.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream, self._until)


class _Stream(httpcore.NetworkStream):
    def __init__(self, real: httpcore.NetworkStream, until: _Until) -> None:
        self._real = real
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._real.read(max_bytes, self._until.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._real.write(buffer, self._until.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._until.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._real.start_tls(ssl_context, server_hostname, left), self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)
