"""Servers that answer in place of a Prometheus, and what bad ones say."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from accounting.errors import (
    SourceError,
    SourceGarbled,
    SourceRefused,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)

Params = dict[str, str]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    missing: int = 0
    """So many bytes are announced and not sent."""


Answer = Callable[[str, Params, str], Reply]
"""(path, parameters, Authorization header) → reply"""


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked = parse_qs(self.rfile.read(length).decode())
            params = {name: values[0] for name, values in asked.items()}
            reply = answer(self.path, params, self.headers.get("Authorization", ""))
            time.sleep(reply.delay)
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body) + reply.missing))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def says(code: int, /, **body: Any) -> Reply:
    return Reply(code, json.dumps(body).encode())


def vector(*rows: tuple[dict[str, str], str], **more: Any) -> Reply:
    result = [{"metric": labels, "value": [1762000000.5, value]} for labels, value in rows]
    return says(200, status="success", data={"resultType": "vector", "result": result}, **more)


ERROR = {"status": "error", "errorType": "execution"}
TOO_MANY = "query processing would load too many samples into memory in query execution"
LOGIN = b"<!doctype html><html><title>Sign in</title></html>"
WHOLE = vector(({"uid": "u"}, "1")).body
PARTIAL = "no StoreAPIs matched for this query"


@dataclass(frozen=True)
class Bad:
    """A bad answer, and the error that it must become."""

    name: str
    reply: Reply
    error: type[SourceError]
    said: str
    cure: str

    @property
    def timeout_seconds(self) -> float:
        """How long to wait for it: a busy machine must not answer later than that."""
        return 0.3 if self.reply.delay else 60.0


BAD = [
    Bad(
        "a refused question",
        says(400, **ERROR, error="parse error: x"),
        SourceRefused,
        "answered 400: parse error: x",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad("no token", says(401), SourceRefused, "answered 401", "ACCOUNTING_PROMETHEUS__TOKEN_FILE"),
    Bad(
        "a wrong token",
        Reply(403, b"Forbidden"),
        SourceRefused,
        "answered 403",
        "ACCOUNTING_PROMETHEUS__TOKEN_FILE",
    ),
    Bad("a wrong path", Reply(404, LOGIN), SourceRefused, "answered 404", "base of a Prometheus"),
    Bad(
        "a redirect to a login",
        Reply(302, b"", {"Location": "/login"}),
        SourceRefused,
        "answered 302",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad("too many requests", Reply(429), SourceUnavailable, "answered 429", "the next poll"),
    Bad("a broken server", Reply(500, b"oops"), SourceUnavailable, "answered 500", "the next poll"),
    Bad("a gateway without a server", Reply(502, LOGIN), SourceTooSlow, "answered 502", "log"),
    Bad("a starting server", Reply(503), SourceTooSlow, "answered 503", "log"),
    Bad(
        "a query that takes too long",
        says(503, **ERROR, error="query timed out in expression evaluation"),
        SourceTooLarge,
        "503: query timed out",
        "STEP",
    ),
    Bad("a gateway that gives up", Reply(504, LOGIN), SourceTooLarge, "answered 504", "STEP"),
    Bad(
        "a store that counts series",
        says(422, **ERROR, error="expanding series: the query hit the max number of series limit"),
        SourceTooLarge,
        "max number of series",
        "STEP",
    ),
    Bad(
        "Prometheus' limit",
        says(422, **ERROR, error=TOO_MANY),
        SourceTooLarge,
        "too many samples",
        "--query.max-samples",
    ),
    Bad(
        "VictoriaMetrics' limit",
        says(422, **ERROR, error="cannot select more than -search.maxSamplesPerQuery=1000 samples"),
        SourceTooLarge,
        "cannot select more",
        "POLL__STEP",
    ),
    Bad(
        "VictoriaMetrics' limit of series",
        says(
            422,
            **ERROR,
            error="the number of matching "
            "timeseries exceeds 100; either narrow down the search or increase -search.maxUnique"
            "Timeseries",
        ),
        SourceTooLarge,
        "exceeds 100",
        "POLL__STEP",
    ),
    Bad(
        "Mimir's limit",
        says(
            422,
            **ERROR,
            error="the query exceeded the maximum number of chunks"
            " (limit: 2 chunks) (err-mimir-max-chunks-per-query)",
        ),
        SourceTooLarge,
        "err-mimir-max-chunks-per-query",
        "POLL__STEP",
    ),
    Bad(
        "Thanos' limit",
        says(422, **ERROR, error="exceeded series limit: limit 5 violated (got 6)"),
        SourceTooLarge,
        "limit 5 violated",
        "POLL__STEP",
    ),
    Bad("a proxy's limit", Reply(413, LOGIN), SourceTooLarge, "answered 413", "POLL__STEP"),
    Bad("a web page", Reply(200, LOGIN), SourceGarbled, "a web page", "login page or proxy"),
    Bad(
        "half an answer",
        Reply(200, WHOLE[: len(WHOLE) // 2]),
        SourceGarbled,
        "unreadable",
        "poll again",
    ),
    Bad("nothing", Reply(200), SourceGarbled, "unreadable", "poll again"),
    Bad("bytes that are no text", Reply(200, b"\xff\xfe{}"), SourceGarbled, "unreadable", "again"),
    Bad("another API's JSON", says(200, items=[]), SourceGarbled, "unreadable", "poll again"),
    Bad("an error that looks well", says(200, **ERROR, error="x"), SourceGarbled, "unreadable", ""),
    Bad(
        "a warning",
        vector(({"uid": "u"}, "1"), warnings=[PARTIAL]),
        SourceGarbled,
        f"incomplete answer: {PARTIAL}",
        "repair the stores",
    ),
    Bad(
        "a partial answer",
        vector(({"uid": "u"}, "1"), isPartial=True),
        SourceGarbled,
        "the answer is partial",
        "nothing was recorded",
    ),
    Bad(
        "a cut connection",
        Reply(200, WHOLE, missing=10),
        SourceUnavailable,
        "cannot be reached",
        "ACCOUNTING_PROMETHEUS__URL",
    ),
    Bad(
        "a slow server",
        Reply(200, WHOLE, delay=1.0),
        SourceTooSlow,
        "did not answer within 0.3 s",
        "ACCOUNTING_PROMETHEUS__TIMEOUT",
    ),
]
