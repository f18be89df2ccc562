"""Held records: told once, acknowledged by somebody, news again when their reason changes."""

import pytest

from accounting.model.pods import Account
from accounting.model.records import Held
from accounting.model.time import Month
from accounting.store.engine.database import Database
from accounting.store.holds import Acknowledgement, Holds
from accounting.store.records import Selection
from accounting.store.totals import months_that_differ
from tests.delivery.books import account, write

NOVEMBER = Month(2026, 11)
ONE, TWO = account(1).pod.uid, account(2).pod.uid


def refused(number: int, image: str) -> Account:
    """A pod whose record the repository would refuse because of its image."""
    found = account(number)
    found.pod.image = image
    return found


@pytest.fixture
def database(ledger: Database) -> Database:
    return ledger


@pytest.fixture
def holds(database: Database) -> Holds:
    bad = [refused(1, "50%%off"), refused(2, "two\nlines")]
    write(database, [*bad, account(3)])
    return Holds(database)


def test_a_held_record_is_reported_once(holds: Holds) -> None:
    assert holds.report(1.0) == {Held.INVALID: 2}
    assert holds.report(2.0) == {}
    assert holds.counts() == ({Held.INVALID: 2}, 0)


def test_an_acknowledgement_keeps_who_when_and_why(holds: Holds) -> None:
    assert holds.acknowledge(Selection(uid=ONE), "ada", "a test", 7.0) == 1
    assert holds.of(ONE) == {NOVEMBER: Acknowledgement(7.0, "ada", "a test")}
    assert holds.of(TWO) == {}
    assert holds.counts() == ({Held.INVALID: 1}, 1)
    assert holds.reopen(Selection(uid=ONE), 8.0) == 1
    assert holds.counts() == ({Held.INVALID: 2}, 0)


def test_what_is_not_held_cannot_be_acknowledged(holds: Holds) -> None:
    assert holds.acknowledge(Selection(uid=account(3).pod.uid), "ada", "a test", 7.0) == 0


def test_a_record_that_is_held_for_another_reason_is_news_again(
    holds: Holds, database: Database
) -> None:
    holds.acknowledge(Selection(), "ada", "tests", 7.0)
    write(database, [refused(1, "two\nlines")])
    assert holds.counts() == ({Held.INVALID: 1}, 1)
    assert holds.report(8.0) == {Held.INVALID: 1}


def test_a_record_that_was_good_for_a_while_is_news_again(holds: Holds, database: Database) -> None:
    holds.acknowledge(Selection(), "ada", "tests", 7.0)
    write(database, [account(1)])
    assert holds.report(8.0) == {}
    write(database, [refused(1, "50%%off")])
    assert holds.report(9.0) == {Held.INVALID: 1}
    assert holds.of(ONE) == {}
    assert months_that_differ(database) == []
