"""SIGTERM ends the service in good order: after the message in hand, with exit code 0."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from accounting.store.engine.database import Database
from ssm.testing.authority import Authority
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.broker import delivery_to
from tests.delivery.books import account, write
from tests.private import secret
from tests.security.clients import connected

PROGRAM = Path(sys.executable).parent / "notebooks-accounting"


@contextmanager
def serving(
    folder: Path, *, before: Sequence[str] = (), **changes: str
) -> Iterator[tuple["subprocess.Popen[str]", str, list[dict[str, Any]]]]:
    """``serve`` as a process: it, its address, and what it logs (complete once it has ended)."""
    environment = {
        "PATH": os.environ["PATH"],
        "ACCOUNTING_SITE_NAME": "EXAMPLE",
        "ACCOUNTING_PROMETHEUS__URL": "http://127.0.0.1:9",
        "ACCOUNTING_PROMETHEUS__NAMESPACE": "jupyterhub",
        "ACCOUNTING_DATABASE_URL": f"sqlite:///{folder}/accounting.db",
        "ACCOUNTING_LOG__JSON": "true",
        **changes,
    }
    logged: list[dict[str, Any]] = []
    with subprocess.Popen(
        [*before, str(PROGRAM), "serve", "--port", "0"],
        env=environment,
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            port = 0
            while not port:
                logged.append(json.loads(process.stderr.readline()))
                port = logged[-1].get("port", 0) if logged[-1]["event"] == "serving" else 0
            yield process, f"http://127.0.0.1:{port}", logged
        finally:
            if process.poll() is None:
                process.kill()


def ended(process: "subprocess.Popen[str]", logged: list[dict[str, Any]]) -> int:
    """Its exit code; all that it logged is JSON, so no traceback went beside it."""
    assert process.stderr is not None
    logged += [json.loads(line) for line in process.stderr.read().splitlines()]
    return process.wait(60)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_service_with_exit_code_0(sign: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path) as (process, url, logged):
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        process.send_signal(sign)
        assert ended(process, logged) == 0
    assert logged[-1]["event"] == "stopped"


def test_as_the_first_process_of_a_container_it_ends_too(tmp_path: Path) -> None:
    sandbox = shutil.which("bwrap")
    assert sandbox
    first = [sandbox, "--dev-bind", "/", "/", "--proc", "/proc", "--unshare-pid", "--as-pid-1"]
    with serving(tmp_path, before=first) as (process, url, logged):
        assert httpx.get(f"{url}/healthz", timeout=60).status_code == 200
        inside = children(process.pid)
        os.kill(inside, signal.SIGTERM)
        assert ended(process, logged) == 0
    assert logged[-1]["event"] == "stopped"


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid: int) -> int:
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def test_the_message_in_hand_is_finished_and_sent_once(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    host = authority.issue("notebooks.example.org", key="ec")
    with Database(f"sqlite:///{tmp_path}/accounting.db") as database:
        database.upgrade()
        write(database, [account(n) for n in range(3)])
    with AmsStandin(authority) as broker:
        broker.fail(Fault.SLOW, calls=1, seconds=3)
        settings = {
            **delivery_to(broker, authority, host),
            "SSM__RECORDS_PER_MESSAGE": "1",
            "SSM__INTERVAL": "1s",
        }
        named = {f"ACCOUNTING_{name}": value for name, value in settings.items()}
        with serving(tmp_path, **named) as (process, _, logged):
            wait_until(lambda: "publish" in broker.calls)
            process.send_signal(signal.SIGTERM)  # in the middle of a publish
            assert ended(process, logged) == 0
        assert len(broker.log) == 1
        assert broker.calls.count("publish") == 1
        with serving(tmp_path, **named) as (process, _, logged):
            wait_until(lambda: len(broker.log) == 3)
            process.send_signal(signal.SIGTERM)
            assert ended(process, logged) == 0
        assert broker.calls.count("publish") == 3  # the next start goes on with the next message


def test_a_slow_download_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    secret(tmp_path / "token", "the-admins-token")
    with Database(f"sqlite:///{tmp_path}/accounting.db") as database:
        database.upgrade()
        write(database, [account(n) for n in range(20_000)])
    with serving(tmp_path, ACCOUNTING_API__TOKEN_FILE="token") as (process, url, logged):
        reader = connected(url)
        with reader:
            reader.sendall(
                b"GET /api/v1/records?format=csv HTTP/1.1\r\nHost: x\r\n"
                b"Authorization: Bearer the-admins-token\r\n\r\n"
            )
            assert reader.recv(100).startswith(b"HTTP/1.1 200")
            process.send_signal(signal.SIGTERM)
            assert ended(process, logged) == 0
    assert logged[-1]["event"] == "stopped"
    assert not any("exception" in line for line in logged)
