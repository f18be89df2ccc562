"""Clients without a login that try to take the service down, over plain sockets."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


def connected(url: str) -> socket.socket:
    return socket.create_connection(address_of(url), timeout=10)


@contextmanager
def held(url: str, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send no more than this, and stay."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            one = stack.enter_context(connected(url))
            with suppress(OSError):
                one.sendall(sent)
            made.append(one)
        yield made


BODY_NEVER_COMES = (
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
)
HALF_A_HEAD = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half: "
ENDLESS_BODY = (
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
)
NOTHING = b""


def closed_within(one: socket.socket, seconds: float) -> bool:
    """Whether the server ends a connection in that time, with or without a last word."""
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def poured(url: str, first: bytes, again: bytes, most_bytes: int) -> tuple[int, bytes]:
    """Send as much as the server takes: how many bytes, and what it said."""
    sent, said = 0, b""
    with connected(url) as one:
        try:
            one.sendall(first)
            while sent < most_bytes:
                one.sendall(again)
                sent += len(again)
        except OSError:
            pass
        with suppress(OSError):
            one.settimeout(2)
            while piece := one.recv(65536):
                said += piece
    return sent, said
