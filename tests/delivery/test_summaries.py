"""Monthly summaries: what the repository's own summariser would make of our records."""

from typing import Any

import pytest
from sqlalchemy import update

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets import summaries
from accounting.delivery.outlets.summaries import Summaries
from accounting.model.messages import Entry, Limit
from accounting.records.formats import apel
from accounting.store.engine.database import Database
from accounting.store.erasure import erase_user
from accounting.store.tables import records
from tests.delivery.books import NOVEMBER, Inbox, account, measured_whole, ran_on, write

USER = "alice@example.org"
POLICY = pusher.Policy(close_after_seconds=2 * 86400.0, at_once=True, settle_seconds=0)


def push(database: Database, inbox: Inbox, at: float = NOVEMBER.end - 60.0) -> pusher.Report:
    return pusher.Pusher(Outbox(database, Summaries()), inbox, POLICY, now=lambda: at).push()


def held(inbox: Inbox) -> dict[str, dict[str, str]]:
    """What the receiver holds: it replaces by group."""
    found = {}
    for body in inbox.bodies:
        assert body.startswith(summaries.HEADER)
        for said in apel.texts(body):
            values = apel.parsed(said)
            found[summaries.key_of(values)] = values
    return found


def test_a_month_is_summed_by_user_and_sent_again_only_where_it_changes(ledger: Database) -> None:
    measured_whole(ledger)
    pages = [account(1, user=USER), account(2, user=USER), account(3)]
    write(ledger, pages)
    inbox = Inbox()
    assert push(ledger, inbox).records == 2
    sums = {one["GlobalUserName"]: one for one in held(inbox).values()}
    assert {name: sums[USER][name] for name in ("WallDuration", "CpuDuration", "NumberOfVMs")} == {
        "WallDuration": "7200",
        "CpuDuration": "240",
        "NumberOfVMs": "2",
    }
    assert (sums[USER]["Month"], sums[USER]["Year"], sums[USER]["VO"]) == (
        "11",
        "2026",
        "vo.example.org",
    )
    assert push(ledger, inbox).built == 0
    write(ledger, [ran_on(pages[2], 600, ended=True)])
    assert push(ledger, inbox).records == 1
    assert sorted(int(one["WallDuration"]) for one in held(inbox).values()) == [4200, 7200]


def test_a_group_that_is_no_more_is_sent_with_nothing_in_it(ledger: Database) -> None:
    measured_whole(ledger)
    page = account(1)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox)
    page.pod.image = "registry.example.org/notebook:2"
    write(ledger, [page])
    assert push(ledger, inbox).records == 2
    figures = {one["ImageId"][-1]: one["WallDuration"] for one in held(inbox).values()}
    assert figures == {"1": "0", "2": "3600"}
    assert push(ledger, inbox).built == 0


def test_spellings_that_the_repository_takes_for_one_are_one_sum(ledger: Database) -> None:
    """It would keep the last of several summaries, and lose what the others say."""
    measured_whole(ledger)
    pages = [
        account(1, user=USER),
        account(2, user=USER.upper()),
        account(3, user=USER, group="VO.Example.org"),
    ]
    write(ledger, pages)
    inbox = Inbox()
    assert push(ledger, inbox).records == 1
    (one,) = held(inbox).values()
    assert (one["NumberOfVMs"], one["WallDuration"]) == ("3", "10800")
    write(ledger, [ran_on(pages[1], 600, ended=True)])
    assert push(ledger, inbox).records == 1
    (one,) = held(inbox).values()
    assert (one["NumberOfVMs"], one["WallDuration"]) == ("3", "11400")


def test_a_month_that_was_measured_in_part_is_never_sent(ledger: Database) -> None:
    write(ledger, [account(1)])
    inbox = Inbox()
    assert push(ledger, inbox).is_complete
    assert inbox.bodies == []


def test_usage_of_the_month_before_is_in_no_later_sum(ledger: Database) -> None:
    measured_whole(ledger)
    page = account(1)
    write(ledger, [page])
    left = NOVEMBER.last_second - page.readings[NOVEMBER].at
    ran_on(page, left)
    ran_on(page, 3600 + 1)
    write(ledger, [page])
    inbox = Inbox()
    push(ledger, inbox)
    whole = sum(int(one["WallDuration"]) for one in held(inbox).values())
    assert sorted(one["Month"] for one in held_by_month(inbox)) == ["11", "12"]
    assert whole <= 3600 + left + 3601
    by_month = {one["Month"]: int(one["WallDuration"]) for one in held_by_month(inbox)}
    assert by_month["12"] == 3601


def held_by_month(inbox: Inbox) -> list[dict[str, str]]:
    found = {}
    for body in inbox.bodies:
        for said in apel.texts(body):
            values = apel.parsed(said)
            found[values["Month"], summaries.key_of(values)] = values
    return list(found.values())


def test_records_and_summaries_go_to_two_destinations_and_neither_knows_of_the_other(
    ledger: Database,
) -> None:
    measured_whole(ledger)
    write(ledger, [account(1), account(2)])
    inbox, other = Inbox(), Inbox()
    assert push(ledger, inbox).records == 2
    assert pusher.Pusher(Outbox(ledger), other, POLICY).push().records == 2
    assert (len(inbox.bodies), len(other.bodies)) == (1, 1)
    assert Outbox(ledger, Summaries()).fill("x#summaries", None, Limit(1), 1.0)[1] == 1


def test_what_is_due_and_what_differs_is_counted_with_one_look_at_the_months(
    ledger: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured_whole(ledger)
    write(ledger, [account(1), account(2)])
    looked, entries = [], Summaries.entries

    def counted(*args: Any) -> list[Entry]:
        looked.append(args[-1])
        return entries(*args)

    monkeypatch.setattr(Summaries, "entries", counted)
    assert Outbox(ledger, Summaries()).unsaid_counts(NOVEMBER, "x#summaries") == (2, 0)
    assert looked == [NOVEMBER]


def test_an_erased_user_is_in_no_message_and_what_was_told_of_them_stays(ledger: Database) -> None:
    measured_whole(ledger)
    write(ledger, [ran_on(account(1, user=USER), 60, ended=True), account(2)])
    inbox = Inbox()
    push(ledger, inbox)
    before = held(inbox)
    erase_user(ledger, USER)
    with ledger.begin(reading=True) as connection:
        for table in ("messages", "delivered", "queued", "message_records"):
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608 - ours
            assert "alice" not in str(rows)
    assert push(ledger, inbox).built == 0
    assert held(inbox) == before


def test_where_only_summaries_go_out_no_record_is_due(ledger: Database) -> None:
    write(ledger, [account(1)])
    assert Outbox(ledger).due_count() == 1  # no destination is known yet
    push(ledger, Inbox())
    assert Outbox(ledger).due_count() == 0


def test_a_correction_of_a_closed_month_waits(ledger: Database) -> None:
    measured_whole(ledger)
    write(ledger, [ran_on(account(1), 60, ended=True)])
    with ledger.begin() as connection:
        connection.exec_driver_sql(f"UPDATE progress SET watermark = {NOVEMBER.end}")  # noqa: S608 - the test's own words
    inbox = Inbox()
    assert push(ledger, inbox, NOVEMBER.end + 3 * 86400.0).records == 1
    with ledger.begin() as connection:
        connection.execute(update(records).values(cpu_seconds=9))
        connection.exec_driver_sql("UPDATE revisions SET revision = revision + 1")
    assert push(ledger, inbox, NOVEMBER.end + 3 * 86400.0).built == 0
    assert push(ledger, inbox, NOVEMBER.end + 60.0).records == 1
