import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dirq.QueueSimple import QueueSimple
from sqlalchemy import select

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.errors import Busy
from accounting.lookup.messages import Messages
from accounting.model.messages import MessageState
from accounting.records.formats import apel
from accounting.store.engine.database import Database
from accounting.store.records import Records, Selection
from accounting.store.tables import messages
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.errors import Refused, Unavailable
from ssm.sender import AmsSender, DirqSender, Sender
from ssm.smime import verify
from ssm.testing.authority import Authority
from ssm.testing.standin import AmsStandin
from tests.delivery.books import Inbox, account, opened, ran_on, table_of, table_of_ours, write


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


def push(database: Database, sender: Sender, most: int = 500) -> pusher.Report:
    return pusher.Pusher(
        Outbox(database), sender, pusher.Policy(most, at_once=True, settle_seconds=0)
    ).push()


def unreachable() -> None:
    raise Unavailable("The broker does not answer", "Wait.")


def test_due_records_arrive_and_are_not_due_again(database: Database) -> None:
    write(database, [account(n) for n in range(7)])
    inbox = Inbox()
    first = push(database, inbox, most=3)
    again = push(database, inbox, most=3)
    assert (first.built, first.records, first.sent, first.is_complete) == (3, 7, 3, True)
    assert (again.built, again.sent, again.is_complete) == (0, 0, True)
    assert table_of(inbox.bodies) == table_of_ours(database)
    assert [body.count("VMUUID") for body in inbox.bodies] == [3, 3, 1]


def test_only_what_changed_is_due_again(database: Database) -> None:
    pages = [account(n) for n in range(3)]
    write(database, pages)
    inbox = Inbox()
    push(database, inbox)
    write(database, [ran_on(pages[1], 60), pages[2]])
    report = push(database, inbox)
    assert report.records == 1
    assert pages[1].pod.uid in inbox.bodies[-1]
    assert table_of(inbox.bodies) == table_of_ours(database)


def test_a_message_is_stored_before_it_is_sent_and_sent_again_with_the_same_bytes(
    database: Database,
) -> None:
    write(database, [account(1)])
    inbox = Inbox(before=unreachable)
    report = push(database, inbox)
    with database.begin() as connection:
        stored = connection.execute(select(messages.c.body)).scalar_one()
    assert report.error is not None
    assert (report.pending, inbox.bodies) == (1, [])
    inbox.before = lambda: None
    assert push(database, inbox).is_complete
    assert inbox.bodies == [stored]


def test_an_older_message_goes_first_even_if_its_records_have_changed(database: Database) -> None:
    page = account(1)
    write(database, [page])
    inbox = Inbox(before=unreachable)
    push(database, inbox)
    write(database, [ran_on(page, 600, ended=True)])
    inbox.before = lambda: None
    assert push(database, inbox).sent == 2
    statuses = ["completed" if "Status: completed" in body else "started" for body in inbox.bodies]
    assert statuses == ["started", "completed"]
    assert table_of(inbox.bodies) == table_of_ours(database)


def test_a_push_stops_at_the_first_failure_so_that_nothing_overtakes(database: Database) -> None:
    write(database, [account(n) for n in range(4)])
    inbox = Inbox()

    def third() -> None:
        if len(inbox.bodies) == 2:
            unreachable()

    inbox.before = third
    report = push(database, inbox, most=1)
    assert (report.built, report.sent, report.pending, report.remaining) == (3, 2, 1, 2)
    with database.begin() as connection:
        rows = connection.execute(select(messages).order_by(messages.c.id)).all()
    assert [(row.state, row.attempts) for row in rows] == [
        ("sent", 1),
        ("sent", 1),
        ("pending", 1),
    ]
    assert rows[2].error == "The broker does not answer"


def test_a_crash_after_the_broker_stored_the_message_repeats_the_same_bytes(
    database: Database,
) -> None:
    write(database, [account(1)])

    def crash() -> None:
        raise KeyboardInterrupt

    inbox = Inbox(after=crash)
    with pytest.raises(KeyboardInterrupt):
        push(database, inbox)
    inbox.after = lambda: None
    assert push(database, inbox).is_complete
    assert len(inbox.bodies) == 2
    assert inbox.bodies[0] == inbox.bodies[1]


def test_what_a_crash_cut_short_is_sent_again_only_when_it_cannot_be_on_its_way_any_more(
    database: Database,
) -> None:
    write(database, [account(1)])
    at = 1_800_000_000.0
    inbox = Inbox(before=unreachable)
    policy = pusher.Policy(settle_seconds=120, at_once=True)
    delivery = pusher.Pusher(Outbox(database), inbox, policy, now=lambda: at)

    def crash() -> None:
        raise KeyboardInterrupt

    inbox.before = crash
    with pytest.raises(KeyboardInterrupt):
        delivery.push()
    inbox.before = lambda: None
    at += 119
    early = delivery.push()
    assert (early.sent, early.pending, early.next_try_at) == (0, 1, at + 1)
    assert not early.is_complete
    at += 1
    assert delivery.push().is_complete


def test_a_bad_record_stays_here_with_field_and_reason_and_its_neighbours_go(
    database: Database,
) -> None:
    bad = account(2)
    bad.pod.image = "50%%off"
    write(database, [account(1), bad, account(3)])
    inbox = Inbox()
    assert push(database, inbox).records == 2
    (held,) = Records(database).find(Selection(held=True))
    assert (held.held.value, held.problem) == ("invalid", "ImageId: contains %%")
    assert table_of(inbox.bodies) == table_of_ours(database)


def test_a_message_is_bounded_in_bytes_as_well_as_in_records(database: Database) -> None:
    pages = [account(n, user="ü" * 250) for n in range(600)]
    write(database, pages)
    inbox = Inbox()
    report = push(database, inbox, most=1000)
    assert report.records == 600
    assert report.built > 1
    assert all(len(body.encode()) < apel.MAX_BODY_BYTES + 100 for body in inbox.bodies)
    assert table_of(inbox.bodies) == table_of_ours(database)


def test_what_a_destination_cannot_carry_waits_and_is_counted(database: Database) -> None:
    write(database, [account(1), account(2, user="Gündüz"), account(3)])
    inbox = Inbox(ascii_only=True)
    report = push(database, inbox)
    assert (report.records, report.left_out, report.is_complete) == (2, 1, False)
    assert Outbox(database).due_count() == 1
    inbox.ascii_only = False
    assert push(database, inbox).is_complete
    assert table_of(inbox.bodies) == table_of_ours(database)


def test_two_pushers_at_once_do_not_send_twice(database: Database) -> None:
    write(database, [account(1)])
    sending, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        sending.set()
        go_on.wait(30)

    inbox = Inbox(before=wait)
    pusher = threading.Thread(target=push, args=(database, inbox))
    pusher.start()
    assert sending.wait(30)
    with pytest.raises(Busy):
        push(database, Inbox())
    go_on.set()
    pusher.join()
    assert len(inbox.bodies) == 1


def test_records_arrive_at_ams_signed_and_a_refusal_keeps_them(
    database: Database, tmp_path: Path
) -> None:
    authority = Authority.create(tmp_path / "ca")
    host = authority.issue("host.example.org")
    dn = HostCertificate.load(*host).dn
    write(database, [account(n, user=f"Žofia {n}") for n in range(5)])
    with AmsStandin(authority, registered=[]) as broker:
        settings = AmsSettings(
            host=broker.host,
            port=broker.port,
            authn_port=broker.authn_port,
            project="accounting",
            topic="eu-egi-cloud-accounting",
            ca_file=authority.ca_file,
        )
        sender = AmsSender(settings, *host)
        refused = push(database, sender, most=2)
        assert refused.error is not None
        assert "GOCDB" in refused.error.cure
        assert (refused.pending, refused.remaining) == (1, 5)
        broker.registered = {dn}
        assert push(database, sender, most=2).is_complete
        certificate = HostCertificate.load(*host).certificate
        bodies = [verify(stored.data, certificate) for stored in broker.log]
    assert table_of(bodies) == table_of_ours(database)
    with database.begin() as connection:
        rows = connection.execute(select(messages).order_by(messages.c.id)).all()
    assert [(row.state, row.broker_id) for row in rows] == [("sent", str(n)) for n in range(3)]
    assert [stored.attributes["empaid"] for stored in broker.log] == [row.empaid for row in rows]


def test_records_arrive_in_the_spool_as_the_reference_sender_reads_them(
    database: Database, tmp_path: Path
) -> None:
    write(database, [account(n) for n in range(5)])
    assert push(database, DirqSender(tmp_path / "spool"), most=2).is_complete
    spool = QueueSimple(str(tmp_path / "spool"))
    bodies = []
    name = spool.first()
    while name:
        assert spool.lock(name)
        bodies.append(spool.get(name).decode())
        name = spool.next()
    assert len(bodies) == 3
    assert all(body.startswith(f"{apel.HEADER}\n") for body in bodies)
    assert table_of(bodies) == table_of_ours(database)


def test_the_outbox_counts_what_waits_and_what_went(database: Database) -> None:
    found, outbox = Messages(database), Outbox(database)
    assert (outbox.counts(), found.oldest_pending_at(), found.last_sent_at()) == (
        dict.fromkeys(MessageState, 0),
        None,
        None,
    )
    write(database, [account(1), account(2)])
    inbox = Inbox()

    def second_fails() -> None:
        if inbox.bodies:
            raise Refused("No", "Ask.")

    inbox.before = second_fails
    push(database, inbox, most=1)
    assert outbox.counts() == dict.fromkeys(MessageState, 0) | {
        MessageState.PENDING: 1,
        MessageState.SENT: 1,
    }
    assert found.oldest_pending_at() is not None
    assert found.last_sent_at() is not None
    assert [entry.state for entry in found.page()] == ["pending", "sent"]
