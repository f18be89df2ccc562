"""The ledger: what is written comes back, and all of a window or nothing."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import event, select

from accounting.errors import Busy
from accounting.model.pods import (
    POD_LEVEL,
    Account,
    Counter,
    CounterKind,
    Owner,
    Pod,
    Reading,
    Resources,
    SeriesKey,
)
from accounting.model.time import Gap, Month, Window
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.store.engine.database import Database, alembic_config
from accounting.store.ledger import Ledger, Progress, Step
from accounting.store.records import Records
from accounting.store.tables import metadata, revisions

NOVEMBER, DECEMBER = Month(2025, 11), Month(2025, 12)
T = NOVEMBER.end - 3600
CPU, RECEIVED = SeriesKey(CounterKind.CPU, POD_LEVEL), SeriesKey(CounterKind.RECEIVED, "pod/eth0")


def page(number: int, *, ended: bool = False, **changes: Any) -> Account:
    """A pod that says everything there is to say, in two months."""
    pod = Pod(
        uid=f"6b4f0d5e-0000-4000-8000-{number:012d}",
        namespace="hub",
        name=f"jupyter-{number}",
        first_running_at=T + 10.25,
        last_running_at=T + 5000.75,
        last_listed_at=T + 5030.5,
        created_at=T + 1.0,
        started_at=T + 2.0,
        completed_at=T + 4.0,
        owner=Owner("Žofia 用户", "vo.example.org", "small"),
        resources=Resources(1.5, 2.0, 3.0, 4.0, (("nvidia_com_gpu", 1.0),)),
        image="image:1",
        disk_bytes=5.0,
        peak_memory_bytes=6.0,
        ended=ended,
        ended_in_gap=ended,
        owner_known=True,
    )
    counters = {
        CPU: Counter(T + 7200, 12.123456, ((T + 30.5, 4.25), (T + 60.0, 1.0))),
        RECEIVED: Counter(T + 7200, 1e15),
    }
    readings = {
        NOVEMBER: Reading(T + 3600, 5.5, 1e14, None),
        DECEMBER: Reading(T + 7200, 17.373456, 1e15, None),
    }
    return Account(replace(pod, **changes), counters, readings)


def bare() -> Account:
    """A pod that says as little as there can be."""
    return Account(
        Pod("6b4f0d5e-0000-4000-8000-ffffffffffff", "hub", "a", T + 1.0, T + 2.0, T + 2.0)
    )


def step(before: Progress | None, *accounts: Account, **changes: Any) -> Step:
    site, rules = Site("SITE"), VoRules(default="d")
    whole = Step(
        window=Window(T, T + 7200),
        before=before,
        after=Progress(T + 7200, T + 7190.5, 30.0),
        accounts=accounts,
        records=[record for one in accounts for record in builder.records(one, site, rules)],
        gaps=(Gap(T + 100.5, T + 900.25),),
        spoke=True,
        rejected=3,
    )
    return replace(whole, **changes)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgresql":
        new: Callable[[], str] = request.getfixturevalue("postgres")
        url = new()
    with Database(url) as database:
        database.ensure_current()
        yield Ledger(database)


def everything(ledger: Ledger) -> dict[str, list[Any]]:
    """All rows of all tables, but for when and how often they were written."""
    with ledger.database.begin(reading=True) as connection:
        return {
            table.name: sorted(
                connection.execute(select(*(c for c in table.c if c.name != "polled_at"))).all(),
                key=repr,
            )
            for table in metadata.sorted_tables
            if table is not revisions
        }


def test_a_new_ledger_is_empty(ledger: Ledger) -> None:
    assert ledger.progress() is None
    assert ledger.running() == {}
    assert ledger.accounts(["a"]) == {}
    assert ledger.accounts([]) == {}
    assert (ledger.gaps(), ledger.windows(), ledger.owned_spans(0)) == ([], [], [])
    assert ledger.last_window() is None


def test_what_is_written_comes_back(ledger: Ledger) -> None:
    accounts = {account.pod.uid: account for account in (page(1), page(2, ended=True), bare())}
    ledger.commit(step(None, *accounts.values()))
    assert ledger.accounts([*accounts, "unknown"]) == accounts
    assert ledger.running() == {u: a for u, a in accounts.items() if not a.pod.ended}
    assert ledger.progress() == Progress(T + 7200, T + 7190.5, 30.0)
    assert ledger.gaps() == [Gap(T + 100.5, T + 900.25)]
    assert ledger.owned_spans(T) == [(T + 10.25, T + 5000.75)] * 2
    (window,) = ledger.windows()
    assert window.pop("polled_at") > T
    assert window == {"start": T, "end": T + 7200, "spoke": True, "pods": 3, "rejected": 3}


def test_more_pods_than_a_statement_takes_variables_come_back(ledger: Ledger) -> None:
    accounts = {account.pod.uid: account for account in (page(number) for number in range(2000))}
    ledger.commit(step(None, *accounts.values()))
    assert ledger.accounts(accounts) == accounts


def test_gaps_are_asked_for_by_their_end(ledger: Ledger) -> None:
    ledger.commit(step(None))
    ledger.open_gap(T + 7000.0)
    assert ledger.gaps(T + 901.0) == [Gap(T + 7000.0, None)]
    closed = step(ledger.progress(), gaps=(Gap(T + 7000.0, T + 7100.0),))
    ledger.commit(closed)
    assert ledger.gaps(T + 901.0) == [Gap(T + 7000.0, T + 7100.0)]


def test_where_windows_end_is_told_but_inside_others(ledger: Ledger) -> None:
    for start, end in ((0, 100), (100, 200), (150, 300), (300, 400)):
        before = ledger.progress()
        after = Progress(max(T + end, before.watermark if before else 0), None, 30.0)
        ledger.commit(replace(step(before), window=Window(T + start, T + end), after=after))
    assert ledger.edges(T + 50, T + 350) == [T + 100, T + 300, T + 400]
    assert ledger.edges(T + 100, T + 300) == [T + 300]
    assert ledger.edges(T + 400, T + 900) == []


def test_committing_a_window_again_changes_nothing(ledger: Ledger) -> None:
    ledger.commit(step(None, page(1), bare()))
    before = everything(ledger)
    ledger.commit(step(ledger.progress(), page(1), bare()))
    assert everything(ledger) == before


@pytest.mark.parametrize(
    "seen", [None, Progress(T, None, 30.0), Progress(T + 7200, T + 7190.5, 30.0, revision=5)]
)
def test_a_watermark_that_was_moved_meanwhile_refuses_everything(
    ledger: Ledger, seen: Progress | None
) -> None:
    ledger.commit(step(None, page(1)))
    before = everything(ledger)
    with pytest.raises(Busy, match="changed during this poll"):
        ledger.commit(step(seen, page(1, image="other"), page(2)))
    assert everything(ledger) == before


class Crash(Exception):
    """Something ends the transaction here."""


def test_a_commit_that_is_cut_short_anywhere_leaves_all_or_nothing(ledger: Ledger) -> None:
    ledger.commit(step(None, page(1), bare()))
    before = everything(ledger)
    engine = ledger.database.engine
    change = step(
        ledger.progress(),
        page(1, image="other"),
        page(2),
        window=Window(T + 7200, T + 7300),
        after=Progress(T + 7300, T + 7290.0, 30.0),
        gaps=(Gap(T + 7210.0, T + 7280.0),),
    )
    survived = 0
    while everything(ledger) == before:
        left = survived + 1

        def count(*about: Any) -> None:
            nonlocal left
            left -= not about[2].startswith("BEGIN")
            if left == 0:
                raise Crash

        event.listen(engine, "after_cursor_execute", count)
        try:
            ledger.commit(change)
        except Crash:
            survived += 1
        finally:
            event.remove(engine, "after_cursor_execute", count)
    assert survived >= 5  # after the watermark, and after each of the tables
    assert everything(ledger)["progress"][0][1] == T + 7300
    assert ledger.accounts([page(2).pod.uid]) == {page(2).pod.uid: page(2)}


def test_of_a_pod_that_runs_on_only_the_figures_are_written(ledger: Ledger) -> None:
    first = step(None, page(1), bare())
    ledger.commit(first)
    known = page(1, last_running_at=T + 7000.0, last_listed_at=T + 7001.0)
    known.readings[DECEMBER] = Reading(T + 7000, 1.0, 2.0, 3.0)
    moved = replace(
        first.records[1],
        created_at=T + 7000,
        wall_seconds=7,
        cpu_seconds=6,
        received_gb=5,
        sent_gb=None,
        digest="d",
        used_wall_seconds=4,
        used_cpu_seconds=3,
    )
    then = step(first.after, records=[], moved=[(known, moved)], gaps=(), rejected=0)
    ledger.commit(then)
    assert ledger.accounts([known.pod.uid]) == {known.pod.uid: known}
    rows = everything(ledger)
    assert [row[0] for row in rows["figures"]] == [known.pod.uid]
    assert page(1).pod.last_running_at in next(
        row for row in rows["pods"] if row[0] == known.pod.uid
    )
    spans = [(known.pod.first_running_at, known.pod.last_running_at)]
    assert ledger.owned_spans(known.pod.last_running_at) == spans
    right = {(r.uid, r.month): r for r in [*first.records, moved]}
    assert {(r.uid, r.month): r for r in Records(ledger.database).find()} == right
    assert ledger.windows()[0]["pods"] == 1
    assert ledger.last_window() == then.window

    whole = page(1, last_running_at=T + 7100.0, last_listed_at=T + 7101.0, image="other")
    ledger.commit(step(then.after, whole))
    assert ledger.accounts([whole.pod.uid]) == {whole.pod.uid: whole}
    assert everything(ledger)["figures"] == []


def test_an_older_version_of_the_tables_and_the_way_back_keep_everything(ledger: Ledger) -> None:
    first = step(None, page(1), bare())
    ledger.commit(first)
    known = page(1, last_running_at=T + 7000.0, last_listed_at=T + 7001.0)
    moved = replace(first.records[1], created_at=T + 7000, digest="d")
    ledger.commit(step(first.after, records=[], moved=[(known, moved)], gaps=(), rejected=0))
    uids = [known.pod.uid, bare().pod.uid]
    pages, written = ledger.accounts(uids), list(Records(ledger.database).find())
    for how, revision in ((command.downgrade, "0003"), (command.upgrade, "head")):
        with ledger.database.begin() as connection:
            config = alembic_config()
            config.attributes["connection"] = connection
            how(config, revision)
    assert everything(ledger)["figures"] == []
    assert ledger.accounts(uids) == pages
    assert list(Records(ledger.database).find()) == written
