import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs

from accounting import server
from accounting.app import is_loopback
from accounting.config import load
from accounting.errors import SourceUnavailable
from accounting.model.jobs import Ending
from accounting.model.time import Month
from accounting.service.jobs import Jobs
from accounting.service.loops import PollLoop
from accounting.service.outcome import INCOMPLETE
from accounting.simulation.stores.engines import free_port
from accounting.telemetry.metrics import Metrics
from accounting.web.templating import templates
from accounting.wiring.polling import poller_of
from accounting.wiring.source import source_of
from tests.api.serving import Running, Serve
from tests.private import secret

PROGRAM = Path(sys.executable).parent / "notebooks-accounting"


@pytest.fixture
def running(prometheus: str, moment: float, serve: Serve) -> Running:
    return serve(moment, PROMETHEUS__URL=prometheus)


def test_liveness_is_open_and_needs_nothing(running: Running) -> None:
    answer = running.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_readiness_does_not_wait_for_prometheus(serve: Serve, moment: float) -> None:
    """It is about this service: a rollout must not stop because another one is down."""
    running = serve(moment, PROMETHEUS__URL=f"http://127.0.0.1:{free_port()}")
    assert running.get("/readyz").json() == {"status": "ready"}
    running.service.loop.poll_once()
    assert isinstance(running.service.loop.error, SourceUnavailable)
    assert running.get("/readyz").json() == {"status": "ready"}


def test_readiness_needs_the_database(running: Running, tmp_path: Path) -> None:
    running.service.database.close()
    for path in tmp_path.glob("accounting.db*"):
        path.unlink()
    (tmp_path / "accounting.db").write_text(
        "something else, long enough to be read as a page\n" * 99
    )
    answer = running.get("/readyz")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()) == (
        503,
        {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "the database cannot be used",
            "cure": "see the service's log, and 'notebooks-accounting doctor'",
            "instance": "/readyz",
        },
    )
    assert running.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        "Bearer the-admins-token2",
        "Basic the-admins-token",
        "the-admins-token",
        "Bearer tök",
    ],
)
def test_metrics_without_the_right_token_are_refused(header: str | None, running: Running) -> None:
    headers = {} if header is None else {b"Authorization": header.encode("latin-1")}
    answer = httpx.get(f"{running.url}/metrics", headers=headers, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="notebooks-accounting"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "ACCOUNTING_API__TOKEN_FILE" in answer.json()["cure"]


def test_metrics_tell_of_the_poll_and_of_no_user(running: Running) -> None:
    running.service.loop.poll_once()
    answer = running.get("/metrics")
    assert answer.status_code == 200
    lines = dict(
        line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
    )
    polls = sum(
        float(lines[f'notebooks_accounting_polls_total{{result="{result}"}}'])
        for result in ("done", "incomplete")
    )
    assert polls == 1
    assert float(lines["notebooks_accounting_windows_total"]) >= 1
    assert float(lines["notebooks_accounting_lag_seconds"]) < 120
    assert float(lines['notebooks_accounting_due_records{destination="apel"}']) > 5
    assert lines['notebooks_accounting_certificate_left_days{destination="apel"}'] == "NaN"
    assert "@example.org" not in answer.text


def test_metrics_tell_what_the_month_comes_to_by_vo_and_flavour(running: Running) -> None:
    running.service.loop.poll_once()
    text = running.get("/metrics").text
    found = re.findall(r"notebooks_accounting_month_(\w+)\{(.*)\} (\S+)", text)
    month = {(figure, labels): float(value) for figure, labels, value in found}
    asked = f"/api/v1/summaries?by=vo&by=flavor&month={Month.of(running.service.clock())}"
    rows = running.get(asked).json()["rows"]
    assert len(rows) > 2
    for row in rows:
        labels = f'flavor="{row["flavor"]}",vo="{row["vo"]}"'
        assert month["wall_seconds", labels] == row["wall_seconds"]
        assert month["notebooks", labels] == row["pods"]
    assert "notebooks_accounting_month_distinct_users NaN" not in text


def test_a_token_that_is_replaced_counts_at_once(running: Running) -> None:
    running.token_file.write_text("another-token")
    assert running.get("/metrics").status_code == 401
    assert running.get("/metrics", "another-token").status_code == 200


def test_a_token_file_that_vanished_lets_nobody_in_and_names_no_path(running: Running) -> None:
    running.token_file.unlink()
    answer = running.get("/metrics", "x")
    assert answer.status_code == 503
    assert str(running.token_file) not in answer.text


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("192.0.2.1", False),
        ("::", False),
        ("", False),
        ("accounting.example.org", False),
    ],
)
def test_only_the_loopback_counts_as_such(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_the_loop_waits_longer_after_each_failure_and_recovers(
    running: Running, prometheus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", f"http://127.0.0.1:{free_port()}")
    metrics = Metrics("test")
    with source_of(load()) as source:
        jobs = Jobs(load(), running.service.database, metrics, source=source)
        loop = PollLoop(jobs, interval_seconds=60)
        delays = []
        for _ in range(7):
            loop.poll_once()
            delays.append(loop.delay_seconds)
    assert delays == [60, 120, 240, 480, 960, 1800, 1800]
    assert isinstance(loop.error, SourceUnavailable)
    assert loop.progress_at is None
    assert b'polls_total{result="unavailable"} 7.0' in metrics.render()
    monkeypatch.setenv("ACCOUNTING_PROMETHEUS__URL", prometheus)
    with source_of(load()) as source:
        jobs._poller = poller_of(load(), running.service.database, source)
        loop.poll_once()
    assert loop.delay_seconds == 60
    assert b'polls_total{result="failed"} 0.0' in metrics.render()


def test_a_poll_of_another_process_is_left_alone(running: Running) -> None:
    loop = running.service.loop
    with running.service.database.exclusive("poll"):
        loop.poll_once()
    assert loop.delay_seconds == 60
    assert b'polls_total{result="busy"} 1.0' in running.service.metrics.render()


def test_the_loop_forgets_users_after_each_poll(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def forget(now: float) -> int:
        asked.append(now)
        return 3

    monkeypatch.setattr(running.service.jobs, "_forget", forget)
    with capture_logs() as logs:
        running.service.loop.poll_once()
    assert asked == [running.clock.now]
    assert [entry["forgotten"] for entry in logs if entry["event"] == "polled"] == [3]


def test_an_unexpected_failure_is_logged_without_what_it_says(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("alice@example.org")

    loop = running.service.loop
    monkeypatch.setattr(running.service.jobs._poller, "poll", broken)
    with capture_logs() as logs:
        loop.poll_once()
    (seen,) = [entry for entry in logs if entry["log_level"] != "debug"]
    assert seen["problem"].startswith("unexpected KeyError in broken, test_serve.py line ")
    assert "alice" not in str(seen)


def test_a_stopped_loop_ends_after_the_current_window_and_keeps_it(running: Running) -> None:
    loop, jobs = running.service.loop, running.service.jobs
    loop.stop()
    ended = jobs.poll(lambda _: jobs.stop())
    assert ended.ending is Ending.STOPPED
    assert ended.exit_code == INCOMPLETE
    assert loop.progress_at is not None
    loop.run()  # returns at once


@contextmanager
def served(prometheus: str, folder: Path, *arguments: str, **changes: str) -> Iterator[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_SITE_NAME": "EXAMPLE",
        "ACCOUNTING_PROMETHEUS__URL": prometheus,
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_POLL__INTERVAL": "1s",
        "ACCOUNTING_LOG__JSON": "true",
        **changes,
    }
    with subprocess.Popen(
        [PROGRAM, "serve", "--port", "0", *arguments],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                entry = json.loads(line)
                if entry["event"] == "serving":
                    yield f"http://127.0.0.1:{entry['port']}"
                    break
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
            assert process.wait(20) == 0, rest
            assert "Traceback" not in rest


def test_serve_polls_by_itself_and_stops_when_told(prometheus: str, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    secret(token_file, "secret-enough")
    allowed = {"Authorization": "Bearer secret-enough"}
    with served(prometheus, tmp_path, ACCOUNTING_API__TOKEN_FILE=str(token_file)) as url:
        deadline = time.monotonic() + 30
        never = "notebooks_accounting_last_poll_timestamp_seconds NaN"
        while never in httpx.get(f"{url}/metrics", headers=allowed, timeout=60).text:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert httpx.get(f"{url}/readyz", timeout=60).json() == {"status": "ready"}
    assert (tmp_path / "accounting.db").exists()


def test_without_a_token_nobody_gets_in_not_even_on_the_loopback(
    prometheus: str, tmp_path: Path
) -> None:
    with served(prometheus, tmp_path) as url:
        assert httpx.get(f"{url}/metrics", timeout=60).status_code == 401


def test_serve_beyond_the_loopback_asks_for_the_token(prometheus: str, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    secret(token_file, "secret-enough")
    every_address = ".".join(["0"] * 4)
    with served(
        prometheus, tmp_path, "--host", every_address, ACCOUNTING_API__TOKEN_FILE=str(token_file)
    ) as url:
        assert httpx.get(f"{url}/metrics", timeout=60).status_code == 401
        allowed = {"Authorization": "Bearer secret-enough"}
        assert httpx.get(f"{url}/metrics", headers=allowed, timeout=60).status_code == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_when_it_answers_pages_are_compiled_and_garbage_is_looked_for_seldom(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_objects: list[int] = []
    compiled: list[str] = []
    pages = templates.env
    assert pages.cache is not None
    pages.cache.clear()

    def answer(*_: object) -> None:
        new_objects.append(gc.get_threshold()[0])
        compiled.extend(name for _, name in pages.cache or ())

    monkeypatch.setattr(uvicorn.Server, "run", answer)
    before = gc.get_threshold()
    try:
        with server.listening("127.0.0.1", 0) as listener:
            server.serve(running.service.settings, running.service.database, listener)
    finally:
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # as all was before
        gc.set_threshold(*before)
    assert new_objects == [10_000]
    assert "usage.html" in compiled
    assert set(compiled) == set(pages.list_templates())


def test_two_colons_are_every_address_of_ipv6_and_of_ipv4() -> None:
    with server.listening("::", 0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()


def test_two_colons_are_every_address_of_ipv4_where_there_is_no_ipv6(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with server.listening("::", 0) as listener:
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_taken_port_is_told(prometheus: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [PROGRAM, "serve", "--port", str(taken.getsockname()[1])],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "ACCOUNTING_SITE_NAME": "EXAMPLE",
                "ACCOUNTING_PROMETHEUS__URL": prometheus,
                "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Address already in use → choose others with --host and --port" in done.stderr
