"""However and however often it is polled, the records are the same."""

import random
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from accounting.measure.source.prometheus import Source
from accounting.model.time import Month
from accounting.simulation.world.cluster import Cluster
from accounting.store.engine.database import Database
from accounting.store.tables import records
from tests.conftest import START, History
from tests.exactness import polling
from tests.exactness.expected import unix
from tests.exactness.matrix import full_matrix
from tests.exactness.polling import HOUR, Written, poll, poller, written

MINUTE = 60
FIVE_MINUTES = 5 * MINUTE
FROM, TO = 16 * HOUR + 30 * MINUTE, 26 * HOUR
"""Seconds after the history's start; between them are both silences and the month's end."""

Ledgers = Callable[[], str]


def test_it_is_the_same_in_one_window(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    length = history.end - history.start
    assert poll(history.url, new_ledger(), history.end, step=2 * length) == polled


def test_it_is_the_same_when_polled_every_six_hours(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    cuts = range(history.start + 6 * HOUR, history.end + 1, 6 * HOUR)
    assert poll(history.url, new_ledger(), *cuts) == polled


class Moment(NamedTuple):
    """The records after one poll: (uid, year, month) → (status, wall, CPU, received, sent)."""

    at: int
    records: dict[polling.Key, tuple[str, int, int | None, int | None, int | None]]


class Course(NamedTuple):
    moments: list[Moment]
    written: Written


_R = records.c
_FIGURES = (_R.status, _R.wall_seconds, _R.cpu_seconds, _R.received_gb, _R.sent_gb)


def moment(database: Database, at: int) -> Moment:
    with database.begin(reading=True) as connection:
        rows = connection.execute(select(_R.uid, _R.year, _R.month, *_FIGURES))
        return Moment(at, {tuple(row[:3]): tuple(row[3:]) for row in rows})


@pytest.fixture(scope="module")
def every_five_minutes(history: History, new_ledger: Ledgers) -> Course:
    """Polls of a service that runs all the time, over the eventful stretch."""
    start = history.start
    cuts = [*range(start + FROM, start + TO + 1, FIVE_MINUTES), history.end]
    with Database(new_ledger()) as database, Source(history.url) as source:
        database.ensure_current()
        service = poller(database, source)
        moments = []
        for cut in cuts:
            service.poll(cut)
            moments.append(moment(database, cut))
        return Course(moments, written(database))


def test_it_is_the_same_when_polled_every_five_minutes(
    every_five_minutes: Course, polled: Written
) -> None:
    assert every_five_minutes.written == polled


def test_what_is_cumulative_never_falls_from_poll_to_poll(every_five_minutes: Course) -> None:
    fallen = [
        (later.at, key, old, new)
        for earlier, later in pairwise(every_five_minutes.moments)
        for key, old in earlier.records.items()
        if _falls(old, new := later.records[key])
    ]
    assert fallen == []


def test_what_is_cumulative_never_falls_from_month_to_month(every_five_minutes: Course) -> None:
    for moment in every_five_minutes.moments:
        for (uid, year, month), later in moment.records.items():
            before = Month(year, month - 1)
            earlier = moment.records.get((uid, *before))
            assert earlier is None or not _falls(earlier, later)


def _falls(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    return any((b or 0) < a for a, b in zip(old[1:], new[1:], strict=True) if a is not None)


def test_no_pod_is_ever_completed_while_it_runs(
    history: History, every_five_minutes: Course
) -> None:
    pods = history.cluster.pods_by_uid
    wrong = [
        (moment.at, key[0])
        for moment in every_five_minutes.moments
        for key, (status, *_) in moment.records.items()
        if status == "completed" and pods[key[0]].run_until > moment.at
    ]
    assert wrong == []


def eventful(cluster: Cluster) -> list[int]:
    """Instants at which something changes, in Unix seconds."""
    times = cluster.timetable
    edges = [*(times.hole or ()), *(times.ksm_silence or ()), *(times.cadvisor_silence or ())]
    edges += [at for emitter in cluster.emitters for span in emitter.spans for at in span]
    inside = {int(at) for at in edges if times.start < at < times.end}
    return sorted({*inside, Month(2025, 10).last_second, Month(2025, 10).end})


_PLAN = Cluster.generate(1, START, START.replace(month=11, day=2), pods=1, interval_seconds=30)
_INSTANTS = st.integers(unix(_PLAN.start) + MINUTE, unix(_PLAN.end) - 1) | st.builds(
    int.__add__, st.sampled_from(eventful(_PLAN)), st.integers(-90, 90)
)


@given(
    cuts=st.lists(_INSTANTS, unique=True, min_size=1, max_size=10).map(sorted),
    step=st.sampled_from([2 * HOUR, 6 * HOUR, 48 * HOUR]),
)
@settings(max_examples=5 if full_matrix() else 3)
def test_it_is_the_same_when_polled_at_any_times(
    history: History, new_ledger: Ledgers, polled: Written, cuts: list[int], step: int
) -> None:
    assert poll(history.url, new_ledger(), *cuts, history.end, step=step) == polled


def test_polling_the_same_windows_again_changes_nothing(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    ledger = new_ledger()
    poll(history.url, ledger, history.end)
    assert poll(history.url, ledger, history.end, since=history.start) == polled


def test_polling_parts_again_in_other_windows_changes_nothing(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    ledger = new_ledger()
    poll(history.url, ledger, history.end)
    middle = history.start + 15 * HOUR + 17
    again = poll(history.url, ledger, middle + 12 * HOUR, since=middle, step=HOUR + 7 * MINUTE)
    assert again == polled


def test_it_is_the_same_when_the_process_is_killed_again_and_again(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    ledger = new_ledger()
    chance = random.Random(20251101)  # noqa: S311 - repeatable, not secret
    arguments = [history.url, ledger, str(HOUR), str(history.end)]
    killed = 0
    while killed < (10 if full_matrix() else 6):
        program = [sys.executable, polling.__file__, *arguments]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(chance.randint(1, 6)):
                process.stdout.readline()
            try:
                process.wait(chance.uniform(0, 0.08))
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
            else:
                break
    subprocess.run([sys.executable, polling.__file__, *arguments], check=True, capture_output=True)
    assert killed > 3
    assert poll(history.url, ledger) == polled
