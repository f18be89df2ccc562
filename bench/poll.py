"""One poll of a whole day as a command, against curl that asks the very same queries."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from accounting.simulation.stores.engines import Engine
from accounting.simulation.world.cluster import NAMESPACE
from accounting.store.engine.database import Database
from accounting.store.records import Records
from bench.dataset import POD_PATTERN, Dataset
from bench.figures import Figure
from bench.process import Cost, Costs, run
from bench.traffic import Query, Replay, recorder

_TICKS = os.sysconf("SC_CLK_TCK")
_INCOMPLETE = 3
_MOST_TIMES_CURL = 1.3
_MOST_TIMES_BESIDE = 1.3


def command(
    url: str,
    database: Path,
    since: int | None,
    until: int,
    more: Mapping[str, str] | None = None,
) -> Cost:
    """Run the poll as the operator does, records written; ``more`` are settings."""
    program = Path(sys.executable).with_name("notebooks-accounting")
    span = ["--since", str(since)] if since is not None else []
    return run(
        [str(program), "poll", *span, "--until", str(until)],
        {**environment(url, database), **(more or {})},
        accept=(0, _INCOMPLETE),
    )


def environment(url: str, database: Path) -> Mapping[str, str]:
    """The settings of a poll."""
    return {
        "ACCOUNTING_SITE_NAME": "BENCH",
        "ACCOUNTING_DATABASE_URL": f"sqlite:///{database}",
        "ACCOUNTING_PROMETHEUS__URL": url,
        "ACCOUNTING_PROMETHEUS__NAMESPACE": NAMESPACE,
        "ACCOUNTING_PROMETHEUS__POD": POD_PATTERN,
        "ACCOUNTING_VO__DEFAULT": "vo.example.org",
    }


def count_records(database: Path) -> int:
    """How many records a poll has left."""
    with Database(f"sqlite:///{database}") as opened:
        return Records(opened).count()


def forget(database: Path) -> Path:
    """Remove a database of an earlier run."""
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    return database


class Polls:
    """Polls of a history.

    Args:
        engine: the Prometheus that serves it.
        dataset: what it serves.
        folder: for databases and forms.
    """

    def __init__(self, engine: Engine, dataset: Dataset, folder: Path) -> None:
        self._engine = engine
        self._dataset = dataset
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)


class DayPoll(Polls):
    """Polls a dataset from nothing, in turn with curl."""

    def database(self) -> Path:
        """Where the records are."""
        return self._folder / "day.db"

    def measure(self, rounds: int) -> list[Figure]:
        """The figures; a first run is not counted."""
        replay = Replay(self._engine.url, self.queries(), self._folder / "forms")
        transfers = replay.transfers()
        polls, singles, pairs, served = [], [], [], []
        for _ in range(rounds):
            before = server_seconds(self._engine)
            polls.append(self.poll(self._engine.url))
            served.append(server_seconds(self._engine) - before)
            singles.append(replay.run())
            pairs.append(replay.run(at_once=2))
        return [
            *_whole(polls, served),
            *_against(polls, singles, "one after another", at_most=_MOST_TIMES_CURL),
            *_against(polls, pairs, "two at a time"),
            Figure("records written", count_records(self.database()), "records"),
            Figure("queries", len(transfers), "queries"),
            Figure("answers", sum(size for size, _ in transfers) / 1e6, "MB", note="compressed"),
        ]

    def poll(self, url: str) -> Cost:
        """One poll of the whole span into a new database."""
        database = forget(self.database())
        return command(url, database, self._dataset.start, self._dataset.end)

    def poll_again(self) -> tuple[float, float]:
        """Wall seconds of a poll, and processor seconds, its server's among them."""
        before = server_seconds(self._engine)
        cost = self.poll(self._engine.url)
        served = server_seconds(self._engine) - before
        return cost.wall_seconds, cost.cpu_seconds + served

    def queries(self) -> Sequence[Query]:
        """What one poll asks."""
        with recorder(self._engine.url) as (proxied, seen):
            self.poll(proxied)
        return seen


def _whole(polls: Sequence[Cost], served: Sequence[float]) -> list[Figure]:
    costs = Costs.of(polls)
    note = f"{costs.runs} runs, the fastest {min(poll.wall_seconds for poll in polls):.1f} s"
    return [
        Figure("whole command", costs.wall_seconds, "s", at_most=5, note=note),
        Figure("… its processor time", costs.cpu_seconds, "s"),
        Figure("… the server's meanwhile", sorted(served)[len(served) // 2], "s"),
        Figure("… its peak memory", costs.peak_mb, "MB", at_most=250),
    ]


def _against(
    polls: Sequence[Cost], curls: Sequence[Cost], how: str, at_most: float | None = None
) -> list[Figure]:
    ratios = sorted(p.wall_seconds / c.wall_seconds for p, c in zip(polls, curls, strict=True))
    return [
        Figure(f"curl, {how}", Costs.of(curls).wall_seconds, "s"),
        Figure(f"… poll / curl, {how}", ratios[len(ratios) // 2], "times", at_most=at_most),
    ]


def measure_beside(without: DayPoll, beside: DayPoll, rounds: int) -> list[Figure]:
    """What a second source of CPU costs: polls of both days in turn; first runs do not count.

    Processor time, of the poll and its server, tells even on a busy machine.
    """
    pairs = [(without.poll_again(), beside.poll_again()) for _ in range(rounds + 1)][1:]
    figures = []
    for what, place, at_most in (("wall", 0, _MOST_TIMES_BESIDE), ("processor", 1, None)):
        less, more = (sorted(pair[of][place] for pair in pairs) for of in (0, 1))
        ratios = sorted(more[place] / less[place] for less, more in pairs)
        middle = len(pairs) // 2
        figures += [
            Figure(f"cAdvisor alone, {what} time", less[middle], "s"),
            Figure(f"with /metrics/resource, {what} time", more[middle], "s"),
            Figure(f"… against without, {what} time", ratios[middle], "times", at_most=at_most),
        ]
    return figures


def server_seconds(engine: Engine) -> float:
    """Processor seconds that the engine has used so far."""
    fields = Path(f"/proc/{engine.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
