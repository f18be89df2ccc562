"""The failure's type decides what becomes of a message (D4): against a broker over TLS."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copy

import pytest

from accounting.delivery.outbox import Outbox
from accounting.lookup.messages import Messages
from accounting.model.messages import FailureKind, MessageState
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender, DirqSender
from ssm.smime import verify
from ssm.testing.authority import Authority
from ssm.testing.fault import Fault
from ssm.testing.standin import AmsStandin
from tests.delivery.books import Inbox, account, ran_on, table_of, table_of_ours, write
from tests.delivery.conftest import Desk

Received = Callable[[], list[str]]


def states(desk: Desk) -> list[tuple[int, str, MessageState, int]]:
    """(origin, part, state, attempts) of all messages, the oldest first."""
    entries = sorted(Messages(desk.database).page(), key=lambda e: (e.origin, e.part))
    return [(e.origin, e.part, e.state, e.attempts) for e in entries]


PASSING: list[tuple[Fault | int, str]] = [
    (408, "HTTP 408"),
    (429, "HTTP 429"),
    (500, "HTTP 500"),
    (502, "HTTP 502"),
    (503, "HTTP 503"),
    (504, "HTTP 504"),
    (Fault.CLOSE, "no answer"),
    (Fault.DROP_ANSWER, "no answer"),
    (Fault.EMPTY_ERROR, "HTTP 500"),
    (Fault.ODD_JSON, "HTTP 500"),
    (Fault.EMPTY_OK, "without a message id"),
]


@pytest.mark.parametrize(("fault", "said"), PASSING)
def test_what_may_pass_is_tried_again_later_with_the_same_bytes(
    desk: Desk, broker: AmsStandin, received: Received, fault: Fault | int, said: str
) -> None:
    write(desk.database, [account(1)])
    broker.fail(fault)
    report = desk.push()
    assert report.error is not None
    assert said in report.error.message
    (entry,) = Messages(desk.database).page()
    assert (entry.state, entry.attempts) == (MessageState.PENDING, 1)
    assert entry.failure is not None
    assert entry.failure.kind is FailureKind.UNAVAILABLE
    assert entry.next_try_at == report.next_try_at == desk.at + 22.5
    body = Messages(desk.database).body(entry.id)
    desk.at += 23
    assert desk.push().is_complete
    assert set(received()) == {body}
    assert {stored.attributes["empaid"] for stored in broker.log} == {entry.empaid}


def test_an_outage_of_days_is_waited_out_with_ever_longer_waits_and_piles_nothing_up(
    desk: Desk, broker: AmsStandin, received: Received
) -> None:
    pages = [account(n) for n in range(3)]
    write(desk.database, pages)
    broker.fail(503, calls=1000)
    waits, begun = [], desk.at
    while desk.at < begun + 3 * 86400:
        report = desk.push()
        assert report.next_try_at is not None
        waits.append(report.next_try_at - desk.at)
        calls = len(broker.calls)
        desk.at = report.next_try_at - 1
        assert desk.push().next_try_at == report.next_try_at
        assert len(broker.calls) == calls  # too early: the broker is left alone
        desk.at = report.next_try_at
        write(desk.database, [ran_on(page, 60) for page in pages])
    assert waits[:8] == [22.5, 45, 90, 180, 360, 720, 1440, 2700]
    assert set(waits[8:]) == {2700}
    assert len(Messages(desk.database).page()) == 1
    broker.faults.clear()
    assert desk.push().is_complete
    assert len(received()) == 2
    assert table_of(received()) == table_of_ours(desk.database)


def test_a_push_that_must_not_wait_tries_at_once(desk: Desk, broker: AmsStandin) -> None:
    write(desk.database, [account(1)])
    broker.fail(503)
    desk.push()
    desk.policy = replace(desk.policy, at_once=True)
    assert desk.push().is_complete


def test_an_expired_token_is_renewed_once_in_the_same_push(desk: Desk, broker: AmsStandin) -> None:
    write(desk.database, [account(1)])
    broker.fail(401)
    assert desk.push().is_complete
    assert broker.calls == ("login", "publish", "login", "publish")
    write(desk.database, [account(2)])
    broker.fail(401, calls=2)
    report = desk.push()
    assert (report.pending, report.next_try_at) == (1, desk.at + 22.5)


@pytest.mark.parametrize("status", [403, 404, 405, 410])
def test_a_refusal_stops_the_destination_and_says_what_to_fix(
    desk: Desk, broker: AmsStandin, status: int
) -> None:
    write(desk.database, [account(1)])
    broker.fail(status)
    report = desk.push()
    assert report.error is not None
    assert "GOCDB" in report.error.cure
    assert "topic" in report.error.cure
    (found,) = Messages(desk.database).destinations()
    assert found.stop is not None
    assert (found.stop.failure.kind, found.stop.probe_at) == (FailureKind.REFUSED, desk.at + 600)
    calls = len(broker.calls)
    desk.at += 599
    again = desk.push()
    assert again.error is not None
    assert "is stopped" in again.error.message
    assert "outbox resume" in again.error.cure
    assert len(broker.calls) == calls


def test_a_stop_ends_when_the_operator_says_so(desk: Desk, broker: AmsStandin) -> None:
    write(desk.database, [account(1)])
    broker.fail(403)
    desk.push()
    outbox = Outbox(desk.database)
    assert outbox.resume(desk.sender.name)
    assert not outbox.resume(desk.sender.name)
    assert desk.push().is_complete


def test_a_stopped_destination_is_probed_with_one_message_and_goes_on_when_it_takes_it(
    desk: Desk, broker: AmsStandin, received: Received
) -> None:
    broker.registered = set()
    write(desk.database, [account(n) for n in range(3)])
    desk.policy = replace(desk.policy, records_per_message=1)
    desk.push()
    desk.at += 600
    assert desk.push().next_try_at == desk.at + 600
    assert broker.calls == ("login", "login")
    broker.registered = None
    desk.at += 600
    assert desk.push().sent == 3
    assert Outbox(desk.database).stop_of(desk.sender.name) is None
    assert table_of(received()) == table_of_ours(desk.database)


def test_one_rejected_message_is_set_aside_and_the_others_go(
    desk: Desk, broker: AmsStandin
) -> None:
    write(desk.database, [account(n) for n in range(3)])
    desk.policy = replace(desk.policy, records_per_message=1)
    broker.fail(400)
    report = desk.push()
    assert (report.sent, report.parked, report.error, report.is_complete) == (2, 1, None, False)
    assert states(desk)[0] == (1, "", MessageState.PARKED, 1)


def test_a_destination_that_rejects_one_message_after_the_other_is_stopped(
    desk: Desk, broker: AmsStandin
) -> None:
    write(desk.database, [account(n) for n in range(5)])
    desk.policy = replace(desk.policy, records_per_message=1)
    broker.fail(400, calls=5)
    report = desk.push()
    assert (report.parked, report.pending) == (1, 1)
    assert report.error is not None
    assert Outbox(desk.database).stop_of(desk.sender.name) is not None


@pytest.mark.parametrize("status", [413, 500])
def test_what_is_too_large_is_split_until_it_fits_in_its_place_in_the_queue(
    desk: Desk, broker: AmsStandin, received: Received, status: int
) -> None:
    # The broker's limits lie between the sizes of messages of two and of three records.
    broker.broker.producer_limit = broker.broker.log_limit = 4000
    if status == 413:
        broker.broker.log_limit = 10**6
    else:
        broker.broker.producer_limit = 10**6
    desk.sender = AmsSender(replace(desk.ams, suspect_bytes=4000), *desk.host)
    pages = [account(n) for n in range(5)]
    write(desk.database, pages)
    report = desk.push()
    assert (report.error, report.sent, report.split) == (None, 3, 2)
    assert [(origin, part, state) for origin, part, state, _ in states(desk)] == [
        (1, "", MessageState.SPLIT),
        (1, "a", MessageState.SENT),
        (1, "b", MessageState.SPLIT),
        (1, "ba", MessageState.SENT),
        (1, "bb", MessageState.SENT),
    ]
    uids = [line for body in received() for line in body.splitlines() if "VMUUID" in line]
    assert uids == [f"VMUUID: {page.pod.uid}" for page in pages]
    assert table_of(received()) == table_of_ours(desk.database)
    whole, *_ = sorted(Messages(desk.database).page(), key=lambda entry: entry.id)
    assert whole.failure is not None
    assert whole.failure.kind is FailureKind.TOO_LARGE
    assert len(Messages(desk.database).records(whole.id)) == 5
    assert desk.push().built == 0


def test_a_single_record_that_is_too_large_is_set_aside(desk: Desk, broker: AmsStandin) -> None:
    broker.broker.producer_limit = 10
    write(desk.database, [account(n) for n in range(2)])
    report = desk.push()
    assert (report.sent, report.split, report.parked, report.error) == (0, 1, 2, None)


def test_an_exception_that_nobody_thought_of_counts_as_an_outage_and_is_reported(
    desk: Desk,
) -> None:
    def odd() -> None:
        raise KeyError("secret text of a record")

    desk.sender = inbox = Inbox(before=odd)
    write(desk.database, [account(1)])
    report = desk.push()
    assert report.error is not None
    assert "unexpected KeyError in odd, test_outcomes.py line" in report.error.message
    assert "please report this" in report.error.cure
    (entry,) = Messages(desk.database).page()
    assert entry.failure is not None
    assert entry.failure.kind is FailureKind.UNEXPECTED
    assert "secret" not in str(entry)
    inbox.before = lambda: None
    desk.at += 3600
    assert desk.push().is_complete


def test_a_certificate_that_cannot_be_used_stops_all_until_it_is_replaced(
    desk: Desk, broker: AmsStandin, authority: Authority, tmp_path: Path
) -> None:
    cert, key = tmp_path / "hostcert.pem", tmp_path / "hostkey.pem"
    desk.sender = AmsSender(desk.ams, cert, key)
    write(desk.database, [account(1)])
    missing = desk.push()
    assert missing.error is not None
    assert "no host certificate" in missing.error.message
    copy(desk.host.cert, cert)
    copy(authority.issue("other.example.org", key="ec").key, key)
    wrong = desk.push()
    assert wrong.error is not None
    assert "does not belong" in wrong.error.message
    assert broker.calls == ()
    (found,) = Messages(desk.database).destinations()
    assert found.stop is not None
    assert (found.stop.failure.kind, found.next_try_at) == (FailureKind.CERTIFICATE, None)
    copy(desk.host.key, key)
    assert desk.push().is_complete
    (found,) = Messages(desk.database).destinations()
    assert (found.stop, found.failure) == (None, None)


def test_a_renewed_certificate_makes_the_signature_anew_but_not_the_body(
    desk: Desk, broker: AmsStandin, authority: Authority, tmp_path: Path
) -> None:
    cert, key = tmp_path / "hostcert.pem", tmp_path / "hostkey.pem"
    desk.sender = AmsSender(desk.ams, cert, key)
    write(desk.database, [account(1)])
    signers = []
    broker.fail(Fault.DROP_ANSWER)
    for _ in range(2):
        issued = authority.issue("host.example.org", key="ec")
        issued.cert.replace(cert)
        issued.key.replace(key)
        signers.append(HostCertificate.load(cert, key).certificate)
        desk.push()
        desk.at += 3600
    first, second = (verify(m.data, s) for m, s in zip(broker.log, signers, strict=True))
    assert first == second
    assert len({m.attributes["empaid"] for m in broker.log}) == 1
    assert signers[0] != signers[1]


def test_a_spool_that_cannot_be_written_is_waited_for(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "spool").touch()
    desk.sender = DirqSender(tmp_path / "spool")
    write(desk.database, [account(1)])
    assert desk.push().next_try_at == desk.at + 22.5
    (tmp_path / "spool").unlink()
    desk.at += 60
    assert desk.push().is_complete
