"""Closed months, corrections that wait, differences, and the sums that the portal shows (D6)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from accounting.delivery import pusher
from accounting.delivery.differences import Chosen, Difference, Kind
from accounting.delivery.outbox import Outbox
from accounting.delivery.receiver import GROUPINGS, Receiver, Usage, summarise
from accounting.lookup.messages import Messages
from accounting.model.pods import Account, Reading
from accounting.model.time import Month
from accounting.records.formats import apel
from accounting.simulation.judges.repository import Repository
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user, expire_users
from accounting.store.records import Records, Selection
from accounting.store.totals import months_that_differ
from tests.delivery.books import (
    NOVEMBER,
    Inbox,
    account,
    ran_on,
    table_of,
    table_of_ours,
    write,
)

DECEMBER = NOVEMBER.next
DAY = 86400.0
IN_NOVEMBER = NOVEMBER.end - DAY
GRACE = NOVEMBER.end + DAY
CLOSED = NOVEMBER.end + 3 * DAY
POLICY = pusher.Policy(close_after_seconds=2 * DAY, at_once=True)


def push(database: Database, inbox: Inbox, at: float, most: int = 500) -> pusher.Report:
    policy = replace(POLICY, records_per_message=most)
    return pusher.Pusher(Outbox(database), inbox, policy, now=lambda: at).push()


def corrected(page: Account, cpu_seconds: float) -> Account:
    """The same time, another CPU counter: a correction of what was said."""
    month = max(page.readings)
    page.readings[month] = page.readings[month]._replace(cpu_seconds=cpu_seconds)
    return page


def differences(database: Database) -> list[Difference]:
    return [d for d in Receiver(database).differences(Chosen(NOVEMBER)) if d.kind is not Kind.SAME]


def test_a_correction_goes_out_while_the_month_is_open_and_waits_when_it_is_closed(
    ledger: Database,
) -> None:
    page = ran_on(account(1), 60, ended=True)
    write(ledger, [page])
    inbox = Inbox()
    for at, cpu_seconds, sent in ((IN_NOVEMBER, 300.0, 1), (GRACE, 400.0, 1), (CLOSED, 500.0, 0)):
        write(ledger, [corrected(page, cpu_seconds)])
        report = push(ledger, inbox, at)
        assert (report.sent, report.is_complete) == (sent, True)
    register = Records(ledger)
    waiting = Selection(differing=True, open_from=Month.of(CLOSED - 2 * DAY))
    assert [record.uid for record in register.find(waiting)] == [page.pod.uid]
    assert Outbox(ledger).due_count(Month.of(CLOSED - 2 * DAY)) == 0
    (difference,) = differences(ledger)
    assert difference.kind is Kind.CHANGED
    assert difference.changes == {"CpuDuration": ("400", "500")}
    assert (difference.wall_seconds, difference.cpu_seconds) == (0, 100)


def test_what_was_never_said_of_a_closed_month_still_goes_out(ledger: Database) -> None:
    """An outage across the month's end: pods that ran on, and pods that nobody had seen."""
    page = account(1)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox, IN_NOVEMBER)
    unseen = ran_on(account(2), 600, ended=True)
    write(ledger, [ran_on(page, NOVEMBER.end + 5 * 3600 - page.readings[NOVEMBER].at), unseen])
    report = push(ledger, inbox, CLOSED)
    assert (report.records, report.is_complete) == (3, True)
    assert table_of(inbox.bodies) == table_of_ours(ledger)
    last = [r for r in Records(ledger).find(Selection(month=NOVEMBER)) if r.uid == page.pod.uid]
    assert last[0].created_at == NOVEMBER.last_second
    page.readings[NOVEMBER] = Reading(NOVEMBER.last_second, 9e5, 1e9, 2e9)
    write(ledger, [page])
    assert push(ledger, inbox, CLOSED).built == 0  # now it is a correction
    assert len(differences(ledger)) == 1


def test_a_republished_month_is_sent_whole_and_twice_changes_nothing_at_the_receiver(
    ledger: Database,
) -> None:
    pages = [ran_on(account(n), 60, ended=True) for n in range(4)]
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox, IN_NOVEMBER)
    write(ledger, [corrected(pages[1], 999.0)])
    push(ledger, inbox, CLOSED)
    assert table_of(inbox.bodies) != table_of_ours(ledger)
    holdings = Receiver(ledger)
    for _ in range(2):
        assert holdings.republish(Chosen(NOVEMBER)) == 4
        assert holdings.republish(Chosen(NOVEMBER)) == 4  # before a push: still once
        assert push(ledger, inbox, CLOSED).records == 4
        assert table_of(inbox.bodies) == table_of_ours(ledger)
        assert differences(ledger) == []
    assert inbox.bodies[-1] == inbox.bodies[-2]
    assert push(ledger, inbox, CLOSED).built == 0
    assert holdings.republish(Chosen(NOVEMBER, changed=True)) == 0


def test_a_part_of_a_month_can_be_republished(ledger: Database) -> None:
    pages = [ran_on(account(n), 60, ended=True) for n in range(2)]
    pages.append(ran_on(account(2, group="other.example.org"), 60, ended=True))
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox, IN_NOVEMBER)
    holdings = Receiver(ledger)
    assert holdings.republish(Chosen(NOVEMBER, vo="other.example.org")) == 1
    assert holdings.republish(Chosen(NOVEMBER, user="user-0@example.org")) == 1
    assert holdings.republish(Chosen(NOVEMBER, vo="nobody")) == 0
    assert holdings.republish(Chosen(DECEMBER)) == 0
    assert push(ledger, inbox, CLOSED).records == 2
    write(ledger, [corrected(pages[0], 1.0)])
    assert holdings.republish(Chosen(NOVEMBER, changed=True)) == 1


def test_a_republished_record_never_overtakes_its_older_message(ledger: Database) -> None:
    page = ran_on(account(1), 60)
    write(ledger, [page])

    def down() -> None:
        raise KeyError

    inbox = Inbox(before=down)
    push(ledger, inbox, IN_NOVEMBER)
    write(ledger, [ran_on(page, 60, ended=True)])
    assert Receiver(ledger).republish(Chosen(NOVEMBER)) == 1
    inbox.before = lambda: None
    assert push(ledger, inbox, IN_NOVEMBER).sent == 2
    assert table_of(inbox.bodies) == table_of_ours(ledger)
    assert [entry.id for entry in Messages(ledger).page()] == [2, 1]


def test_records_that_were_never_sent_or_whose_text_is_forgotten_are_told_apart(
    ledger: Database,
) -> None:
    page, other = ran_on(account(1), 60, ended=True), ran_on(account(2), 60, ended=True)
    write(ledger, [page])
    push(ledger, Inbox(), IN_NOVEMBER)
    write(ledger, [other, corrected(page, 1.0)])
    with ledger.begin() as connection:
        connection.exec_driver_sql("UPDATE delivered SET text = ''")
    forgotten, never = differences(ledger)
    assert (forgotten.kind, forgotten.wall_seconds, forgotten.changes) == (Kind.CHANGED, None, {})
    assert (never.kind, never.wall_seconds, never.cpu_seconds) == (Kind.NEVER_SENT, 3660, 150)
    assert never.changes["Status"] == ("", "completed")


def test_an_erased_user_is_no_difference(ledger: Database) -> None:
    pages = [ran_on(account(n, user="alice@example.org"), 60, ended=True) for n in range(2)]
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox, IN_NOVEMBER)
    before = Receiver(ledger).summary(NOVEMBER)
    erase_user(ledger, "alice@example.org")
    assert differences(ledger) == []
    assert Receiver(ledger).summary(NOVEMBER) == before


def test_a_correction_that_waits_does_not_keep_a_user_from_being_forgotten(
    ledger: Database,
) -> None:
    page = ran_on(account(1), 60, ended=True)
    write(ledger, [page])
    push(ledger, Inbox(), IN_NOVEMBER)
    write(ledger, [corrected(page, 1.0)])
    assert expire_users(ledger, CLOSED) == 0
    assert expire_users(ledger, CLOSED, Month.of(CLOSED - 2 * DAY)) == 1
    assert months_that_differ(ledger) == []
    (difference,) = differences(ledger)
    assert set(difference.changes) == {"CpuDuration"}


def test_a_record_that_is_held_back_now_though_it_was_delivered_is_counted(
    ledger: Database,
) -> None:
    page = ran_on(account(1), 60, ended=True)
    write(ledger, [page])
    push(ledger, Inbox(), IN_NOVEMBER)
    page.pod.image = "50%%off"
    write(ledger, [page])
    assert Receiver(ledger).held(Chosen(NOVEMBER)) == 1
    assert Receiver(ledger).republish(Chosen(NOVEMBER)) == 0


def over_two_months() -> Sequence[Account]:
    staying = ran_on(account(1), NOVEMBER.end - DAY - account(1).readings[NOVEMBER].at)
    ran_on(staying, 3 * DAY)
    gone = ran_on(account(2, group="Other.Example.org"), 60, ended=True)
    merged = ran_on(account(3, group="other.example.org"), 60, ended=True)
    return [staying, gone, merged]


def test_months_are_added_up_as_the_repository_does_from_what_was_delivered_and_from_all(
    ledger: Database,
) -> None:
    pages = over_two_months()
    write(ledger, pages)
    inbox = Inbox()
    push(ledger, inbox, CLOSED, most=1)
    write(ledger, [ran_on(pages[0], DAY), ran_on(account(4), 60)])
    repository = Repository()
    repository.load_all(inbox.bodies)
    theirs = {
        (row.month, row.vo): Usage(
            row.pods, row.wall_seconds, row.cpu_seconds, row.network_in_gb, row.network_out_gb
        )
        for row in repository.summaries()
    }
    lines = [line for month in (NOVEMBER, DECEMBER) for line in Receiver(ledger).summary(month)]
    assert {(line.month, line.group["VO"]): line.delivered for line in lines} == theirs
    push(ledger, inbox, CLOSED)
    repository.load_all(inbox.bodies[-1:])
    then = {(row.month, row.vo): (row.pods, row.wall_seconds) for row in repository.summaries()}
    assert {
        (line.month, line.group["VO"]): (line.due.pods, line.due.wall_seconds) for line in lines
    } == then
    assert sum(line.due.wall_seconds for line in lines) > sum(
        line.delivered.wall_seconds for line in lines
    )


def test_months_can_be_added_up_by_user_and_by_the_key_of_the_repository_s_summaries(
    ledger: Database,
) -> None:
    write(ledger, over_two_months())
    holdings = Receiver(ledger)
    by_user = holdings.summary(NOVEMBER, "user")
    assert [line.group for line in by_user] == [
        {"VO": "Other.Example.org", "GlobalUserName": "user-2@example.org"},
        {"VO": "other.example.org", "GlobalUserName": "user-3@example.org"},
        {"VO": "vo.example.org", "GlobalUserName": "user-1@example.org"},
    ]
    full = holdings.summary(NOVEMBER, "summary")
    assert [set(line.group) for line in full] == [set(GROUPINGS["summary"])] * 3
    assert {line.group["Status"] for line in full} == {"completed", "started"}
    assert {line.delivered for line in full} == {Usage()}


@pytest.mark.parametrize(
    ("fqan", "parts"),
    [
        ("vo.example.org", ("vo.example.org", "None", "None")),
        ("/vo.example.org", ("vo.example.org", "/vo.example.org", "None")),
        ("/vo/sub/Role=admin", ("vo", "/vo/sub", "Role=admin")),
        ("/vo/sub;/other", ("vo", "/vo/sub", "None")),
    ],
)
def test_an_fqan_is_split_as_the_repository_does(fqan: str, parts: tuple[str, str, str]) -> None:
    text = {"FQAN": fqan, "WallDuration": "7"}
    ((group, usage),) = summarise([(text, {})], ("VO", "VOGroup", "VORole")).values()
    assert tuple(group.values()) == parts
    assert usage.wall_seconds == 7


def test_a_record_read_back_from_its_text_has_the_same_digest(ledger: Database) -> None:
    write(ledger, over_two_months())
    for record in Records(ledger).find():
        text = apel.text(record)
        assert apel.text_digest(text) == record.digest == apel.digest(record)
        assert apel.parsed(text)["VMUUID"] == record.uid
