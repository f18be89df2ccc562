"""The queue, on both kinds of database: what may go, what must wait, what operators can do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, event, select

from accounting.delivery import batches, pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.outlet import Outlet
from accounting.delivery.outlets.records import CloudRecords, taken
from accounting.delivery.outlets.storage import Storage
from accounting.errors import AccountingError
from accounting.lookup.entries import Delivery
from accounting.lookup.messages import Messages, Selection
from accounting.lookup.records import Question, page
from accounting.lookup.sums import outgoing
from accounting.model.messages import (
    Failure,
    FailureKind,
    Limit,
    Message,
    MessageState,
    RecordKey,
    Stop,
)
from accounting.model.pods import Account
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.store import due, erasure, totals
from accounting.store.due import is_due, unsettled
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database, alembic_config
from accounting.store.records import Records
from accounting.store.tables import joined
from ssm.errors import Unavailable
from tests.delivery.books import (
    NOVEMBER,
    Inbox,
    account,
    opened,
    ran_on,
    table_of,
    table_of_ours,
    write,
)
from tests.delivery.volumes import homes, seen
from tests.statements import asked_of, plan

TO = "inbox://example.org"
FAILURE = Failure(FailureKind.REJECTED, "The broker rejects it", "Ask.")


def push(database: Database, inbox: Inbox, most: int = 500) -> pusher.Report:
    policy = pusher.Policy(most, at_once=True, settle_seconds=0)
    return pusher.Pusher(Outbox(database), inbox, policy).push()


def filled(database: Database, pages: Sequence[Account], at: float = 1.0, to: str = TO) -> Message:
    """A message with the records of these pods, behind all others."""
    write(database, pages)
    with database.begin() as connection:  # as if nothing stood in the way
        due, _ = taken(connection, is_due(destination=to), to, None, Limit(500))
        body = apel.message(entry.text for entry in due)
        number = batches.store(connection, to, body, count=len(due), now=at)
        batches.enqueue(connection, to, number, due)
    return found(database, number)


def found(database: Database, number: int) -> Message:
    entry = Messages(database).find(number)
    assert entry is not None
    body = Messages(database).body(number)
    values = {name: getattr(entry, name) for name in Message.__slots__ if name != "body"}
    return Message(body=body, **values)


def test_a_parked_message_holds_up_only_what_shares_a_pod_and_month_and_what_follows_that(
    ledger: Database,
) -> None:
    one, two, three = account(1), account(2), account(3)
    parked = filled(ledger, [one])
    behind = filled(ledger, [ran_on(one, 60), two])
    behind_that = filled(ledger, [ran_on(two, 60)])
    free = filled(ledger, [three])
    outbox = Outbox(ledger)
    outbox.park(parked.id, FAILURE)
    inbox = Inbox()
    report = push(ledger, inbox)
    assert inbox.bodies == [free.body]
    assert (report.sent, report.parked, report.pending, report.error) == (1, 1, 2, None)
    assert not report.is_complete
    outbox.retry(parked.id)
    assert push(ledger, inbox).is_complete
    assert inbox.bodies == [free.body, parked.body, behind.body, behind_that.body]
    assert table_of(inbox.bodies) == table_of_ours(ledger)


def test_what_is_due_anew_does_not_join_a_message_while_an_older_one_is_parked(
    ledger: Database,
) -> None:
    one = account(1)
    parked = filled(ledger, [one])
    Outbox(ledger).park(parked.id, FAILURE)
    write(ledger, [ran_on(one, 60), account(2)])
    inbox = Inbox()
    report = push(ledger, inbox)
    assert (report.records, report.sent, report.remaining) == (1, 1, 2)
    assert one.pod.uid not in inbox.bodies[0]
    Outbox(ledger).retry(parked.id)
    assert push(ledger, inbox).is_complete
    assert table_of(inbox.bodies) == table_of_ours(ledger)


def test_a_withdrawn_message_is_built_anew_from_what_the_records_say_now(
    ledger: Database,
) -> None:
    one = account(1)
    parked = filled(ledger, [one, account(2)])
    outbox = Outbox(ledger)
    outbox.park(parked.id, FAILURE)
    write(ledger, [ran_on(one, 60)])
    outbox.withdraw(parked.id)
    inbox = Inbox()
    report = push(ledger, inbox)
    assert (report.records, report.is_complete) == (2, True)
    assert parked.body not in inbox.bodies
    assert table_of(inbox.bodies) == table_of_ours(ledger)
    assert found(ledger, parked.id).body == parked.body
    assert push(ledger, inbox).built == 0


def test_what_an_operator_asks_of_the_wrong_message_is_refused_with_its_state(
    ledger: Database,
) -> None:
    write(ledger, [account(1)])
    push(ledger, Inbox())
    outbox = Outbox(ledger)
    for ask in (outbox.retry, outbox.withdraw, lambda number: outbox.park(number, FAILURE)):
        with pytest.raises(AccountingError, match="message 1 is sent, not"):
            ask(1)
        with pytest.raises(AccountingError, match="there is no message 99") as caught:
            ask(99)
        assert "outbox list" in caught.value.cure


def test_a_message_that_another_pusher_has_taken_is_not_claimed(ledger: Database) -> None:
    message = filled(ledger, [account(1)])
    outbox = Outbox(ledger)
    first = outbox.claim(message, 1.0)
    assert first is not None
    assert first.attempts == 1
    assert outbox.claim(message, 2.0) is None
    again = outbox.next(TO)
    assert again == first  # a crash leaves it so: the next push sends it again
    for ask in (outbox.retry, lambda number: outbox.park(number, FAILURE)):
        with pytest.raises(AccountingError, match="message 1 is sending, not pending"):
            ask(message.id)
    outbox.set_aside(first, FAILURE)
    assert outbox.claim(first, 3.0) is None


def test_a_message_of_one_record_cannot_be_split(ledger: Database) -> None:
    message = filled(ledger, [account(1)])
    with pytest.raises(ValueError, match="single record"):
        Outbox(ledger).split(message, FAILURE, 1.0)


def test_halves_go_before_what_came_after_the_whole(ledger: Database) -> None:
    one, two = account(1), account(2)
    whole = filled(ledger, [one, two])
    later = filled(ledger, [ran_on(one, 60), ran_on(two, 60)])
    Outbox(ledger).split(whole, FAILURE, 2.0)
    inbox = Inbox()
    assert push(ledger, inbox).sent == 3
    assert [body.count("VMUUID") for body in inbox.bodies] == [1, 1, 2]
    assert inbox.bodies[-1] == later.body
    assert table_of(inbox.bodies) == table_of_ours(ledger)


def test_messages_for_a_destination_that_was_wrong_are_kept_told_of_and_readdressed(
    ledger: Database,
) -> None:
    wrong = Inbox(name="inbox://wrong.example.org")

    def refuse() -> None:
        raise KeyError

    wrong.before = refuse
    write(ledger, [account(1)])
    push(ledger, wrong)
    outbox = Outbox(ledger)
    right = Inbox()
    outbox.keep([right.name])
    assert outbox.elsewhere() == 1
    assert outbox.readdress(wrong.name, right.name) == 1
    assert push(ledger, right).is_complete
    assert table_of(right.bodies) == table_of_ours(ledger)


def test_what_waits_for_a_wrong_destination_never_follows_what_the_right_one_knows(
    ledger: Database,
) -> None:
    wrong, right = Inbox(name="inbox://wrong.example.org"), Inbox()
    filled(ledger, [account(1)], to=wrong.name)
    filled(ledger, [account(3)], to=wrong.name)
    write(ledger, [ran_on(account(1), 60)])
    with ledger.begin() as connection:
        due, _ = taken(connection, is_due(destination=right.name), right.name, None, Limit(1))
        number = batches.store(
            connection, right.name, apel.message([due[0].text]), count=1, now=2.0
        )
        batches.enqueue(connection, right.name, number, due)
    assert Outbox(ledger).readdress(wrong.name, right.name) == 2
    assert push(ledger, right).is_complete
    assert table_of(right.bodies) == table_of_ours(ledger)
    assert [m.state for m in Messages(ledger).page(limit=9)][::-1] == [
        MessageState.WITHDRAWN,
        MessageState.SENT,
        MessageState.SENT,
    ]


def test_each_destination_gets_everything_and_one_that_fails_keeps_only_its_own(
    ledger: Database,
) -> None:
    outbox = Outbox(ledger)
    write(ledger, [account(n) for n in range(4)])
    names = ("inbox://a.example.org", "inbox://b.example.org")
    assert [outbox.fill(name, None, Limit(500), 1.0)[1] for name in names] == [4, 4]
    assert [outbox.fill(name, None, Limit(500), 1.0)[1] for name in names] == [0, 0]
    good, bad = Inbox(names[0]), Inbox(names[1])

    def refuse() -> None:
        raise Unavailable("no answer", "wait")

    bad.before = refuse
    assert push(ledger, bad).error is not None
    assert push(ledger, good).is_complete
    write(ledger, [ran_on(account(1), 60)])
    assert push(ledger, good).is_complete
    assert table_of(good.bodies) == table_of_ours(ledger)
    bad.before = lambda: None
    assert push(ledger, bad).is_complete
    assert table_of(bad.bodies) == table_of_ours(ledger)
    assert (len(good.bodies), len(bad.bodies)) == (2, 2)


def test_a_month_that_was_told_whole_is_not_searched_until_it_changes(ledger: Database) -> None:
    write(ledger, [account(1)])
    push(ledger, Inbox())
    with ledger.begin(reading=True) as connection:
        assert connection.execute(unsettled(TO)).all() == []
    write(ledger, [ran_on(account(1), 60)])
    assert Outbox(ledger).due_count(destination=TO) == 1
    assert push(ledger, Inbox()).records == 1


@pytest.mark.parametrize("ledger", ["postgresql"], indirect=True)
def test_a_record_that_is_written_while_its_month_is_settled_is_found(ledger: Database) -> None:
    """With SQLite, writers take turns."""
    write(ledger, [account(1)])
    Outbox(ledger).fill(TO, None, Limit(500), 1.0)
    looked: list[str] = []

    def meanwhile(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM records" in statement and "LIMIT" in statement and not looked:
            looked.append(statement)
            write(ledger, [account(2)])

    event.listen(ledger.engine, "after_cursor_execute", meanwhile)
    Outbox(ledger).settle(TO)
    assert looked
    assert Outbox(ledger).due_count(destination=TO) == 1


def unsaid(database: Database, to: str = TO) -> set[str]:
    """What a destination was not told, as found among what has changed since it was told all."""
    with database.begin(reading=True) as connection:
        found = {
            uid
            for year, month, told_at in connection.execute(due.moved(to))
            for uid in _uids(connection, to, Month(year, month), told_at)
        }
        assert found == _uids(connection, to, NOVEMBER, None), "as in the whole month"
        return found


def _uids(connection: Connection, to: str, month: Month, told_at: int | None) -> set[str]:
    queries = due.unsaid(to, month, told_at)
    return {uid for query in queries for uid in connection.scalars(query)}


def _joined(database: Database) -> int:
    with database.begin(reading=True) as connection:
        return len(connection.execute(select(joined)).all())


def test_what_was_not_told_is_found_among_what_changed_since_all_was(ledger: Database) -> None:
    others = Inbox("inbox://other.example.org")
    pages = [account(number, user=f"user-{number}") for number in range(6)]
    write(ledger, pages)
    assert (len(unsaid(ledger)), _joined(ledger)) == (6, 0), "all of the month are looked at"
    push(ledger, Inbox())
    push(ledger, others)
    assert unsaid(ledger) == set()
    write(ledger, [ran_on(pages[0], 60, ended=True), ran_on(pages[1], 60)])
    assert (len(unsaid(ledger)), _joined(ledger)) == (2, 1)
    push(ledger, Inbox())
    assert (len(unsaid(ledger)), _joined(ledger)) == (0, 1), "the other was not told yet"
    assert len(unsaid(ledger, others.name)) == 2
    write(ledger, [ran_on(pages[2], 60, ended=True), ran_on(pages[0], 60, ended=True)])
    assert (len(unsaid(ledger)), len(unsaid(ledger, others.name))) == (2, 3)
    erasure.erase_user(ledger, "user-0")
    assert len(unsaid(ledger)) == 2
    totals.rebuild(ledger)
    assert (len(unsaid(ledger)), len(unsaid(ledger, others.name))) == (2, 3)
    push(ledger, others)
    push(ledger, Inbox())
    assert unsaid(ledger) == unsaid(ledger, others.name) == set()
    write(ledger, [ran_on(pages[3], 60, ended=True)])
    push(ledger, others)
    push(ledger, Inbox())
    assert _joined(ledger) == 0


def test_a_month_that_changed_before_an_upgrade_is_searched_whole_after_it(
    ledger: Database,
) -> None:
    pages = [account(number) for number in range(2)]
    write(ledger, pages)
    push(ledger, Inbox())
    write(ledger, [ran_on(pages[0], 60, ended=True)])
    for how, revision in ((command.downgrade, "0018"), (command.upgrade, "head")):
        config = alembic_config()
        with ledger.begin() as connection:
            config.attributes["connection"] = connection
            how(config, revision)
    assert unsaid(ledger) == {pages[0].pod.uid}


def test_sums_look_for_what_was_not_told_among_what_has_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        page = account(1)
        write(database, [page])
        push(database, Inbox())
        write(database, [ran_on(page, 60, ended=True)])
        with database.begin(reading=True) as connection:
            ((*month, told_at),) = connection.execute(due.moved(TO))
            plan = [
                row.detail
                for query in due.unsaid(TO, Month(*month), told_at)
                for row in connection.exec_driver_sql(
                    "EXPLAIN QUERY PLAN "
                    + str(query.compile(database.engine, compile_kwargs={"literal_binds": True}))
                )
            ]
    read = [step for step in plan if " records " in step]
    assert [step.partition(" USING ")[2] for step in read] == [
        "INDEX ix_records_apart (year=? AND month=?)",
        "PRIMARY KEY (year=? AND month=? AND uid=?)",
    ]


@pytest.mark.parametrize("outlet", [CloudRecords(), Storage()])
def test_a_message_is_filled_without_sorting_all_that_waits(tmp_path: Path, outlet: Outlet) -> None:
    with opened(tmp_path) as database:
        write(database, [account(number) for number in range(3)])
        homes(database, [seen(number) for number in range(3)], watermark=NOVEMBER.end)
        outbox = Outbox(database, outlet)
        with asked_of(database.engine) as asked:
            after, count, *_ = outbox.fill(TO, None, Limit(2), 1.0)
            assert count == 2
            assert outbox.fill(TO, after, Limit(2), 1.0)[1] == 1
        questions = [one for one in asked if "ORDER BY" in one.statement]
        assert len(questions) == 2
        with database.begin(reading=True) as connection:
            steps = [step for question in questions for step in plan(connection, question)]
    assert len([step for step in steps if "(year=? AND month=?" in step]) >= len(questions)
    assert not [step for step in steps if "ORDER BY" in step]


def test_that_question_is_written_once() -> None:
    # Every page of the list asks it, and it takes as long to write as to answer.
    assert unsettled() is unsettled()
    assert unsettled(TO) is not unsettled()


def test_a_page_of_records_of_which_none_may_wait_takes_one_question(ledger: Database) -> None:
    viewer = Viewer("admin", frozenset(Right), is_admin=True)
    for run, questions, delivery in ((0, 1, Delivery.SENT), (60, 2, Delivery.DUE)):
        write(ledger, [ran_on(account(1), run)])
        if not run:
            push(ledger, Inbox())
        with asked_of(ledger.engine) as asked:
            found = page(ledger, viewer, Question()).entries
        assert [entry.delivery for entry in found] == [delivery]
        assert sum(one.statement.startswith("SELECT") for one in asked) == questions


def test_destinations_tell_how_they_stand(ledger: Database) -> None:
    outbox, messages = Outbox(ledger), Messages(ledger)
    assert messages.destinations() == []
    write(ledger, [account(1)])
    push(ledger, Inbox())
    message = filled(ledger, [account(2)], at=50.0)
    claimed = outbox.claim(message, 51.0)
    assert claimed is not None
    outbox.failed(claimed, FAILURE, 99.0)
    (standing,) = messages.destinations()
    assert standing.messages == dict.fromkeys(MessageState, 0) | {
        MessageState.PENDING: 1,
        MessageState.SENT: 1,
    }
    assert (standing.oldest_at, standing.next_try_at, standing.failure, standing.stop) == (
        50.0,
        99.0,
        FAILURE,
        None,
    )
    stop = Stop(TO, 60.0, FAILURE, message.id, 160.0)
    outbox.stop(stop)
    outbox.stop(stop)
    (standing,) = messages.destinations()
    assert (standing.stop, standing.next_try_at) == (stop, 160.0)
    assert outbox.resume(TO)
    (standing,) = messages.destinations()
    assert (standing.stop, standing.next_try_at) == (None, None)


def test_how_deliveries_stand_is_told_without_reading_a_message(tmp_path: Path) -> None:
    """In SQLite, what stands behind a message's body is found only by reading it."""
    with opened(tmp_path) as database:
        with asked_of(database.engine) as asked:
            Messages(database).destinations()
            Messages(database).last_sent_at()
            outgoing.version(database)
        questions = [one for one in asked if "FROM messages" in one.statement]
        assert len(questions) == 3
        with database.begin(reading=True) as connection:
            steps = [step for question in questions for step in plan(connection, question)]
    assert all("USING COVERING INDEX" in step for step in steps)


def test_messages_are_paged_by_their_number_and_narrowed(ledger: Database) -> None:
    pages = [account(n) for n in range(7)]
    write(ledger, pages)
    push(ledger, Inbox(), most=1)
    messages = Messages(ledger)
    first = messages.page(limit=3)
    second = messages.page(before=first[-1].id, limit=3)
    third = messages.page(before=second[-1].id, limit=3)
    assert [e.id for e in (*first, *second, *third)] == [7, 6, 5, 4, 3, 2, 1]
    assert messages.page(Selection(states=[MessageState.PARKED])) == []
    assert messages.page(Selection(destination="elsewhere")) == []
    (one,) = messages.page(Selection(uid=pages[2].pod.uid))
    assert (one.id, one.records) == (3, 1)
    assert messages.find(99) is None
    assert messages.body(99) == ""


def test_the_records_of_a_message_are_paged_and_tell_what_became_of_them(
    ledger: Database,
) -> None:
    pages = [account(n) for n in range(3)]
    write(ledger, pages)
    push(ledger, Inbox())
    write(ledger, [ran_on(pages[0], 60), ran_on(pages[1], 60)])
    push(ledger, Inbox(), most=1)
    write(ledger, [ran_on(pages[1], 60)])
    messages = Messages(ledger)
    first = messages.records(1, limit=2)
    assert [(r.is_latest, r.is_current) for r in first] == [(False, False), (False, False)]
    (last,) = messages.records(1, after=RecordKey(first[-1].uid, first[-1].year, first[-1].month))
    assert (last.uid, last.is_latest, last.is_current) == (pages[2].pod.uid, True, True)
    (changed,) = messages.records(3)
    assert (changed.is_latest, changed.is_current) == (True, False)
    taken = [row["id"] for row in messages.taken_by(pages[1].pod.uid)]
    assert taken == [1, 3]
    assert Records(ledger).count() == 3
