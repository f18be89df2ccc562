"""What a pod held over time, and what of it goes out: the highest while open, then the mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from accounting.lookup.sums.question import By, Question
from accounting.lookup.sums.summaries import Summaries
from accounting.model.pods import Account, Owner, Pod, Reading, Resources
from accounting.model.records import Held, Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.builder import MB, Site
from accounting.records.identity import VoRules
from accounting.store import tables
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.ledger import note_change
from accounting.store.records import Records, Selection
from accounting.store.rows import RECORD_COLUMNS, record_row

ADMIN = Viewer("test", frozenset(Right), is_admin=True)

NOVEMBER = Month(2025, 11)
T = NOVEMBER.start + 86400
SITE, RULES = Site("SITE"), VoRules(default="vo.example.org")
SMALL = Resources(cpu_request=2.0, memory_request_bytes=4096.0 * MB)
LARGE = Resources(
    cpu_request=8.0, memory_request_bytes=8192.0 * MB, accelerators=(("nvidia_com_gpu", 1.0),)
)


def pod(last: float, *, ended: bool, resources: Resources | None = SMALL) -> Pod:
    return Pod(
        "6b4f0d5e-0000-4000-8000-ffffffffffff",
        "hub",
        "jupyter-a",
        T,
        last,
        last,
        started_at=T,
        owner=Owner("a@example.org", "g"),
        resources=resources,
        resizes=((T + 900.0, LARGE), (T + 1800.0, SMALL)) if resources else (),
        ended=ended,
        owner_known=True,
    )


def records(of: Pod) -> list[Record]:
    return list(builder.records(Account(of, {}, {NOVEMBER: Reading(T, 1.0)}), SITE, RULES))


def test_an_open_month_says_the_highest_and_its_last_word_the_mean() -> None:
    running, done = records(pod(T + 3600, ended=False)), records(pod(T + 3600, ended=True))
    for (record,) in (running, done):
        assert record.core_seconds == 2 * 2700 + 8 * 900
        assert record.memory_mb_seconds == 4096 * 2700 + 8192 * 900
        assert "resized" in record.flags
    assert (running[0].cpu_count, running[0].memory_mb) == (8.0, 8192)
    assert (done[0].cpu_count, done[0].memory_mb) == (3.5, 5120)


def test_each_month_integrates_its_own_part() -> None:
    across = pod(NOVEMBER.end + 3600, ended=True)
    first, second = records(across)
    assert first.core_seconds == 2 * (first.used_wall_seconds - 900) + 8 * 900
    assert first.cpu_count == round(first.core_seconds / first.used_wall_seconds, 3)
    assert second.core_seconds == 2 * second.used_wall_seconds
    assert (second.cpu_count, "resized" in second.flags) == (2.0, False)


def test_a_resize_after_the_end_of_wall_time_changes_nothing() -> None:
    (record,) = records(pod(T + 600, ended=True))
    assert (record.cpu_count, record.core_seconds, record.flags) == (2.0, 1200, ())


@pytest.mark.parametrize("default", [None, 1.0])
def test_a_record_without_a_cpu_count_waits_for_a_default(default: float | None) -> None:
    account = Account(pod(T + 600, ended=True, resources=None), {}, {NOVEMBER: Reading(T, 1.0)})
    (record,) = builder.records(account, Site("SITE", default_cpu_count=default), RULES)
    assert record.held is (Held.INVALID if default is None else Held.NO)
    assert ("ACCOUNTING_RECORD__DEFAULT_CPU_COUNT" in record.problem) is (default is None)


def test_a_resize_that_no_figure_tells_is_none() -> None:
    """Limits beside requests: they may be read on one schedule and not on another."""
    resized = pod(T + 3600, ended=True)
    resized.resizes = ((T + 900.0, replace(SMALL, cpu_limit=9.0)),)
    (record,) = records(resized)
    assert (record.cpu_count, record.core_seconds) == (2.0, 7200)
    assert (record.flags, record.spans) == ((), ())


def test_gpus_that_a_pod_has_only_for_a_while_are_counted_for_that_time() -> None:
    (record,) = records(pod(T + 3600, ended=True))
    assert record.gpu_seconds == 900


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_day_of_a_pod_that_was_resized_has_what_was_held_on_it(
    tmp_path: Path, postgres: Callable[[], str], kind: str
) -> None:
    """Three days: small, then large from noon of the second on; of another pod only its share."""
    begun, noon = T + 43200, T + 86400 + 43200
    resized = pod(T + 3 * 86400, ended=True)
    resized.started_at = resized.first_running_at = begun
    resized.resizes = ((float(noon), LARGE),)
    steady = pod(T + 3 * 86400, ended=True)
    steady.uid, steady.resizes = "another", ()
    steady.started_at = steady.first_running_at = begun
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if kind == "sqlite" else postgres()
    with Database(url) as database:
        database.ensure_current()
        rows = [record_row(record) for of in (resized, steady) for record in records(of)]
        with database.begin() as connection:
            database.write(connection, tables.records, RECORD_COLUMNS, rows)
            note_change(connection, {NOVEMBER})
        kept = {record.uid: record for record in Records(database).find(Selection())}
        by_day = Summaries(database).summary(ADMIN, Question((By.DAY,), NOVEMBER, NOVEMBER))
        by_month = Summaries(database).summary(ADMIN, Question((By.MONTH,), NOVEMBER, NOVEMBER))
    assert [span.cores for span in kept[resized.uid].spans] == [2.0, 8.0]
    assert kept["another"].spans == ()
    small, large = 2 * 43200, 8 * 43200
    assert [row.core_seconds for row in by_day] == [
        2 * small,
        (small + large) + 2 * small,
        2 * large + 2 * small,
    ]
    assert [row.gpu_seconds for row in by_day] == [0, 43200, 86400]
    assert sum(row.core_seconds for row in by_day) == by_month[0].core_seconds
    assert sum(row.memory_mb_seconds for row in by_day) == by_month[0].memory_mb_seconds
