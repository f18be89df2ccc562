"""TLS before several servers, each by its host name, as an ingress is; and a browser for it."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from playwright.sync_api import Browser

from ssm.testing.authority import Authority
from tests.browser import run_chromium

_OF_A_HOP = {"connection", "content-length", "keep-alive", "transfer-encoding", "content-encoding"}
PAGE = b"<!doctype html><title>A notebook</title><p>A page of somebody's notebook."


@contextmanager
def front(folder: Path, servers: Mapping[str, str]) -> Iterator[int]:
    """Its port.

    Args:
        folder: for the certificate.
        servers: host name → base URL; empty: a page of its own.
    """
    issued = Authority.create(folder).issue("front.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            base = servers.get(self.headers.get("Host", "").partition(":")[0])
            if not base:
                self._say(200 if base == "" else 404, [("Content-Type", "text/html")], PAGE)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            passed = [(k, v) for k, v in self.headers.items() if k.lower() not in _OF_A_HOP]
            answer = httpx.request(
                self.command,
                base + self.path,
                headers=[*passed, ("X-Forwarded-Proto", "https")],
                content=body,
                timeout=60,
            )
            kept = [(k, v) for k, v in answer.headers.multi_items() if k not in _OF_A_HOP]
            self._say(answer.status_code, kept, answer.content)

        def _say(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in [*headers, ("Content-Length", str(len(body)))]:
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # type: ignore[method-assign]
        running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


@contextmanager
def finding(port: int) -> Iterator[Browser]:
    """A Chromium to which all names of example.org are this port of this machine."""
    rules = f"--host-resolver-rules=MAP *.example.org:443 127.0.0.1:{port}"
    with run_chromium(rules, "--ignore-certificate-errors") as chromium:
        yield chromium
