"""One client without a login does not take the service down."""

import asyncio
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from accounting.guard import connections
from accounting.guard.armour import MOST_AT_ONCE
from accounting.guard.connections import (
    MOST_HEAD_BYTES,
    MOST_OPEN,
    MOST_WAITING_OF_ONE,
    Connection,
    Wait,
    Waiting,
)
from tests.api.serving import Running, Serve
from tests.security import clients
from tests.security.clients import address_of, closed_within, held, poured
from tests.security.test_stopping import serving

MB = 1024 * 1024


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    return serve_all()


def works_at_once(running: Running) -> None:
    """Health, and an honest request, on connections of their own."""
    for path, headers in (
        ("/healthz", {}),
        ("/api/v1/me", {"Authorization": "Bearer the-admins-token"}),
    ):
        assert httpx.get(running.url + path, headers=headers, timeout=60).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [clients.BODY_NEVER_COMES, clients.HALF_A_HEAD, clients.NOTHING, b"\r\n", clients.ENDLESS_BODY],
)
def test_however_many_requests_are_never_whole_others_are_answered(
    sent: bytes, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 200.0)  # not that makes room
    with held(running.url, 2 * MOST_AT_ONCE + 5, sent) as made:
        time.sleep(connections.SOON_SECONDS)
        works_at_once(running)
        assert closed_within(made[0], 60)  # the one that waited the longest made room
        still = [one for one in made[-20:] if not closed_within(one, 0.01)]
        assert still  # and those that came last may still send the rest


def test_a_connection_that_stays_idle_does_not_keep_others_out(running: Running) -> None:
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with held(running.url, 2 * MOST_AT_ONCE, whole):
        works_at_once(running)


@pytest.mark.parametrize("sent", [clients.HALF_A_HEAD, clients.BODY_NEVER_COMES, b"", b"\r\n"])
def test_a_request_must_be_whole_in_time_however_slowly_it_drips(
    sent: bytes, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 1.0)
    begun = time.monotonic()
    with held(running.url, 1, sent) as (one,):
        one.settimeout(0.2)
        while time.monotonic() - begun < 60:
            try:
                one.sendall(b"\r\n" if sent in {b"", b"\r\n"} else b"x")
                if not one.recv(100):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-A: " + b"x" * 8000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 1000),
        (b"GET / HTTP/1.1\r\nX: ", b"y" * 8192),
        (b"GET /", b"a" * 8192),
        (b"", b"\r\n" * 4096),
    ],
    ids=["lines", "short-lines", "one-line", "path", "blank-lines"],
)
def test_a_head_that_never_ends_is_refused_and_not_kept(
    first: bytes, again: bytes, running: Running
) -> None:
    before = psutil.Process().memory_info().rss
    sent, said = poured(running.url, first, again, 40 * MB)
    assert sent < 20 * MB  # what the sockets' buffers hold on the way
    assert psutil.Process().memory_info().rss - before < 30 * MB
    assert not said or said.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
    works_at_once(running)


@pytest.mark.parametrize(
    "again",
    [b"1\r\nx\r\n" * 1000, b"1;" + b"e" * 8000 + b"\r\nx\r\n", b"2000\r\n" + b"x" * 8192 + b"\r\n"],
    ids=["small-chunks", "extensions", "large-chunks"],
)
def test_a_body_that_never_ends_is_refused_and_not_kept(again: bytes, running: Running) -> None:
    before = psutil.Process().memory_info().rss
    poured(running.url, clients.ENDLESS_BODY, again, 40 * MB)
    assert psutil.Process().memory_info().rss - before < 30 * MB
    works_at_once(running)


def test_lines_after_a_body_are_not_kept(running: Running) -> None:
    before = psutil.Process().memory_info().rss
    first = clients.ENDLESS_BODY + b"1\r\nx\r\n0\r\n"
    poured(running.url, first, b"X-Trailer: " + b"y" * 8000 + b"\r\n", 40 * MB)
    assert psutil.Process().memory_info().rss - before < 30 * MB
    works_at_once(running)


def test_a_head_of_usual_size_passes_with_a_body_in_the_same_piece(running: Running) -> None:
    body = b"token=" + b"w" * 60_000
    head = (
        b"POST /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n"
        b"X-Large: " + b"y" * (MOST_HEAD_BYTES - 1000) + b"\r\n"
    )
    _, said = poured(running.url, head + b"Content-Length: %d\r\n\r\n" % len(body) + body, b"", 0)
    assert said.startswith(b"HTTP/1.1 401")


class Client:
    """As much of a connection as the choice looks at."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.address = address


def entered(waiting: Waiting, why: Wait, *clients: Client) -> list[Client]:
    """Who must go when these begin to wait; they leave."""
    gone = []
    for one in clients:
        for other in waiting.enter(one, why):  # type: ignore[arg-type]
            waiting.leave(other, why)
            gone.append(other)
    return gone  # type: ignore[return-value]


def test_the_address_with_the_most_gives_up_its_oldest() -> None:
    waiting = Waiting()
    others = [Client(f"198.51.100.{n}") for n in range(90)]
    mine = [Client() for _ in range(MOST_WAITING_OF_ONE + 2)]
    assert entered(waiting, Wait.SILENT, *others) == []
    assert entered(waiting, Wait.NEW, *[Client() for _ in range(200)]) == []
    assert entered(waiting, Wait.IDLE, *mine[:MOST_WAITING_OF_ONE]) == []
    for one in mine[:MOST_WAITING_OF_ONE]:
        waiting.leave(one, Wait.IDLE)  # type: ignore[arg-type]
    assert entered(waiting, Wait.SILENT, *mine) == mine[:2]
    assert (
        entered(waiting, Wait.SILENT, *[Client(f"192.0.2.{n}") for n in range(50, 70)])
        == (
            mine[2:12]  # of all together there are too many, so whoever has the most gives them up
        )
    )
    idle = [Client() for _ in range(MOST_WAITING_OF_ONE + 1)]
    assert entered(waiting, Wait.IDLE, *idle) == idle[:1]


def test_even_of_those_that_have_just_come_there_is_a_bound() -> None:
    fresh = [Client() for _ in range(MOST_OPEN + 3)]
    assert entered(Waiting(), Wait.NEW, *fresh) == fresh[:3]


def test_a_request_that_lies_ready_while_the_service_is_late_is_not_counted_as_silent(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with many connections at once, the loop looks at a connection long after it came."""
    monkeypatch.setattr(connections, "MOST_WAITING_OF_ONE", 0)
    made = Connection.connection_made

    def late(self: Connection, transport: asyncio.Transport) -> None:
        made(self, transport)
        time.sleep(connections.SOON_SECONDS + 0.3)

    monkeypatch.setattr(Connection, "connection_made", late)
    with held(running.url, 3, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as asked:
        for one in asked:
            assert one.recv(12) == b"HTTP/1.1 200"


def test_requests_that_come_before_an_answer_take_little_memory(running: Running) -> None:
    before = peak = psutil.Process().memory_info().rss
    many = b"GET / HTTP/1.1\r\nHost:x\r\n\r\n" * 10_000
    with held(running.url, 40, many):
        for _ in range(10):
            time.sleep(0.1)
            peak = max(peak, psutil.Process().memory_info().rss)
    assert peak - before < 40 * MB  # was 150 MB
    works_at_once(running)


def test_more_connections_than_a_process_may_usually_have_keep_nobody_out(tmp_path: Path) -> None:
    """At 1,024 files, a process may open no more of them: not the database's, either."""
    with (
        serving(tmp_path, before=["sh", "-c", 'ulimit -Sn 1024; exec "$@"', "sh"]) as (_, url, log),
        ExitStack() as stack,
    ):
        for _ in range(2500):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(address_of(url))
        begun = time.monotonic()
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        assert time.monotonic() - begun < 10
    assert not any("exception" in line for line in log)
