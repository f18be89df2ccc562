"""Whatever goes wrong in a push: no key, token, body or user in logs, reports or the database."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from accounting.delivery.outbox import Outbox
from accounting.lookup.messages import Messages
from ssm.sender import AmsSender
from ssm.testing.authority import Authority
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.delivery.books import Inbox, account, write
from tests.delivery.conftest import Desk

USER = "a-private-person@example.org"


@pytest.fixture
def tokens(broker: AmsStandin, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    given: list[str] = []
    new_token = broker.new_token

    def remember() -> str:
        given.append(new_token())
        return given[-1]

    monkeypatch.setattr(broker, "new_token", remember)
    return given


def said(desk: Desk) -> str:
    """One push, and all that an operator could see of how it went."""
    report = desk.push()
    Outbox(desk.database).resume(desk.sender.name)
    for entry in Messages(desk.database).page():
        if entry.state == "parked":
            Outbox(desk.database).retry(entry.id)
    shown = [str(report.error), str(report)]
    shown += [json.dumps(asdict(entry)) for entry in Messages(desk.database).page()]
    shown += [str(found) for found in Messages(desk.database).destinations()]
    with desk.database.begin(reading=True) as connection:
        columns = "SELECT error, cure, error_kind, broker_id FROM messages"
        shown += [str(row) for row in connection.execute(text(columns))]
    return "\n".join(shown)


def broker_s_faults(desk: Desk, broker: AmsStandin) -> Iterator[str]:
    for status in (200, 400, 401, 403, 413, 500):
        for fault in (Fault.STATUS, Fault.EMPTY_ERROR, Fault.ODD_JSON, Fault.HTML, Fault.ECHO):
            for on in ("publish", "login"):
                broker.fail(fault, status=status, on="login" if on == "login" else "publish")
                if on == "login":
                    desk.sender = AmsSender(desk.ams, *desk.host)
                yield said(desk)
                broker.faults.clear()
    for fault in (Fault.CLOSE, Fault.DROP_ANSWER, Fault.EMPTY_OK):
        broker.fail(fault, on="any")
        yield said(desk)


def our_own_faults(desk: Desk, authority: Authority, tmp_path: Path) -> Iterator[str]:
    other = authority.issue("other.example.org", key="ec")
    opened = tmp_path / "open.key"
    opened.write_bytes(desk.host.key.read_bytes())
    opened.chmod(0o644)

    def odd() -> None:
        raise KeyError(USER, desk.host.key.read_text())

    for sender in (
        AmsSender(desk.ams, desk.host.cert, other.key),
        AmsSender(desk.ams, desk.host.cert, opened),
        AmsSender(desk.ams, desk.host.key, desk.host.key),
        AmsSender(desk.ams, *desk.host, clock=lambda: datetime(2000, 1, 1, tzinfo=UTC)),
        Inbox(name=desk.sender.name, before=odd),
    ):
        desk.sender = sender
        yield said(desk)


def test_no_way_to_fail_brings_a_secret_to_light(
    desk: Desk,
    broker: AmsStandin,
    authority: Authority,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    stream: io.StringIO = request.getfixturevalue("log")
    tokens: list[str] = request.getfixturevalue("tokens")
    number = 0
    shown = []
    for fault in (broker_s_faults(desk, broker), our_own_faults(desk, authority, tmp_path)):
        while True:
            number += 1
            write(desk.database, [account(number, user=USER)])  # something is always due
            desk.at += 86400
            outcome = next(fault, None)
            if outcome is None:
                break
            shown.append(outcome)
    everything = "\n".join([*shown, stream.getvalue()])
    assert len(shown) > 60
    assert "destination stopped" in everything
    assert "unexpected KeyError" in everything
    key = desk.host.key.read_text().splitlines()[1:-1]
    bodies = [base64.b64encode(stored.data).decode()[:40] for stored in broker.log]
    assert len(tokens) > 20
    assert bodies
    for secret in (*key, *tokens, *bodies, USER, "PRIVATE KEY", "VMUUID:", base64_of(USER)):
        assert secret not in everything


def base64_of(word: str) -> str:
    return base64.b64encode(word.encode()).decode()[:20]
