"""The poll every five minutes with all pods running: inside the service, and as a command."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import poll
from bench.figures import Figure
from bench.process import Cost, Costs, run

EVERY_SECONDS = 300


class SteadyPolls(poll.Polls):
    """Covers the first part of the history once, then polls window after window."""

    def measure(self, rounds: int) -> list[Figure]:
        """The figures of ``rounds`` consecutive windows."""
        ends = self.ends(rounds + 1)
        prepared = poll.forget(self._folder / "steady.db")
        poll.command(self._engine.url, prepared, self._dataset.start, ends[0] - EVERY_SECONDS)
        inside, peak_mb = self._inside(self._copy(prepared, "inside"), ends)
        commands = self._commands(self._copy(prepared, "commands"), ends)
        costs = Costs.of(commands)
        return [
            Figure("in the service", median(inside), "s", at_most=1.5, note=f"{rounds} windows"),
            Figure("… its peak memory", peak_mb, "MB"),
            Figure("whole command", costs.wall_seconds, "s", note="it loads the ledger, too"),
            Figure("… its processor time", costs.cpu_seconds, "s"),
            Figure("… its peak memory", costs.peak_mb, "MB"),
        ]

    def ends(self, count: int) -> list[int]:
        """Ends of the last windows, the last one at the history's end."""
        end = self._dataset.end
        return [end - EVERY_SECONDS * back for back in reversed(range(count))]

    def _copy(self, database: Path, name: str) -> Path:
        """A copy, so that both ways start from the same."""
        copy = poll.forget(self._folder / f"steady-{name}.db")
        shutil.copy(database, copy)
        return copy

    def _inside(self, database: Path, ends: Sequence[int]) -> tuple[list[float], float]:
        """Seconds of each poll but the first, and the peak memory of the process."""
        arguments = [self._engine.url, f"sqlite:///{database}", *map(str, ends)]
        cost = run([sys.executable, "-m", "bench.driver", *arguments])
        return json.loads(cost.output)[1:], cost.peak_mb

    def _commands(self, database: Path, ends: Sequence[int]) -> list[Cost]:
        """A command for each window; the first is not counted."""
        costs = [poll.command(self._engine.url, database, None, end) for end in ends]
        return costs[1:]
