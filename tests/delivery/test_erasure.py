from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.errors import AccountingError
from accounting.lookup.messages import Messages
from accounting.records import builder
from accounting.records.identity import Privacy
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user, expire_users
from accounting.store.ledger import Ledger
from accounting.store.records import Records
from accounting.store.tables import messages
from tests.delivery.books import RULES, SITE, START, Inbox, account, opened, ran_on, write

USER = "alice@example.org"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


def push(database: Database, inbox: Inbox) -> pusher.Report:
    return pusher.Pusher(
        Outbox(database), inbox, pusher.Policy(at_once=True, settle_seconds=0)
    ).push()


def everything(database: Database) -> str:
    with database.begin() as connection:
        tables = ("pods", "records", "messages", "message_records", "delivered")
        return str([connection.execute(text(f"select * from {t}")).all() for t in tables])  # noqa: S608 - the tables' own names


def test_erasing_a_user_keeps_totals_and_sends_nothing_again(database: Database) -> None:
    mine = ran_on(account(1, user=USER), 60, ended=True)
    mine.pod.name = "jupyter-alice"
    write(database, [mine, account(2)])
    inbox = Inbox()
    push(database, inbox)
    before = Records(database).month_totals()
    assert erase_user(database, USER) == 1
    assert "alice" not in everything(database)
    assert Records(database).month_totals() == before
    assert push(database, inbox).built == 0
    assert {record.user for record in Records(database).find()} == {
        "erased",
        "user-2@example.org",
    }


def test_a_record_that_is_built_anew_after_erasing_is_the_same(database: Database) -> None:
    write(database, [ran_on(account(1, user=USER), 60, ended=True)])
    push(database, Inbox())
    erase_user(database, USER)
    (erased,) = Ledger(database).accounts([account(1).pod.uid]).values()
    for rules in (RULES, replace(RULES, privacy={".*": Privacy.PSEUDONYM}, pseudonym_key=b"k")):
        (built,) = builder.records(erased, SITE, rules)
        assert [built] == list(Records(database).find())


def test_a_user_with_undelivered_messages_is_not_erased_yet(database: Database) -> None:
    write(database, [account(1, user=USER)])

    def unreachable() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push(database, Inbox(before=unreachable))
    with pytest.raises(AccountingError, match=r"not delivered yet.*push"):
        erase_user(database, USER)
    with database.begin() as connection:
        assert USER in connection.execute(select(messages.c.body)).scalar_one()
    assert Messages(database).oldest_pending_at() is not None


def test_a_change_that_was_not_sent_yet_is_still_due_after_erasing(database: Database) -> None:
    page = account(1, user=USER)
    write(database, [page])
    inbox = Inbox()
    push(database, inbox)
    write(database, [ran_on(page, 60, ended=True)])
    erase_user(database, USER)
    assert push(database, inbox).records == 1
    assert USER not in inbox.bodies[-1]


def test_names_expire_some_time_after_the_pod_has_ended(database: Database) -> None:
    old, running = ran_on(account(1, user=USER), 60, ended=True), account(2)
    write(database, [old, running])
    push(database, Inbox())
    assert expire_users(database, START) == 0
    assert expire_users(database, START + 7200) == 1
    assert expire_users(database, START + 7200) == 0
    assert USER not in everything(database)
    assert "user-2@example.org" in everything(database)
