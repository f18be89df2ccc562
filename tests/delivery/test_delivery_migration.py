"""A database of before delivery had states: everything in it is known afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Policy, Pusher
from accounting.lookup.messages import Messages
from accounting.model.messages import Limit, MessageState
from accounting.model.pods import Account
from accounting.records import apel, builder
from accounting.store.database import Database, alembic_config
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
        final = (
            connection.execute(text("SELECT queued_final FROM records ORDER BY uid"))
            .scalars()
            .all()
        )
    assert [(row.message_id, row.delivered_at) for row in rows] == [
        (2, 102.0),
        (1, 101.0),
        (3, 103.0),
    ]
    assert "Status: completed" in rows[0].text
    assert apel.parsed(rows[1].text)["WallDuration"] == "3600"
    assert rows[2].text == ""
    assert [bool(value) for value in final] == [True, False, False, False]

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
