"""A client that openapi-python-client makes from the description: each answer has its type."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.model.pods import Resources
from tests.api.serving import ADMIN, Running, Serve
from tests.delivery.books import Inbox, account, write

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "client.lock"
UV = Path(sys.executable).with_name("uv")
CONFLICT = 409
PACKAGE = "notebooks_accounting_client"


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    found = serve_all(PORTAL__URL="http://127.0.0.1:9/json")  # nothing answers there
    pages = [account(n, group=f"vo{n % 3}") for n in range(4)]
    pages[0].pod.resources = Resources()  # without a CPU count it is held
    write(found.service.database, pages)
    Pusher(Outbox(found.service.database), Inbox(), now=found.clock).push()
    return found


@pytest.fixture(scope="module")
def client(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("client")
    venv = folder / "venv"
    install: list[str | Path] = [UV, "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    subprocess.run([*install, "--python", venv, "-r", LOCK], check=True, timeout=300)
    (folder / "openapi.json").write_bytes(running.get("/api/v1/openapi.json").content)
    made = subprocess.run(
        [venv / "bin" / "openapi-python-client", "generate", "--path", "openapi.json"],
        cwd=folder,
        env={"PATH": f"{venv / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Warning" not in made.stdout, made.stdout
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(next(folder.glob("*-client"))))
        yield importlib.import_module(PACKAGE)


def operations(running: Running) -> dict[str, tuple[str, str]]:
    """Method and path by operation id."""
    paths = running.get("/api/v1/openapi.json").json()["paths"]
    return {
        described["operationId"]: (method, path)
        for path, methods in paths.items()
        for method, described in methods.items()
    }


def test_operations_have_speaking_names(running: Running) -> None:
    assert set(operations(running)) == {
        "acknowledge_records",
        "get_me",
        "get_message",
        "get_message_body",
        "get_notebook",
        "get_run",
        "get_status",
        "list_destinations",
        "list_gaps",
        "list_message_records",
        "list_messages",
        "list_notebook_counters",
        "list_notebook_messages",
        "list_notebook_readings",
        "list_reconciliations",
        "list_records",
        "list_runs",
        "list_storage",
        "list_windows",
        "park_message",
        "reopen_records",
        "retry_message",
        "start_poll",
        "start_push",
        "start_reconcile",
        "start_republish",
        "summarise",
        "withdraw_message",
    }


def test_every_operation_answers_with_its_type(client: ModuleType, running: Running) -> None:
    held = running.get("/api/v1/records?delivery=held").json()["records"][0]["uid"]
    run = running.post("/api/v1/push").json()["id"]
    given: dict[str, dict[str, Any]] = {
        "get_notebook": {"uid": held},
        "acknowledge_records": {"uid": held, "reason": "a test"},
        "reopen_records": {"uid": held},
        "list_notebook_counters": {"uid": held},
        "list_notebook_messages": {"uid": held},
        "list_notebook_readings": {"uid": held},
        "get_message": {"number": 1},
        "list_message_records": {"number": 1},
        "get_message_body": {"number": 1},
        "retry_message": {"number": 1},
        "park_message": {"number": 1},
        "withdraw_message": {"number": 1},
        "get_run": {"name": run},
        "start_reconcile": {"month": "2026-11"},
        "start_republish": {"month": "2026-11"},
    }
    described = running.get("/api/v1/openapi.json").json()["paths"]
    refused = set()
    with client.AuthenticatedClient(base_url=running.url, token=ADMIN) as asker:
        for name, (method, path) in operations(running).items():
            area = described[path][method]["tags"][0]
            asked = importlib.import_module(f"{PACKAGE}.api.{area}.{name}")
            answer = asked.sync_detailed(client=asker, **given.get(name, {}))
            expected = _model(described[path][method])
            if answer.status_code == CONFLICT:
                refused.add(name)
                expected = "ProblemModel"
            assert type(answer.parsed).__name__ == expected, (name, answer)
            if expected == "RunModel":  # one run at a time: the next operation may start one, too
                running.get(f"/api/v1/runs/{answer.parsed.id}?wait=25")
    assert refused == {"retry_message", "park_message", "withdraw_message"}, "it is delivered"


def _model(described: dict[str, Any]) -> str:
    success = next(found for status, found in described["responses"].items() if status[0] == "2")
    content = success["content"]
    if "application/json" not in content:
        return "str"
    return str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2]
