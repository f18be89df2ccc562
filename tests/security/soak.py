"""Everything that a client without a login can do at once, while honest users go on."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psutil

from tests.private import secret
from tests.security import clients
from tests.security.clients import poured

PROGRAM = Path(sys.executable).parent / "notebooks-accounting"
TOKEN = "the-admins-long-token"
USERS = 10
PATHS = ("/api/v1/records?limit=50", "/api/v1/summaries", "/api/v1/me", "/healthz")
MB = 1024 * 1024
TRUST = ssl.create_default_context()
"""Made once: httpx would read all certificates for each request, and a user would wait for that."""


@dataclass
class Outcome:
    """What a soak has seen."""

    waited: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    attacks: int = 0
    cpu_seconds: float = 0.0

    def worst(self, share: float) -> float:
        """So many of all waited no longer; seconds."""
        ordered = sorted(self.waited)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextlib.contextmanager
def serving(folder: Path, prometheus: str) -> Iterator[tuple[psutil.Process, str]]:
    """The real service as a process of its own, polling and pushing every second."""
    secret(folder / "token", TOKEN)
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_SITE_NAME": "EXAMPLE",
        "ACCOUNTING_PROMETHEUS__URL": prometheus,
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_POLL__INTERVAL": "1s",
        "ACCOUNTING_SSM__TRANSPORT": "dirq",
        "ACCOUNTING_SSM__DIRQ_PATH": str(folder / "spool"),
        "ACCOUNTING_SSM__INTERVAL": "1s",
        "ACCOUNTING_API__TOKEN_FILE": str(folder / "token"),
        "ACCOUNTING_LOG__JSON": "true",
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [PROGRAM, "serve", "--port", "0"], cwd=folder, env=environment, stderr=log
        )
        try:
            port = 0
            while not port:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
                for line in (folder / "log").read_text().splitlines():
                    port = json.loads(line).get("port", port)
            yield psutil.Process(process.pid), f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(60) == 0


def soak(folder: Path, prometheus: str, seconds: float) -> Outcome:
    """Attack for a while, with ten honest users."""
    outcome, over = Outcome(), threading.Event()
    with serving(folder, prometheus) as (process, url):
        attacks: list[Callable[[], None]] = [
            *(lambda sent=sent: _hold(url, sent, over) for sent in _HELD),
            lambda: _pour(url, over),
            lambda: _guess(url, over),
        ]

        def again(attack: Callable[[], None]) -> None:
            while not over.is_set():
                with contextlib.suppress(OSError, httpx.HTTPError):
                    attack()
                outcome.attacks += 1

        threads = [threading.Thread(target=again, args=(attack,)) for attack in attacks]
        threads += [
            threading.Thread(target=_ask, args=(url, number, over, outcome))
            for number in range(USERS)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            outcome.peak_mb = max(outcome.peak_mb, process.memory_info().rss / MB)
            time.sleep(0.2)
        over.set()
        outcome.cpu_seconds = sum(process.cpu_times()[:2])
        for thread in threads:
            thread.join()
    return outcome


_HELD = (clients.BODY_NEVER_COMES, clients.HALF_A_HEAD, clients.NOTHING)


def _hold(url: str, sent: bytes, over: threading.Event) -> None:
    with clients.held(url, 205, sent):
        over.wait(3)


def _pour(url: str, over: threading.Event) -> None:
    poured(url, b"GET / HTTP/1.1\r\n", b"X-A: " + b"x" * 8000 + b"\r\n", 34 * MB)
    over.wait(0.5)


def _guess(url: str, over: threading.Event) -> None:
    for n in range(20):
        wrong = {"Authorization": f"Bearer wrong{n}"}
        httpx.get(f"{url}/api/v1/me", headers=wrong, timeout=10, verify=TRUST)
    over.wait(1)


def _ask(url: str, number: int, over: threading.Event, outcome: Outcome) -> None:
    """One user: half of them on a connection that stays, half on one for each question."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(headers=headers, timeout=30) as kept:
        while not over.is_set():
            path = PATHS[(number + len(outcome.waited)) % len(PATHS)]
            begun = time.monotonic()
            try:
                ask = kept.get if number % 2 else partial(httpx.get, headers=headers, verify=TRUST)
                status = ask(url + path, timeout=30).status_code
            except (TimeoutError, httpx.HTTPError) as exc:
                outcome.failures.append(f"{path}: {type(exc).__name__}: {exc}")
            else:
                if status != httpx.codes.OK:
                    outcome.failures.append(f"{path}: {status}")
            outcome.waited.append(time.monotonic() - begun)
            over.wait(0.2)
