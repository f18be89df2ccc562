"""A storm of wrong tokens keeps nobody out who has a right one."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from accounting.guard.armour import MOST_AT_ONCE
from accounting.guard.throttle import ALLOWED, MOST_SUSPECTS
from tests.api.serving import ADMIN, Running, Serve
from tests.private import secret

GUESSERS = MOST_SUSPECTS + 20
RIGHT = "the-token-of-ada"
ADA = {
    "name": "ada",
    "kind": "user",
    "groups": [],
    "admin": False,
    "scopes": ["access:services!service=accounting"],
}


class _SlowHub(BaseHTTPRequestHandler):
    """Knows one token, and takes its time."""

    def do_GET(self) -> None:
        is_right = self.headers["Authorization"] == f"token {RIGHT}"
        time.sleep(0.0 if is_right else 0.3)
        body = json.dumps(ADA if is_right else {"status": 403}).encode()
        self.send_response(200 if is_right else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def running(serve: Serve, tmp_path: Path) -> Iterator[Running]:
    secret(tmp_path / "hub-token", "x" * 32)
    with ThreadingHTTPServer(("127.0.0.1", 0), _SlowHub) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield serve(
            HUB__API_URL=f"http://127.0.0.1:{server.server_address[1]}/hub/api",
            HUB__API_TOKEN_FILE=str(tmp_path / "hub-token"),
        )
        server.shutdown()
        thread.join()


def test_right_tokens_work_while_many_guess_from_the_same_address(running: Running) -> None:
    for n in range(ALLOWED + 1):
        running.get("/api/v1/me", f"first-{n}")
    assert running.get("/api/v1/me", RIGHT).status_code == 200
    over = Event()

    def guess(number: int) -> set[int]:
        seen = set()
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                said = {"Authorization": f"Bearer wrong-{number}-{time.monotonic()}"}
                seen.add(client.get(f"{running.url}/api/v1/me", headers=said).status_code)
                over.wait(0.5)
        return seen

    with ThreadPoolExecutor(GUESSERS) as people:
        guesses = [people.submit(guess, n) for n in range(GUESSERS)]
        try:
            time.sleep(1)
            for _ in range(5):
                assert running.doors._suspects._waiting <= MOST_SUSPECTS
                for token in (ADMIN, RIGHT):  # the administrator's, and one of the hub
                    begun = time.monotonic()
                    assert running.get("/api/v1/me", token).status_code == 200
                    assert time.monotonic() - begun < 30
        finally:
            over.set()
        assert set().union(*(one.result() for one in guesses)) <= {401, 429}
    assert MOST_SUSPECTS < MOST_AT_ONCE / 2  # the others' requests find a place


def test_guesses_from_many_networks_are_throttled_together_and_right_tokens_work(
    serve: Serve,
) -> None:
    """Who has a /48 has 65,536 networks of the size that counts as one client."""
    running = serve(API__TRUSTED_PROXIES="127.0.0.1")

    def asked(number: int, token: str) -> int:
        headers = {"X-Forwarded-For": f"2001:db8:0:{number:x}::{number + 1:x}"}
        return running.get("/api/v1/me", token, headers=headers).status_code

    guesses = [asked(number, f"wrong-{number}") for number in range(15 * ALLOWED)]
    assert {*guesses} == {401, 429}
    assert guesses.count(401) == 10 * ALLOWED
    assert guesses[: 10 * ALLOWED] == [401] * 10 * ALLOWED
    for number in (0, 149, 65535):
        assert asked(number, ADMIN) == 200
    assert running.get("/api/v1/me").status_code == 200
