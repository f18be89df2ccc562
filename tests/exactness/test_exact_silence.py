"""Silence of the source ends nothing, loses nothing, and is said."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from tests.conftest import History
from tests.exactness.expected import completed, silences
from tests.exactness.polling import HOUR, OPTIONS, Written, poll, poller, written

MINUTE = 60
Ledgers = Callable[[], str]


def report(url: str, ledger: str, until: int, since: int | None = None) -> tuple[Report, int]:
    """What a poll said, and the watermark after it."""
    with Database(ledger) as database, Source(url) as source:
        database.ensure_current()
        said = poller(database, source).poll(until, since)
        progress = Ledger(database).progress()
        assert progress is not None
        return said, progress.watermark


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("seconds_into_it", [10, MINUTE, 10 * MINUTE, 19 * MINUTE])
def test_nothing_is_completed_by_a_silence(
    history: History, new_ledger: Ledgers, which: int, seconds_into_it: int
) -> None:
    ledger = new_ledger()
    since = int(silences(history.cluster)[which][0])
    before = completed(poll(history.url, ledger, since))
    assert completed(poll(history.url, ledger, since + seconds_into_it)) == before


def test_after_a_silence_the_records_are_as_if_nobody_had_polled_in_it(
    history: History, new_ledger: Ledgers, polled: Written
) -> None:
    cuts = [int(since) + n * 4 * MINUTE for since, _ in silences(history.cluster) for n in range(9)]
    assert poll(history.url, new_ledger(), *sorted(cuts), history.end) == polled


def test_in_a_silence_the_watermark_stays_at_the_last_spoken_second(
    history: History, new_ledger: Ledgers
) -> None:
    ledger = new_ledger()
    hole = int(silences(history.cluster)[0][0])
    said, watermark = report(history.url, ledger, hole + 20 * MINUTE)
    assert said.silent_since is not None
    assert hole - history.cluster.interval_seconds <= said.silent_since < hole
    assert watermark == said.end == int(said.silent_since)
    assert not said.is_complete
    with Database(ledger) as database:
        assert written(database).gaps == [(said.silent_since, None)]
    again, still = report(history.url, ledger, hole + 21 * MINUTE)
    assert (again.windows, still) == (0, watermark)


def test_a_source_that_has_not_spoken_for_three_intervals_only_is_not_silent_yet(
    history: History, new_ledger: Ledgers
) -> None:
    hole = int(silences(history.cluster)[0][0])
    said, watermark = report(history.url, new_ledger(), hole + MINUTE)
    assert (said.silent_since, watermark) == (None, hole + MINUTE)


@dataclass(frozen=True)
class First:
    """A first poll over all of the history: what it said, and the ledger, not to be written to."""

    said: Report
    watermark: int
    ledger: str

    def copied(self, new: str) -> str:
        """The ledger once more, at another URL."""
        shutil.copy(self.ledger.removeprefix("sqlite:///"), new.removeprefix("sqlite:///"))
        return new


@pytest.fixture(scope="module")
def first(history: History, new_ledger: Ledgers) -> First:
    ledger = new_ledger()
    return First(*report(history.url, ledger, history.end), ledger)


def test_gaps_make_a_poll_incomplete(first: First) -> None:
    said = first.said
    assert len(said.gaps) == 2
    assert said.silent_since is None
    assert not said.is_complete


def test_the_first_poll_finds_the_oldest_data_itself(
    history: History, first: First, polled: Written
) -> None:
    said = first.said
    assert history.start - 2 * HOUR <= said.start <= history.start
    assert said.end == first.watermark == history.end
    assert len(said.pods) == len(polled.pods)


def test_a_late_first_poll_still_starts_at_the_oldest_data(
    history: History, new_ledger: Ledgers
) -> None:
    late = history.end + 90 * 24 * HOUR
    said, watermark = report(history.url, new_ledger(), late)
    assert history.start - 2 * HOUR <= said.start <= history.start
    assert watermark == said.end == int(said.silent_since or 0)
    assert history.end - MINUTE < watermark < history.end
    assert said.end - said.start < OPTIONS.history_days * 24 * HOUR


def test_since_decides_where_the_first_poll_starts(history: History, new_ledger: Ledgers) -> None:
    since = history.start + 20 * HOUR
    said, _ = report(history.url, new_ledger(), history.end, since)
    assert said.start == since


def test_polling_when_all_is_covered_does_nothing(
    history: History, first: First, new_ledger: Ledgers
) -> None:
    said, watermark = report(history.url, first.copied(new_ledger()), history.end)
    assert (said.windows, said.start, said.end, watermark) == (0, *[history.end] * 3)


def test_polling_an_old_stretch_again_does_not_move_the_watermark_back(
    history: History, first: First, new_ledger: Ledgers
) -> None:
    middle = history.start + 24 * HOUR
    said, watermark = report(history.url, first.copied(new_ledger()), middle, history.start)
    assert (said.end, watermark) == (middle, history.end)
