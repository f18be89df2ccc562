"""What the doctor says of messages that do not go."""

from pathlib import Path

import pytest

from accounting.config import load
from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.doctor.database import outbox
from accounting.doctor.finding import Finding, State
from ssm.errors import Refused, Rejected, SsmError, Unavailable
from tests.delivery.books import Inbox, account, opened, write


def findings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    monkeypatch.setenv("ACCOUNTING_DATABASE_URL", f"sqlite:///{folder / 'accounting.db'}")
    return list(outbox(load()))


CASES: list[tuple[list[type[SsmError]], list[tuple[State, str]]]] = [
    ([], []),
    ([Unavailable], [(State.WARNING, "inbox://example.org: no")]),
    ([Refused], [(State.FAILED, "inbox://example.org: stopped, no")]),
    ([Rejected], [(State.WARNING, "inbox://example.org: 1 messages are parked")]),
]


@pytest.mark.parametrize(("errors", "expected"), CASES)
def test_what_keeps_messages_is_told_with_the_cure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: list[type[SsmError]],
    expected: list[tuple[State, str]],
) -> None:
    coming = list(errors)

    def trouble() -> None:
        if coming:
            raise coming.pop()("no", "ask")

    with opened(tmp_path) as database:
        write(database, [account(1)])
        Pusher(Outbox(database), Inbox(before=trouble), Policy()).push()
    found = findings(tmp_path, monkeypatch)
    assert [(finding.state, finding.what) for finding in found] == expected
    assert all(finding.cure for finding in found)


def test_where_there_is_no_database_nothing_is_made_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert findings(tmp_path, monkeypatch) == []
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "accounting.db").write_text("this is something else entirely, and long " * 40)
    assert findings(tmp_path, monkeypatch) == []
