"""The service over TCP, as the tests ask it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import httpx
import pytest

from accounting.api.dependencies import Service
from accounting.app import create_app, doors_of
from accounting.config import load
from accounting.guard.gate import Doors
from accounting.server import http_server
from accounting.service.jobs import Jobs
from accounting.service.loops import PollLoop
from accounting.store.engine.database import Database
from accounting.telemetry.metrics import Metrics
from accounting.wiring.source import source_of
from tests.private import secret

ADMIN, JOB, SCRAPER = "the-admins-token", "the-jobs-token", "the-scrapers-token"


@dataclass
class Clock:
    now: float

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Running:
    """A service over TCP; ``get`` and ``post`` ask as the administrator if not told otherwise."""

    url: str
    service: Service
    doors: Doors
    clock: Clock
    folder: Path
    client: httpx.Client = field(repr=False)

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    def get(self, path: str, token: str | None = ADMIN, **more: object) -> httpx.Response:
        return self.ask("GET", path, token, **more)

    def post(self, path: str, token: str | None = ADMIN, **more: object) -> httpx.Response:
        return self.ask("POST", path, token, **more)

    def ask(
        self, method: str, path: str, token: str | None = ADMIN, **more: object
    ) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        asked: dict[str, object] = more.pop("headers", {})  # type: ignore[assignment] # of a test
        return self.client.request(
            method,
            self.url + path,
            headers={**headers, **{name: str(value) for name, value in asked.items()}},
            **more,  # type: ignore[arg-type] # httpx's own
        )


Serve = Callable[..., Running]


@contextmanager
def served(
    folder: Path, monkeypatch: pytest.MonkeyPatch, now: float, changes: dict[str, str]
) -> Iterator[Running]:
    for name, token in {"token": ADMIN, "job-token": JOB, "metrics-token": SCRAPER}.items():
        secret(folder / name, f"{token}\n")
    for name, value in {
        "SITE_NAME": "EXAMPLE",
        "DATABASE_URL": f"sqlite:///{folder / 'accounting.db'}",
        "PROMETHEUS__URL": "http://127.0.0.1:9",
        "PROMETHEUS__NAMESPACE": "jupyterhub",
        "POLL__SETTLE": "5",
        "API__TOKEN_FILE": str(folder / "token"),
        "API__JOB_TOKEN_FILE": str(folder / "job-token"),
        "API__METRICS_TOKEN_FILE": str(folder / "metrics-token"),
        "SSM__TRANSPORT": "dirq",
        "SSM__DIRQ_PATH": str(folder / "spool"),
        **changes,
    }.items():
        monkeypatch.setenv(f"ACCOUNTING_{name}", value)
    settings = load()
    clock = Clock(now)
    with Database(settings.database_url) as database, source_of(settings) as source:
        database.ensure_current()
        metrics = Metrics("test")
        jobs = Jobs(settings, database, metrics, source=source, clock=clock)
        loop = PollLoop(jobs, interval_seconds=60)
        service = Service(settings, database, metrics, jobs, loop, clock)
        doors = doors_of(service)
        with listening(service, doors) as url, httpx.Client(timeout=60) as client:
            yield Running(url, service, doors, clock, folder, client)
        service.runs.close(20)


@contextmanager
def listening(service: Service, doors: Doors | None = None, port: int = 0) -> Iterator[str]:
    """The application behind uvicorn, on a port of its own if none is given."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        server = http_server(create_app(service, doors), service.settings.api.trusted_proxies)
        thread = Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
