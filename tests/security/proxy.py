"""A proxy over TCP that can stop to forward: the other side is up, and silent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Forwards connections to a port of this machine.

    Attributes:
        port: where it listens.
        forwards: while set; else it takes connections, and what they send, and says nothing.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._made: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.forwards = threading.Event()
        self.forwards.set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Forward nothing meanwhile."""
        self.forwards.clear()
        try:
            yield
        finally:
            self.forwards.set()

    def close(self) -> None:
        """End all connections."""
        self.forwards.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for one in self._made:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            self._made.append(ours)
            threading.Thread(target=self._join, args=(ours,), daemon=True).start()

    def _join(self, ours: socket.socket) -> None:
        self.forwards.wait()
        theirs = socket.create_connection(("127.0.0.1", self._to))
        self._made.append(theirs)
        threading.Thread(target=self._pump, args=(theirs, ours), daemon=True).start()
        self._pump(ours, theirs)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self.forwards.wait()
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """A proxy until the end of the block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
