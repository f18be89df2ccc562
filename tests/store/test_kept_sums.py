"""Sums that are kept until records change, and added up again before anybody asks."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import update

from accounting.lookup.sums import outgoing
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.summaries import LATELY_SECONDS, Summaries
from accounting.model.time import Month
from accounting.store import erasure
from accounting.store.engine.database import Database
from accounting.store.tables import records
from tests.delivery.books import NOVEMBER, account, opened
from tests.statements import Asked, asked_of
from tests.store.asking import QUESTIONS, SOME, VIEWERS, commit, of_a_day, page, rounded


@pytest.fixture
def database(ledger: Database) -> Database:
    return ledger


def _added_up(asked: Sequence[Asked]) -> int:
    return sum("_totals" in one.statement for one in asked)


def test_what_was_asked_lately_is_added_up_again_before_anybody_asks(database: Database) -> None:
    chance = random.Random(3)  # noqa: S311 - the same in every run
    pages = [page(11, number) for number in range(30)]
    commit(database, pages)
    summaries = Summaries(database)
    asked = [(viewer, question) for viewer in VIEWERS[:2] for question in SOME]
    for viewer, question in asked:
        summaries.summary(viewer, question)
    summaries.measured(VIEWERS[0], QUESTIONS[0])
    names = summaries.names(VIEWERS[0], NOVEMBER, 9)
    kept: list[int] = []
    with Database(database.url.render_as_string(hide_password=False)) as other:
        for step in range(3):  # as another process does
            if step == 2:
                erasure.erase_user(other, "user-1")
            else:
                again = [page(11, number, 9) for number in chance.sample(range(40), 8)]
                commit(other, again)
            summaries.refresh()
            with asked_of(database.engine) as statements:
                found = [summaries.summary(viewer, question) for viewer, question in asked]
                summaries.measured(VIEWERS[0], QUESTIONS[0])
                offered = summaries.names(VIEWERS[0], NOVEMBER, 9)
            assert statements
            assert _added_up(statements) == 0
            for (viewer, question), rows in zip(asked, found, strict=True):
                expected = Summaries(other).summary(viewer, question)
                assert rows == [rounded(row) for row in expected]
            assert offered == Summaries(other).names(VIEWERS[0], NOVEMBER, 9)
            kept.append(len(summaries._kept))
    assert kept[0] == kept[-1], "what no longer holds is let go"
    assert "user-1" in names[By.USER]
    assert "user-1" not in offered[By.USER]


def test_nothing_is_added_up_again_that_has_not_changed_or_nobody_asks(tmp_path: Path) -> None:
    now = 0.0
    with opened(tmp_path) as database:
        commit(database, [page(11, number) for number in range(5)])
        summaries = Summaries(database, lambda: now)
        summaries.summary(VIEWERS[0], QUESTIONS[0])
        summaries.refresh()
        with asked_of(database.engine) as asked:
            summaries.refresh()
        assert sum(one.statement.startswith("SELECT") for one in asked) == 1, "what has changed"
        commit(database, [page(11, 6)])
        now = LATELY_SECONDS + 1
        with asked_of(database.engine) as asked:
            summaries.refresh()
        assert _added_up(asked) == 0


def test_what_was_not_told_is_looked_for_once_for_all_questions_about_a_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Sequence[Month]] = []
    look = outgoing.differing

    def counted(database: Database, months: Sequence[Month]) -> outgoing.Differing:
        looked.append(months)
        return look(database, months)

    monkeypatch.setattr(outgoing, "differing", counted)
    with opened(tmp_path) as database:
        commit(database, [page(5, number) for number in range(5)])
        summaries = Summaries(database)
        for changes in range(2):
            for viewer in VIEWERS:
                for by in (By.VO, By.USER):
                    summaries.summary(viewer, Question((by,), NOVEMBER, NOVEMBER))
            assert looked == [[NOVEMBER]] * (changes + 1)
            commit(database, [of_a_day(99, "user-0", "small", ended=bool(changes))])


def test_what_does_not_go_out_is_added_up_by_day_only_where_something_is_held(
    database: Database,
) -> None:
    commit(database, [of_a_day(number, f"user-{number}", "small", ended=True) for number in (1, 2)])
    question = Question((By.DAY,), NOVEMBER, NOVEMBER)
    statements: list[str] = []

    def found() -> tuple[int, int, int]:
        with asked_of(database.engine) as asked:
            (row,) = Summaries(database).summary(VIEWERS[0], question)
        statements[:] = [one.statement for one in asked]
        return row.pods, row.goes_out.pods, sum("RECURSIVE" in one for one in statements)

    assert found() == (2, 2, 1)
    its = records.c.uid == of_a_day(1, "user-1", "small", ended=True).pod.uid
    with database.begin() as connection:
        connection.execute(update(records).where(its).values(held="unmapped"))
    assert found() == (2, 1, 2)
    with database.begin() as connection:
        connection.execute(update(records).where(its).values(year=2026, month=10))
    assert found()[2] == 1, "of another month"
    if database.is_sqlite:
        assert any("FROM records INDEXED BY ix_records_held" in one for one in statements)


def test_names_are_offered_once_to_whomever(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        commit(database, [account(number, group="vo0") for number in range(3)])
        for viewer in VIEWERS[:2]:
            assert Summaries(database).names(viewer, NOVEMBER, 9)[By.VO] == ["vo0"]
