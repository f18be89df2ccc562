"""A poll of a store that times out, by a poller that dies again and again and starts anew."""

from random import Random
from typing import Any

from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.polling import HOUR, Written, poller, written
from tests.measure.test_refusals import REFUSED, longest_range

LOOKBACK = 3600
"""Seconds that questions reach behind their windows, at most."""
REFUSALS = ("of its series", "as it takes too long", "by a gateway")
LIVES = 4


class Death(Exception):
    """The poller's process ends here."""


class Hindered(Source):
    """Refuses questions about long spans, and lets the poller die as it asks so many questions."""

    def __init__(self, url: str, most_seconds: int, refusal: str, questions: float) -> None:
        super().__init__(url)
        self._most, self._refusal, self._left = most_seconds, refusal, questions
        self._unhindered = self._connection.ask
        self._connection.ask = self._ask_hindered  # type: ignore[method-assign] # whatever a source asks goes this way

    def _ask_hindered(self, path: str, params: Any) -> tuple[int, bytes]:
        self._left -= 1
        if self._left < 0:
            raise Death
        if path.startswith("query") and longest_range(params) > self._most:
            return REFUSED[self._refusal].status, REFUSED[self._refusal].body
        return self._unhindered(path, params)


def poll_hindered(url: str, database_url: str, since: int, until: int, rng: Random) -> Written:
    """Poll a store that refuses questions about long spans, through several lives.

    It refuses the search for the oldest data, too: an operator says where to begin.
    """
    most, refusal = LOOKBACK + rng.choice((900, 1800, 3600)), rng.choice(REFUSALS)

    for life in range(1, LIVES + 1):
        is_last = life == LIVES

        def notice(_: Report, *, is_last: bool = is_last) -> None:
            if not is_last and rng.random() < 0.3:
                raise Death

        questions = float("inf") if is_last else rng.randint(20, 80)
        with Database(database_url) as database, Hindered(url, most, refusal, questions) as source:
            database.ensure_current()
            one = poller(database, source, step=2 * HOUR)
            begin = None if one.ledger.progress() else since
            try:
                one.poll(until, begin, notice)
            except Death:
                continue
            break
    with Database(database_url) as database:
        return written(database)
