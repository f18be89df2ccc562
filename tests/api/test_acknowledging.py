"""Acknowledging held records, as a client, an operator at the command line and a nightly job do."""

import json
import subprocess

import pytest

from tests import commands
from tests.api.serving import JOB, SCRAPER, Running, Serve
from tests.delivery.books import NOVEMBER, account, write

UID = account(1).pod.uid


@pytest.fixture
def running(serve: Serve) -> Running:
    found = serve()
    refused = account(1)
    refused.pod.image = "50%%off"
    write(found.service.database, [refused, account(2)])
    return found


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command, with the service's settings in its environment."""
    return commands.run(*arguments)


def delivery_of(running: Running) -> list[str]:
    records = running.get("/api/v1/records?sort=pod").json()["records"]
    return [record["delivery"] for record in records]


@pytest.mark.usefixtures("running")
def test_a_push_fails_for_a_new_held_record_and_not_for_one_it_told_of() -> None:
    first = run("push")
    assert first.returncode == 3
    assert "1 record is held back (invalid), 1 of them new" in first.stderr
    second = run("push")
    assert second.returncode == 0
    assert "1 record is held back (invalid): see" in second.stderr


def test_an_acknowledged_record_is_no_warning_any_more(running: Running) -> None:
    path = f"/api/v1/records/{UID}"
    assert running.post(f"{path}/acknowledge?reason=a+test").json() == {"records": 1}
    assert delivery_of(running) == ["acknowledged", "due"]
    (accepted,) = running.get(path).json()["acknowledgements"]
    assert (accepted["month"], accepted["reason"]) == (str(NOVEMBER), "a test")
    assert accepted["by"]
    status = running.get("/api/v1/status").json()["delivery"]
    assert (status["held"], status["acknowledged"]) == ({}, 1)
    found = running.get("/api/v1/records?delivery=acknowledged").json()["records"]
    assert [record["uid"] for record in found] == [UID]
    assert run("push").returncode == 0
    assert running.post(f"{path}/reopen").json() == {"records": 1}
    assert delivery_of(running) == ["held", "sent"]


@pytest.mark.parametrize(
    ("asked", "token", "status"),
    [
        ("acknowledge", JOB, 400),
        ("acknowledge?reason=", JOB, 400),
        ("acknowledge?reason=x&month=2026-10", JOB, 404),
        ("acknowledge?reason=x", SCRAPER, 403),
        ("reopen", SCRAPER, 403),
    ],
)
def test_acknowledging_needs_a_reason_a_held_record_and_the_right(
    asked: str, token: str, status: int, running: Running
) -> None:
    assert running.post(f"/api/v1/records/{UID}/{asked}", token).status_code == status
    assert delivery_of(running) == ["held", "due"]


@pytest.mark.parametrize("remote", [False, True])
def test_the_command_acknowledges_here_or_through_the_service(
    remote: bool, running: Running
) -> None:
    where = ["--url", running.url] if remote else []

    def acknowledge(*arguments: str) -> tuple[int, str]:
        result = run("records", "acknowledge", *arguments, *where)
        return result.returncode, result.stdout

    assert acknowledge(UID)[0] == 2
    assert acknowledge(UID, "--reason", "a test") == (0, "1 record is acknowledged\n")
    assert delivery_of(running) == ["acknowledged", "due"]
    assert acknowledge(UID, "--undo", "--json") == (0, json.dumps({"records": 1}, indent=1) + "\n")
    assert delivery_of(running) == ["held", "due"]
    assert acknowledge(account(2).pod.uid, "--reason", "x")[0] == 1
