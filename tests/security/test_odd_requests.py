"""Requests that can be read in two ways, or that no browser makes, reach nothing of ours."""

import asyncio
import re
import socket
import time
from contextlib import suppress

import httpx
import pytest

from accounting.guard import connections
from accounting.guard.connections import Connection
from accounting.guard.throttle import ALLOWED
from tests.api.serving import ADMIN, Running, Serve
from tests.delivery.books import account, write
from tests.security.clients import connected

AS_ADMIN = f"Host: x\r\nAuthorization: Bearer {ADMIN}\r\n".encode()
HIDDEN = b"GET /api/v1/hidden HTTP/1.1\r\n" + AS_ADMIN + b"\r\n"
CLOSE = b"Connection: close\r\n\r\n"
HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    found = serve_all()
    write(found.service.database, [account(n) for n in range(1000)])
    return found


def said(running: Running, sent: bytes, seconds: float = 5.0) -> bytes:
    """All that is answered on a connection until it is closed, or silent for so long after that."""
    answer = b""
    with connected(running.url) as one, suppress(OSError):
        one.settimeout(60)
        one.sendall(sent)
        while piece := one.recv(65536):
            answer += piece
            one.settimeout(seconds)
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


SMUGGLED = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "one length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": b"Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": b"Content-Length: 0x2\r\n\r\n{}",
    "a negative length": b"Content-Length: -1\r\n\r\n{}",
    "space before the colon": b"Content-Length : 2\r\n\r\n{}",
    "chunks, space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a chunk without end": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "chunks with bare line feeds": b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a folded line": b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return": b"X: a\rContent-Length: 0\r\nContent-Length: 2\r\n\r\n{}",
    "a zero byte": b"Cookie: accounting-session=a\0b\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_request_whose_end_is_ambiguous_is_refused_with_what_follows(
    head: bytes, running: Running
) -> None:
    """Behind a proxy that reads it otherwise, the rest would be somebody else's request."""
    begun = len(running.service.runs.latest())
    answer = said(running, b"POST /api/v1/push HTTP/1.1\r\n" + AS_ADMIN + head + HIDDEN)
    assert statuses(answer) == [400]
    assert len(running.service.runs.latest()) == begun


NOT_HTTP = {
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "no host, but a token": (b"GET /api/v1/me HTTP/1.1\r\n" + AS_ADMIN[9:] + b"\r\n", 400),
    "two names": (b"GET /healthz HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "somebody at a host": (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "an address in brackets": (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    "an old version without host": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "an old version with chunks": (
        b"POST /login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "the oldest version": (b"GET /healthz\r\n\r\n", 505),
    "a newer version": (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    "a newer version's beginning": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a packed body": (
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    "bare line feeds": (b"GET /healthz HTTP/1.1\nHost: x\n\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_what_is_not_http_1_is_refused(sent: bytes, status: int, running: Running) -> None:
    found = re.findall(rb"HTTP/1\.\d (\d{3})", said(running, sent, 0.5))
    assert found == [b"%d" % status]


@pytest.mark.parametrize("kind", [b"websocket", b"h2c", b"TLS/1.0"])
@pytest.mark.parametrize(
    "length", [b"Content-Length: %d" % len(HIDDEN), b"Transfer-Encoding: chunked"]
)
def test_the_body_of_an_upgrade_is_not_the_next_request(
    kind: bytes, length: bytes, running: Running
) -> None:
    """The parser ends at the head, and would read what comes in the next piece as a request."""
    head = b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: " + kind
    with connected(running.url) as one:
        one.sendall(head + b"\r\n" + length + b"\r\n\r\n")
        time.sleep(0.3)
        with suppress(OSError):
            one.sendall(HIDDEN)
        answer = b""
        with suppress(OSError):
            while piece := one.recv(65536):
                answer += piece
    assert statuses(answer) == [400]
    assert b"hidden" not in answer


def test_an_upgrade_without_a_body_is_answered_and_then_the_connection_is_closed(
    running: Running,
) -> None:
    """As Java's client asks, which takes the plain answer."""
    head = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = said(running, head, 5)
    assert statuses(answer) == [200]
    assert b"connection: close\r\n" in answer


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Host", (b"x", b"y")),
        ("host", (b"x", b"x")),
        ("Authorization", (b"Bearer " + ADMIN.encode(), b"Bearer wrong")),
        ("Origin", (b"http://x", b"http://evil.example.org")),
        ("Sec-Fetch-Site", (b"same-origin", b"cross-site")),
        ("Content-Type", (b"text/plain", b"application/x-www-form-urlencoded")),
    ],
)
def test_a_header_that_decides_something_is_given_once(
    name: str, values: tuple[bytes, bytes], running: Running
) -> None:
    lines = b"".join(b"%s: %s\r\n" % (name.encode(), value) for value in values)
    others = b"" if name.lower() == "host" else b"Host: x\r\n"
    answer = said(running, b"GET /api/v1/me HTTP/1.1\r\n" + others + lines + CLOSE)
    assert statuses(answer) == [400]
    assert f"the header {name.lower()} is given twice".encode() in answer


HOSTS = [b"[", b"[::1", b"]", b"", b"\xc3\xbc.example.org", b"\xff\xfe", b"a b", b"x:99999", b"x:a"]
HOSTS += [b"@", b"x/y?z#", b"\xe2\x84\x80", b"evil.example.org", b"x" * 8000]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/", "/login?ticket=a", "/my", "/api/v1/me", "/logout"])
def test_no_host_makes_the_service_fail_or_send_anybody_there(
    host: bytes, path: str, running: Running
) -> None:
    for more in (b"", b"Accept: text/html\r\n", b"Cookie: accounting-session=x\r\n", AS_ADMIN[9:]):
        head = b"GET %s HTTP/1.1\r\nHost: %s\r\n" % (path.encode(), host)
        answer = said(running, head + more + CLOSE)
        (status,) = statuses(answer)
        assert status < 500
        location = re.search(rb"\r\nlocation: ([^\r]*)", answer.lower())
        assert not location or location[1].startswith(b"/")


PATHS = [
    "//",
    "//evil/",
    "/static/..%2f..%2fapp.py",
    "/static/%2e%2e/app.py",
    "/api/v1/%2e%2e/healthz",
]
PATHS += ["/healthz/", "/HEALTHZ", "/healthz%00", "/healthz;a", "/%", "/%ff%fe", "/./healthz", "*"]
PATHS += ["/../healthz", "/static/../api/v1/me", "/login/", "/login/../api/v1/me", "/api/v1//me"]
PATHS += ["/api/v1/me/", "/healthz%2f..%2fapi/v1/me", "/healthz/../api/v1/me", "http://x/api/v1/me"]


@pytest.mark.parametrize("path", PATHS)
def test_no_spelling_of_a_path_gets_in_without_a_token(path: str, running: Running) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode()
    assert statuses(said(running, head + CLOSE)) in ([400], [401])
    if "://" not in path:
        assert statuses(said(running, head + AS_ADMIN[9:] + CLOSE)) in ([400], [404])


@pytest.mark.parametrize(
    "head",
    [
        b"Range: bytes=0-10,5-," + b"0-1," * 3000,
        b"Accept: " + b"a/b;q=0.1," * 2800,
        b"Accept: a/b" + b";c=d" * 6000,
        b"If-None-Match: " + b'"a",' * 7000,
        b"Cookie: " + b"a=b;" * 7000,
        b'Cookie: a="' + b'\\"' * 14000 + b'"',
        b"Authorization: Bearer " + b"x" * 30000,
        b"Origin: http://" + b"[" * 30000,
        b"X-Forwarded-For: " + b"1.2.3.4, " * 3000,
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: ",
    ],
    ids=lambda head: head[:20].decode(),
)
def test_no_header_takes_long_or_makes_the_service_fail(head: bytes, running: Running) -> None:
    more = b"Host: x\r\n" if head.startswith((b"Auth", b"Cookie")) else AS_ADMIN
    for path in (b"/api/v1/summaries", b"/static/pages.css", b"/my"):
        begun = time.process_time()
        answer = said(running, b"GET " + path + b" HTTP/1.1\r\n" + more + head + b"\r\n" + CLOSE)
        assert statuses(answer)[0] < 500
        assert time.process_time() - begun < 2  # some milliseconds; the service's are among them


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&".join(f"{n:x}" for n in range(5500)), 400),
        ("&".join(["by=vo"] * 4500), 200),
        ("&".join(["by=x"] * 4500), 400),
        ("x" * 30000, 400),
        ("vo=%ff", 200),
        ("vo=%", 200),
    ],
    ids=["options", "one option", "wrong ones", "a long one", "no UTF-8", "half an escape"],
)
def test_no_address_takes_long_however_many_options_it_has(
    query: str, status: int, running: Running
) -> None:
    begun = time.process_time()
    answer = running.get(f"/api/v1/summaries?{query}")
    assert answer.status_code == status
    assert len(answer.content) < 10_000 or status == 400
    assert time.process_time() - begun < 2


ALLOWED_BY_HTTP = {
    "an old version": (b"GET /api/v1/me HTTP/1.0\r\n" + AS_ADMIN + b"\r\n", [200]),
    "pipelined": ((b"GET /api/v1/me HTTP/1.1\r\n" + AS_ADMIN + b"\r\n") * 40, [200] * 40),
    "a token in the trailer": (
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        + AS_ADMIN
        + b"\r\n",
        [401],
    ),
    "long chunk extensions": (
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + (b"1;" + b"a" * 4000 + b"\r\nx\r\n") * 500
        + b"0\r\n\r\n",
        [401],
    ),
    "a body that is asked for": (
        b"POST /login HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n"
        + HOST
        + CLOSE,
        [413],
    ),
    "another upgrade, and what follows": (
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        + HIDDEN,
        [200],
    ),
    "a tunnel": (b"CONNECT /api/v1/me HTTP/1.1\r\n" + AS_ADMIN + b"\r\n" + HIDDEN, [405]),
    "an echo": (b"TRACE /api/v1/me HTTP/1.1\r\n" + AS_ADMIN + CLOSE, [405]),
    "another's address": (b"GET http://evil/api/v1/me HTTP/1.1\r\nHost: x\r\n" + CLOSE, [401]),
    "overlong UTF-8": (b"GET /static/%c0%ae%c0%ae%c0%af HTTP/1.1\r\n" + AS_ADMIN + CLOSE, [404]),
    "half a character": (b"GET /records/%ed%a0%80 HTTP/1.1\r\n" + AS_ADMIN + CLOSE, [400]),
    "a line in a path": (b"GET /records/%0d%0aX:y HTTP/1.1\r\n" + AS_ADMIN + CLOSE, [400]),
    "another method in a header": (
        b"GET /api/v1/push HTTP/1.1\r\nX-HTTP-Method-Override: POST\r\n" + AS_ADMIN + CLOSE,
        [405],
    ),
    "cookies without end": (
        b"GET /my HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b; " * 13_000 + b"\r\n" + CLOSE,
        [431],
    ),
}


@pytest.mark.parametrize(("sent", "expected"), ALLOWED_BY_HTTP.values(), ids=ALLOWED_BY_HTTP.keys())
def test_what_http_allows_beside_plain_requests_reaches_no_more(
    sent: bytes, expected: list[int], running: Running
) -> None:
    begun = len(running.service.runs.latest())
    answer = said(running, sent, 3.0)
    found = re.findall(rb"HTTP/1\.\d (\d{3})", answer)
    assert found == [b"%d" % status for status in expected]
    assert b"the-admins-token" not in answer
    assert len(running.service.runs.latest()) == begun


def test_whoever_names_another_address_is_still_counted_by_their_own(serve: Serve) -> None:
    running = serve()
    for n in range(ALLOWED + 1):
        said_address = {"X-Forwarded-For": f"192.0.2.{n}", "Forwarded": f"for=192.0.2.{n}"}
        answer = running.get("/api/v1/me", f"wrong-{n}", headers=said_address)
    assert answer.status_code == 429


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=a"])
def test_a_form_that_is_none_signs_nobody_in(kind: str, running: Running) -> None:
    file = (
        b'--a\r\nContent-Disposition: form-data; name="token"; filename="x"\r\n\r\nx\r\n--a--\r\n'
    )
    for body in (b"", b"x", file, file * 500, b"--a\r\n" * 9000):
        answer = httpx.post(
            f"{running.url}/login", content=body, headers={"Content-Type": kind}, timeout=60
        )
        assert answer.status_code in {400, 401, 429}


PAGES = ["/usage", "/records", "/gaps", "/deliveries"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_ignores_options_that_it_does_not_know_where_the_api_refuses_them(
    page: str, running: Running
) -> None:
    """Mail programs and link checkers append such; a page shows what it was asked for."""
    plain, more = (running.get(f"{page}{end}") for end in ("", "?utm_source=mail&foo=1&foo=2"))
    assert (plain.status_code, more.status_code) == (200, 200)
    assert "utm_source" not in more.text
    assert len(re.findall("<tr", more.text)) == len(re.findall("<tr", plain.text))


def test_an_answer_that_nobody_reads_is_given_up(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Connection.connection_made

    def with_small_buffer(self: Connection, transport: asyncio.Transport) -> None:
        """So that the kernel does not take the whole answer."""
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        made(self, transport)

    monkeypatch.setattr(Connection, "connection_made", with_small_buffer)
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    whole = len(running.get("/api/v1/records?limit=1000").content)
    asked = b"GET /api/v1/records?limit=1000 HTTP/1.1\r\n" + AS_ADMIN + b"\r\n"
    with reader(running.url) as lazy, reader(running.url) as slow:
        lazy.sendall(asked)
        slow.sendall(asked)
        taken, until = 0, time.monotonic() + 20
        while taken < whole and time.monotonic() < until:
            taken += len(slow.recv(8192))
            time.sleep(0.002)
        time.sleep(1.5)
        left = b""
        with suppress(OSError):
            while piece := lazy.recv(65536):
                left += piece
    assert taken >= whole > 700_000
    assert len(left) < whole


def reader(url: str) -> socket.socket:
    """A connection whose client takes little at a time."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(5)
    address = httpx.URL(url)
    one.connect((address.host, address.port))
    return one
