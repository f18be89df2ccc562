"""Answers on one port at all loopback addresses, as notebooks do that are up: notebook.py PORT."""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Notebook(BaseHTTPRequestHandler):
    """Answers whatever it is asked."""

    def do_GET(self) -> None:
        body = b'{"version": "0"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class Loopback(ThreadingHTTPServer):
    """Listens at every address of the loopback, and nowhere else."""

    request_queue_size = 1024
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        super().server_bind()


if __name__ == "__main__":
    Loopback(("", int(sys.argv[1])), Notebook).serve_forever()
