"""What the other outlets cost a poll: with all of them configured, against APEL alone, in turn.

Both poll the same history, which tells of homes and energy. So the figures compare what is asked,
read and written. Processor time, the server's included, tells even on a busy machine.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Self
from unittest.mock import patch

from accounting.config import load
from accounting.measure.poller import Poller
from accounting.store.engine.database import Database
from accounting.wiring.polling import poller_of
from accounting.wiring.source import source_of
from bench.figures import Figure
from bench.poll import Polls, command, environment, forget, server_seconds

MOST_TIMES_ALONE = 1.15
_STEP_SECONDS = 300
WINDOWS_A_ROUND = 12
"""A whole hour's: some questions are asked by the hour."""
_RECEIVER = "https://receiver.example.org"

ALL_OUTLETS: Mapping[str, str] = {
    "ACCOUNTING_DESTINATIONS": '{"sums": {"ams_topic": "sums", "records": "summary"},'
    ' "gpus": {"ams_topic": "gpus", "records": "accelerators"},'
    ' "homes": {"ams_topic": "homes", "records": "storage"}}',
    "ACCOUNTING_ENERGY__ENABLED": "true",
    "ACCOUNTING_CIM__URL": _RECEIVER,
    "ACCOUNTING_CIM__EMAIL": "operator@example.org",
    "ACCOUNTING_CIM__PASSWORD_FILE": "password",
    "ACCOUNTING_EOSC__URL": _RECEIVER,
    "ACCOUNTING_EOSC__TOKEN_URL": _RECEIVER,
    "ACCOUNTING_EOSC__CLIENT_ID": "notebooks",
    "ACCOUNTING_EOSC__CLIENT_SECRET_FILE": "secret",
    "ACCOUNTING_EOSC__INSTALLATION": "installation",
    "ACCOUNTING_EOSC__METRICS": '{"*": "definition"}',
}
"""Settings that turn every outlet on; polling reads no secret."""


@dataclass(frozen=True)
class Taken:
    """What a poll took, in seconds; processor time with the server's."""

    wall: float
    processor: float


class OutletPolls(Polls):
    """Polls a history with APEL alone and with all outlets, in turn."""

    def measure(self, rounds: int) -> list[Figure]:
        """The figures of whole days, and of windows of five minutes inside the service."""
        pods = f"{self._dataset.pods:,} pods"
        return [
            *_compared(f"a day, {pods}", self._days(rounds)),
            *_compared(f"five minutes of {pods}", self._windows(WINDOWS_A_ROUND * rounds)),
        ]

    def _days(self, rounds: int) -> list[tuple[Taken, Taken]]:
        """Polls from nothing, as commands; the first pair does not count."""
        return self._in_turn(
            rounds + 1,
            lambda _: self._command("alone", {}, self._dataset.end),
            lambda _: self._command("all", ALL_OUTLETS, self._dataset.end),
        )[1:]

    def _windows(self, count: int) -> list[tuple[Taken, Taken]]:
        """Consecutive windows at the history's end; the first pair loads the ledger."""
        last = self._dataset.end
        begin = last - (count + 1) * _STEP_SECONDS
        for name, more in (("alone", {}), ("all", ALL_OUTLETS)):
            self._command(name, more, begin)
        with ExitStack() as stack:
            alone, beside = (
                stack.enter_context(_Service(self._environment(name, more)))
                for name, more in (("alone", {}), ("all", ALL_OUTLETS))
            )
            untils = [begin + number * _STEP_SECONDS for number in range(1, count + 2)]
            return self._in_turn(
                count + 1,
                lambda turn: self._inside(alone.poller, untils[turn]),
                lambda turn: self._inside(beside.poller, untils[turn]),
            )[1:]

    def _in_turn(
        self, count: int, alone: Callable[[int], Taken], beside: Callable[[int], Taken]
    ) -> list[tuple[Taken, Taken]]:
        """Pairs; which of the two comes first changes from pair to pair."""
        pairs = []
        for turn in range(count):
            if turn % 2:
                more = beside(turn)
                pairs.append((alone(turn), more))
            else:
                pairs.append((alone(turn), beside(turn)))
        return pairs

    def _command(self, name: str, more: Mapping[str, str], until: int) -> Taken:
        database = forget(self._folder / f"{name}.db")
        before = server_seconds(self._engine)
        cost = command(self._engine.url, database, self._dataset.start, until, more)
        return Taken(cost.wall_seconds, cost.cpu_seconds + server_seconds(self._engine) - before)

    def _inside(self, poller: Poller, until: int) -> Taken:
        before = server_seconds(self._engine) + time.process_time()
        begun = time.monotonic()
        poller.poll(until)
        wall = time.monotonic() - begun
        return Taken(wall, server_seconds(self._engine) + time.process_time() - before)

    def _environment(self, name: str, more: Mapping[str, str]) -> Mapping[str, str]:
        return {**environment(self._engine.url, self._folder / f"{name}.db"), **more}


class _Service(ExitStack):
    """A poller as ``serve`` has it, with its ledger and its source."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__()
        with patch.dict(os.environ, settings):
            self._settings = load()

    def __enter__(self) -> Self:
        super().__enter__()
        database = self.enter_context(Database(self._settings.database_url))
        source = self.enter_context(source_of(self._settings))
        self.poller = poller_of(self._settings, database, source)
        return self


def _compared(what: str, pairs: Sequence[tuple[Taken, Taken]]) -> list[Figure]:
    figures = []
    for kind in ("wall", "processor"):
        alone, beside = ([getattr(pair[of], kind) for pair in pairs] for of in (0, 1))
        ratios = [more / max(less, 1e-9) for less, more in zip(alone, beside, strict=True)]
        figures += [
            Figure(f"{what}: APEL alone, {kind} time", median(alone), "s"),
            Figure(f"{what}: all outlets, {kind} time", median(beside), "s"),
            Figure(
                f"… {what}: against APEL alone, {kind} time",
                median(ratios),
                "times",
                at_most=MOST_TIMES_ALONE,
                note=f"median of {len(ratios)} pairs, {min(ratios):.2f} to {max(ratios):.2f}",
            ),
            Figure(f"… {what}: all pairs together", sum(beside) / sum(alone), "times"),
        ]
    return figures
