"""A database of before delivery had states: everything in it is known afterwards."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData, text

from accounting.delivery.differences import Chosen, Comparison
from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.delivery.receiver import Receiver
from accounting.lookup.messages import Messages
from accounting.model.messages import Limit, MessageState
from accounting.model.pods import Account
from accounting.records import builder
from accounting.records.formats import apel
from accounting.store.engine.database import Database, alembic_config
from accounting.store.records import Records
from tests.delivery.books import (
    NOVEMBER,
    RULES,
    SITE,
    Inbox,
    account,
    ran_on,
    table_of,
    table_of_ours,
    write,
)

DESTINATION = "inbox://example.org"


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database at revision 0001."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if request.param == "postgresql":
        new: Callable[[], str] = request.getfixturevalue("postgres")
        url = new()
    with Database(url) as database:
        database.upgrade()
        migrate(database, command.downgrade, "0001")
        yield database


def migrate(database: Database, how: Callable[..., None], revision: str) -> None:
    with database.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        how(config, revision)


def old_message(
    database: Database, number: int, pages: list[Account], *, state: str, body: bool = True
) -> None:
    """A message as the program of then stored it; a delivered one whose user was erased is empty"""
    records = [next(builder.records(page, SITE, RULES)) for page in pages]
    text_of = apel.message(apel.text(record) for record in records) if body else ""
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO messages (empaid, destination, state, body, records, built_at,"
                " attempts, error, sent_at, broker_id) VALUES (:e, :d, :s, :b, :c, 1, 1,"
                " :x, :t, '')"
            ),
            {
                "e": f"e{number}",
                "d": DESTINATION,
                "s": state,
                "b": text_of,
                "c": len(records),
                "x": "" if state == "sent" else "Unavailable: no answer",
                "t": 100.0 + number if state == "sent" else None,
            },
        )
        for record in records:
            values = {
                "u": record.uid,
                "y": NOVEMBER.year,
                "m": NOVEMBER.month,
                "d": record.digest,
                "n": number,
            }
            connection.execute(
                text("INSERT INTO message_records VALUES (:n, :u, :y, :m, :d)"), values
            )
            connection.execute(
                text("UPDATE records SET queued_digest = :d, message_id = :n WHERE uid = :u"),
                values,
            )


def test_a_populated_database_keeps_its_queue_and_learns_what_was_delivered(
    old: Database,
) -> None:
    migrate(old, command.upgrade, "head")  # records are written by today's program
    pages = [account(n) for n in range(4)]
    write(old, pages)
    migrate(old, command.downgrade, "0001")
    old_message(old, 1, pages[:2], state="sent")
    old_message(old, 2, [ran_on(pages[0], 60, ended=True)], state="sent")
    old_message(old, 3, [pages[3]], state="sent", body=False)
    old_message(old, 4, [ran_on(pages[1], 60)], state="pending")

    old.upgrade()
    found = Messages(old)
    entries = found.page()
    assert [(e.id, e.origin, e.part, e.state) for e in entries] == [
        (4, 4, "", MessageState.PENDING),
        (3, 3, "", MessageState.SENT),
        (2, 2, "", MessageState.SENT),
        (1, 1, "", MessageState.SENT),
    ]
    assert entries[0].failure is not None
    assert entries[0].failure.reason == "Unavailable: no answer"
    with old.begin(reading=True) as connection:
        rows = connection.execute(
            text("SELECT message_id, text, delivered_at FROM delivered ORDER BY uid")
        ).all()
        final = connection.execute(text("SELECT final FROM queued ORDER BY uid")).scalars().all()
    assert [(row.message_id, row.delivered_at) for row in rows] == [
        (2, 102.0),
        (1, 101.0),
        (3, 103.0),
    ]
    assert "Status: completed" in rows[0].text
    assert apel.parsed(rows[1].text)["WallDuration"] == "3600"
    assert rows[2].text == ""
    assert [bool(value) for value in final] == [True, False, False]  # one was in no message

    write(old, pages)
    inbox = Inbox()
    assert Pusher(Outbox(old), inbox, Policy()).push().is_complete
    assert [body.count("VMUUID") for body in inbox.bodies] == [1, 1]
    held = table_of(inbox.bodies)
    ours = table_of_ours(old)
    assert held == {key: ours[key] for key in held}
    assert Records(old).count() == 4


def test_going_back_keeps_the_queue(old: Database) -> None:
    migrate(old, command.upgrade, "head")
    write(old, [account(n) for n in range(2)])
    outbox = Outbox(old)
    inbox = Inbox()
    outbox.fill(DESTINATION, None, Limit(500), 1.0)
    waiting = outbox.next(DESTINATION)
    assert waiting is not None
    outbox.claim(waiting, 2.0)
    migrate(old, command.downgrade, "0001")
    old.upgrade()
    assert Pusher(Outbox(old), inbox, Policy()).push().sent == 1
    assert inbox.bodies == [waiting.body]


@pytest.fixture(params=["sqlite", "postgresql"])
def at_0004(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """What the program before destinations had states wrote: ``data/revision_0004.json``."""
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if request.param == "postgresql":
        new: Callable[[], str] = request.getfixturevalue("postgres")
        url = new()
    rows = json.loads((Path(__file__).parent / "data" / "revision_0004.json").read_text())
    with Database(url) as database:
        migrate(database, command.upgrade, "0004")
        with database.begin() as connection:
            then = MetaData()
            then.reflect(connection)
            for table in then.sorted_tables:
                if rows.get(table.name):
                    connection.execute(table.insert(), rows[table.name])
            if not database.is_sqlite:
                connection.execute(text("SELECT setval('messages_id_seq', 6)"))
        yield database


def test_what_was_queued_and_delivered_before_destinations_had_states_is_known_of_each(
    at_0004: Database,
) -> None:
    at_0004.upgrade()
    to, elsewhere = DESTINATION, "inbox://old.example.org"
    outbox, receiver = Outbox(at_0004), Receiver(at_0004)
    assert outbox.due_count(destination=to) == outbox.due_count() == 1  # the pod that ran on
    assert outbox.due_count(destination="inbox://new.example.org") == 8  # all that is not held
    assert outbox.counts(to)[MessageState.SENT] == 3
    assert outbox.elsewhere() == 0
    with at_0004.begin(reading=True) as connection:
        told = connection.execute(
            text(
                "SELECT destination, count(*), sum(CASE WHEN final THEN 1 ELSE 0 END)"
                " FROM queued GROUP BY destination ORDER BY destination"
            )
        ).all()
        held = connection.execute(
            text("SELECT destination, count(*) FROM delivered GROUP BY destination ORDER BY 1")
        ).all()
    assert [tuple(row) for row in told] == [(to, 8, 1), (elsewhere, 2, 0)]
    assert [tuple(row) for row in held] == [(to, 6), (elsewhere, 2)]
    kinds = Comparison().add(receiver.differences(Chosen(NOVEMBER))).counts
    assert kinds == {"same": 3, "changed": 3, "never sent": 2}


def test_the_queue_of_before_destinations_goes_on_in_its_order(at_0004: Database) -> None:
    at_0004.upgrade()
    inbox = Inbox()
    policy = Policy(at_once=True, settle_seconds=0)
    report = Pusher(Outbox(at_0004), inbox, policy).push()
    assert (report.sent, report.parked, report.error) == (2, 1, None)
    Outbox(at_0004).retry(6)
    assert Pusher(Outbox(at_0004), inbox, policy).push().is_complete
    ours, sent = table_of_ours(at_0004), table_of(inbox.bodies)
    assert sent == {key: ours[key] for key in sent}
    assert len(sent) == 3
    assert Outbox(at_0004).due_count() == 0


def test_going_back_from_states_per_destination_keeps_them(at_0004: Database) -> None:
    def state() -> list[tuple[object, ...]]:
        with at_0004.begin(reading=True) as connection:
            query = text(
                "SELECT uid, queued_digest, queued_final, message_id FROM records ORDER BY uid"
            )
            return [tuple(row) for row in connection.execute(query)]

    before = state()
    at_0004.upgrade()
    migrate(at_0004, command.downgrade, "0004")
    assert state() == before
