"""Totals that are kept are what the records come to, whatever has been written."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from msgspec import structs
from sqlalchemy import Table, func, select, true

from accounting.lookup.sums import summing
from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.row import Usage
from accounting.lookup.sums.summaries import Summaries
from accounting.model.pods import Reading
from accounting.model.time import Month
from accounting.records import builder
from accounting.store import erasure, totals
from accounting.store.engine.access import Viewer
from accounting.store.engine.database import Database, alembic_config
from accounting.store.records import Records
from accounting.store.rows import RECORD_COLUMNS, record_row
from accounting.store.tables import (
    day_totals,
    day_vo_totals,
    month_image_totals,
    month_totals,
    month_user_totals,
    month_vo_totals,
    records,
)
from tests.delivery.books import NOVEMBER, RULES, SITE, opened
from tests.statements import Asked, asked_of, plan
from tests.store.asking import (
    BY_VO,
    DAY,
    FIRST,
    LAST,
    QUESTIONS,
    SOME,
    VIEWERS,
    commit,
    of_a_day,
    page,
    rounded,
)

TABLES = (
    month_totals,
    month_user_totals,
    month_image_totals,
    day_totals,
    month_vo_totals,
    day_vo_totals,
)


@pytest.fixture
def database(ledger: Database) -> Database:
    return ledger


def _check(database: Database, questions: Sequence[Question] = QUESTIONS) -> None:
    assert totals.months_that_differ(database) == []
    for viewer in VIEWERS:
        for question in questions:
            if not viewer.may_ask_for(user=question.user, vo=question.vo):
                continue
            if question.is_by_months:
                _check_count(database, viewer, question)
            for part in question.parts():
                quick = summing.sums(database, viewer, part)
                one_by_one = summing.sums(database, viewer, part, true())
                order = sorted(quick, key=lambda row: sorted(row.key.items()))
                expected = sorted(one_by_one, key=lambda row: sorted(row.key.items()))
                assert [rounded(row) for row in order] == [rounded(row) for row in expected]


def _check_count(database: Database, viewer: Viewer, question: Question) -> None:
    by_month = replace(question, by=(By.MONTH,), counts=True)
    months = [summing.sums(database, viewer, part, true()) for part in by_month.parts()]
    expected = sum(row.pods for rows in months for row in rows)
    assert Summaries(database).count(viewer, question) == expected


def _check_days_hold_what_months_do(database: Database) -> None:
    """Also those pods that were resized within a month, of which days are looked up apart."""
    for by in ((By.DAY,), (By.DAY, By.VO)):
        for month in FIRST.until(LAST):
            of_days, whole = (
                summing.sums(database, VIEWERS[0], Question(names, month, month))
                for names in (by, ())
            )
            held = sum(row.core_seconds for row in of_days)
            assert held == pytest.approx(sum(row.core_seconds for row in whole), abs=1)


@pytest.mark.parametrize("at_once", [7, 100], ids=["months", "records"])  # are looked for
def test_totals_follow_whatever_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(totals, "_AT_ONCE", at_once)
    seed = 1
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    pages = [page(seed, number) for number in range(40)]
    commit(database, pages)
    assert totals.months_that_differ(database) == []
    # Read again: some have ended, or had run longer; others were not known.
    again = chance.sample(range(60), 20)
    commit(database, [page(seed, number, chance.choice((9, 10 * DAY))) for number in again])
    other = replace(RULES, overrides={"vo1": "vo2"})
    commit(database, chance.sample(pages, 10), other)
    _check(database, SOME)
    _check_days_hold_what_months_do(database)
    erasure.erase_user(database, "user-1")
    _check(database)
    with database.begin() as connection:
        kept = connection.execute(month_totals.select()).all()
        assert {row.user for row in kept} <= {"user-0", "user-2", "user-3", "erased"}
        assert 20 < sum(row.pods for row in kept) < Records(database).count()


def test_what_was_written_without_totals_counts_nevertheless(database: Database) -> None:
    commit(database, [page(7, number) for number in range(20)])
    with database.begin() as connection:
        for table in TABLES:
            connection.execute(table.delete())
    assert totals.months_that_differ(database) != []
    with database.begin() as connection:
        connection.execute(records.update().values(apart=True))
    _check(database, SOME)
    told: list[tuple[int, int]] = []
    totals.rebuild(database, lambda done, of: told.append((done, of)))
    _check(database, SOME)
    assert told[-1][0] == told[-1][1] > 1
    with database.begin() as connection:
        assert len(connection.execute(month_totals.select()).all()) > 5


@pytest.mark.parametrize("table", TABLES, ids=str)
def test_a_total_that_was_changed_by_hand_is_found_and_made_anew(
    database: Database, table: Table
) -> None:
    commit(database, [page(7, number) for number in range(20)])
    with database.begin() as connection:
        connection.execute(table.update().values(wall=table.c.wall + 1))
    assert totals.months_that_differ(database) != []
    totals.rebuild(database)
    assert totals.months_that_differ(database) == []
    with database.begin() as connection:
        connection.execute(table.delete().where(table.c.vo == "vo1"))
    assert totals.months_that_differ(database) != []


def test_by_vo_no_other_totals_are_added_up(database: Database) -> None:
    commit(database, [page(7, number) for number in range(20)])

    def asked() -> list[Usage]:
        return [
            structs.replace(
                row, users=0
            )  # those of other records are looked for in the other totals
            for question in BY_VO
            for part in question.parts()
            for row in summing.sums(database, VIEWERS[0], part)
        ]

    before = asked()
    assert sum(row.wall_seconds for row in before) > 0
    with database.begin() as connection:
        for table in (month_totals, month_user_totals, month_image_totals, day_totals):
            connection.execute(table.delete())
    assert asked() == before


def test_by_user_no_totals_of_flavours_are_added_up(database: Database) -> None:
    commit(database, [page(7, number) for number in range(20)])

    def asked() -> list[Usage]:
        questions = (Question(by, FIRST, LAST) for by in ((), (By.USER,), (By.VO, By.USER)))
        return [row for one in questions for row in summing.sums(database, VIEWERS[0], one)]

    before = asked()
    assert sum(row.users for row in before) > 0
    with database.begin() as connection:
        connection.execute(month_totals.delete())
    assert asked() == before


def test_only_who_used_an_image_is_looked_for_among_totals_of_users(database: Database) -> None:
    commit(database, [page(7, number) for number in range(20)])

    def asked() -> list[Usage]:
        names = ((), (By.IMAGE,), (By.VO, By.FLAVOR), (By.MONTH, By.IMAGE))
        parts = (part for by in names for part in Question(by, FIRST, LAST).parts())
        return [row for one in parts for row in summing.sums(database, VIEWERS[0], one)]

    before = asked()
    assert sum(row.users for row in before) > 0
    with database.begin() as connection:
        for table in (month_totals, month_user_totals):
            connection.execute(table.update().values(wall=0, pods=0, joules=7.0))
    assert asked() == before


def test_migrations_add_totals_up_by_vo_and_tell_where_pods_began(database: Database) -> None:
    def migrate(how: Any, revision: str) -> None:
        config = alembic_config()
        with database.begin() as connection:
            config.attributes["connection"] = connection
            how(config, revision)

    here = ("vo0", "user-1", "small", "image:1", *range(1, 11))
    row = {c.name: value for c, value in zip(list(month_totals.c)[2:-1], here, strict=True)}
    commit(database, [page(7, number) for number in range(20)])
    migrate(command.downgrade, "0019")
    with database.begin() as connection:
        connection.execute(month_totals.insert().values(year=2026, month=11, **row))
        connection.execute(day_totals.insert().values(day=20_760, begun=1, **row))
    migrate(command.upgrade, "head")
    with database.begin() as connection:
        (of_month,) = connection.execute(month_totals.select())
        assert of_month.begun == of_month.pods == 1
        (of_user,) = connection.execute(month_user_totals.select())
        assert of_user[2:] == (*here[:2], *range(1, 11), 1)
        (of_image,) = connection.execute(month_image_totals.select())
        assert of_image[2:] == (here[0], *here[2:4], *range(1, 11), 1)
        for by_vo in (month_vo_totals, day_vo_totals):
            (total,) = connection.execute(by_vo.select())
            assert total[-len(here) + 3 :] == (*range(1, 11), 1)
    totals.rebuild(database)
    _check(database, SOME)


def test_a_notebook_s_last_month_is_in_totals_while_the_one_before_says_the_same(
    database: Database,
) -> None:
    page = of_a_day(1, "user-1", "small", ended=True)
    pod = page.pod
    pod.started_at = pod.created_at = pod.first_running_at = NOVEMBER.start - 2.0 * DAY
    before = Month.of(NOVEMBER.start - 1)
    page.readings[before] = Reading(before.last_second, 10.0, None, None)
    asked = [
        Question((), before, NOVEMBER),
        Question((By.VO,), NOVEMBER, NOVEMBER),
        Question((), before, NOVEMBER, days=(before.start // DAY + 29, NOVEMBER.start // DAY + 2)),
        *SOME,
    ]

    def write(vos: dict[str, str], *, only: Month | None = None) -> int:
        rules = replace(RULES, overrides=vos)
        made = [r for r in builder.records(page, SITE, rules) if only in {None, r.month}]
        rows = [record_row(record) for record in made]
        keys = [(record.month, record.uid) for record in made]
        with database.begin() as connection:
            with totals.following(connection, keys):
                database.write(connection, records, RECORD_COLUMNS, rows)
            count = select(func.count()).where(~records.c.apart)
            kept: int = connection.execute(count).scalar_one()
        _check(database, asked)
        return kept

    commit(database, [page])
    assert write({}) == 1
    assert write({"vo0": "vo1"}, only=before) == 0
    assert write({"vo0": "vo1"}, only=NOVEMBER) == 1
    with database.begin() as connection:
        with totals.following(connection, [(before, pod.uid)]):
            database.delete(connection, records, [(*before, pod.uid)])
        assert connection.execute(month_totals.select()).all() == []
    _check(database, asked)


def test_users_of_a_day_count_once_whether_totals_have_them_or_not(database: Database) -> None:
    kept = [("user-1", "small"), ("user-1", "large"), ("user-3", "small")]
    going_on = [("user-1", "small"), ("user-2", "small"), ("user-2", "large"), ("user-3", "large")]
    commit(
        database,
        [
            of_a_day(number, *names, ended=number < len(kept))
            for number, names in enumerate([*kept, *going_on])
        ],
    )
    asked = Question((By.DAY, By.VO), NOVEMBER, NOVEMBER)
    expected = [
        (asked, 3),
        (replace(asked, by=(By.DAY,)), 3),
        (replace(asked, by=(By.VO,)), 3),
        (replace(asked, by=(By.VO, By.MONTH), among=((By.VO, ("vo0",)),)), 3),
        (replace(asked, flavor="large"), 3),
        (replace(asked, flavor="large", contains=((By.USER, "R-3"),)), 1),
        (replace(asked, by=(By.VO, By.MONTH, By.DAY), among=((By.USER, ("user-2",)),)), 1),
        (replace(asked, user="user-1"), 1),
    ]
    for question, users in expected:
        assert [row.users for row in summing.sums(database, VIEWERS[0], question)] == [users]
    _check(database, [question for question, _ in expected])


def test_records_are_taken_in_by_their_uids_and_no_others_are_read(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        commit(database, [page(3, number) for number in range(20)])
        these = [(NOVEMBER, str(UUID(int=number))) for number in range(20)]
        with database.begin() as connection:
            with asked_of(connection) as asked, totals.following(connection, these):
                pass
            read = [
                step
                for one in asked
                for step in plan(connection, one)
                if re.search(r"(SCAN|SEARCH) records", step)
            ]
        assert len(read) > 5
        assert all("uid=?" in step for step in read), read


def test_sums_look_at_no_record_that_a_total_has(tmp_path: Path) -> None:
    sums: list[tuple[Asked, int]] = []
    with opened(tmp_path) as database:
        commit(database, [page(3, number) for number in range(20)])
        for part in (part for question in QUESTIONS for part in question.parts()):
            with asked_of(database.engine) as asked:
                summing.sums(database, VIEWERS[0], part)
            sums += [(one, len(part.months)) for one in asked if " records" in one.statement]
        assert len(sums) > len(QUESTIONS)
        looked_up = []
        with database.begin(reading=True) as connection:
            for one, months in sums:
                found = plan(connection, one)
                steps = [step for step in found if step.endswith("?)") or "SCAN" in step]
                read = [step for step in steps if re.search(r"(SCAN|SEARCH) records", step)]
                assert all("ix_records_apart" in step for step in read), read
                assert len(read) <= months, "once, not by day"
                looked_up += [step for step in steps if step.endswith("LEFT-JOIN")]
        assert looked_up, "some of the questions are of days"


def test_sums_without_counts_have_the_same_figures(tmp_path: Path) -> None:
    with opened(tmp_path) as database:
        commit(database, [page(5, number) for number in range(20)])
        summaries = Summaries(database)
        for question in QUESTIONS:
            counted = summaries.measured(VIEWERS[0], replace(question, counts=True))
            plain = summaries.measured(VIEWERS[0], replace(question, counts=False))
            nothing: Any = dict.fromkeys(("pods", "users", "pods_without_cpu"), 0)
            assert [
                rounded(structs.replace(row, **nothing, pods_without_energy=0)) for row in counted
            ] == [rounded(row) for row in plain]
            assert sum(row.pods for row in counted) > 0 or question.by == (By.DAY,)
