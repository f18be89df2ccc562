"""Measure everything: python -m bench; see --help."""

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from accounting.telemetry.logs import configure_logs
from bench import api, backlog, broker, client, delivery, destinations, hub, pages, refreshes
from bench.dataset import beside, day, for_outlets, steady
from bench.figures import Figure, save, show
from bench.outlets import OutletPolls
from bench.poll import DayPoll, forget, measure_beside
from bench.steady import SteadyPolls

_ROOT = Path(__file__).parent.parent
SECTIONS = (
    "day",
    "beside",
    "steady",
    "outlets",
    "client",
    "signing",
    "push",
    "destinations",
    "broker",
    "backlog",
    "api",
    "pages",
    "hub",
    "refreshes",
)


_SMALL_PODS = 6_000
SIGNING_SECONDS = 0.2
"""How long each way of signing is measured, for each round."""
BROKER_SECONDS = 2.0
"""How long each number of connections to the broker is measured, for each round."""
LOAD_SECONDS = 4.0
"""How long twenty clients ask the API, for each round."""


class Sizes(NamedTuple):
    """How much to measure."""

    pods: int
    running: int
    rounds: int
    backlog: int = 1_000_000
    records: int = 1_000_000
    users: int = 500
    shown: int = 300_000


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the tables, keep the figures; 1 if a promise is missed and --strict."""
    options = _parser().parse_args(arguments)
    configure_logs("warning", as_json=False)
    sizes = Sizes(
        options.pods,
        options.running or options.pods,
        options.rounds,
        options.backlog,
        options.records,
        options.users,
        options.shown,
    )
    data: Path = options.data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    measured: dict[str, list[Figure]] = {}
    for title, measure in _sections(options.only, sizes, data):
        measured[title] = measure()
        show(title, measured[title])
    print("written:", save(options.results, measured, sizes._asdict()))
    missed = [f for figures in measured.values() for f in figures if f.is_met is False]
    return 1 if missed and options.strict else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description=main.__doc__)
    parser.add_argument("--pods", type=int, default=20_000, help="pods of the day")
    parser.add_argument("--running", type=int, help="pods that run at once; default: as --pods")
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each command")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="records of the backlog")
    parser.add_argument("--records", type=int, default=1_000_000, help="records behind the API")
    parser.add_argument("--shown", type=int, default=300_000, help="records behind the pages")
    parser.add_argument("--users", type=int, default=500, help="users refreshed at once")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument(
        "--data", type=Path, default=_ROOT / "var" / "bench", help="where histories are kept"
    )
    parser.add_argument("--results", type=Path, default=_ROOT / "bench" / "results")
    parser.add_argument("--strict", action="store_true", help="fail if a promise is missed")
    return parser


def _sections(
    only: list[str], sizes: Sizes, data: Path
) -> list[tuple[str, Callable[[], list[Figure]]]]:
    """(title, what measures it), in the order in which they can be run."""
    measures = {
        "day": (f"A poll of 24 h, {sizes.pods:,} pods", lambda: _day(sizes, data)),
        "beside": (
            f"A poll of 24 h, {sizes.pods:,} pods, /metrics/resource beside cAdvisor",
            lambda: _beside(sizes, data),
        ),
        "steady": (f"A poll every 5 minutes, {sizes.running:,} pods", lambda: _steady(sizes, data)),
        "outlets": ("Polls with all outlets, and with APEL alone", lambda: _outlets(sizes, data)),
        "client": ("Clients, a bulk query", lambda: _client(sizes, data)),
        "signing": ("Signing", lambda: _signing(sizes, data)),
        "push": ("Push", lambda: _push(sizes, data)),
        "destinations": ("Several receivers", lambda: _destinations(sizes, data)),
        "broker": ("Messages to the broker's stand-in", lambda: _broker(sizes, data)),
        "backlog": (f"A backlog of {sizes.backlog:,} records", lambda: _backlog(sizes, data)),
        "api": (f"The API over {sizes.records:,} records", lambda: _api(sizes, data)),
        "pages": (f"The pages over {sizes.shown:,} records", lambda: _pages(sizes, data)),
        "hub": ("JupyterHub's logins", lambda: hub.measure(sizes.rounds)),
        "refreshes": (
            f"Refreshes of {sizes.users:,} users at once",
            lambda: refreshes.measure(sizes.users),
        ),
    }
    return [measures[name] for name in SECTIONS if name in only]


def _day(sizes: Sizes, data: Path) -> list[Figure]:
    dataset = day(sizes.pods)
    with dataset.served(data) as engine:
        return DayPoll(engine, dataset, data / "work").measure(sizes.rounds)


def _beside(sizes: Sizes, data: Path) -> list[Figure]:
    alone, both = day(sizes.pods), beside(sizes.pods)
    with alone.served(data) as one, both.served(data) as other:
        return measure_beside(
            DayPoll(one, alone, data / "work"), DayPoll(other, both, data / "work"), sizes.rounds
        )


def _steady(sizes: Sizes, data: Path) -> list[Figure]:
    dataset = steady(sizes.running)
    with dataset.served(data) as engine:
        return SteadyPolls(engine, dataset, data / "work").measure(sizes.rounds)


def _outlets(sizes: Sizes, data: Path) -> list[Figure]:
    figures = []
    for pods in sorted({min(_SMALL_PODS, sizes.pods), sizes.pods}):
        dataset = for_outlets(pods)
        with dataset.served(data) as engine:
            figures += OutletPolls(engine, dataset, data / "work").measure(sizes.rounds)
    return figures


def _client(sizes: Sizes, data: Path) -> list[Figure]:
    dataset = day(sizes.pods)
    with dataset.served(data) as engine:
        return client.measure(engine, dataset)


def _records(sizes: Sizes, data: Path) -> Path:
    """A database with the records of the day; those of the poll that was measured, if it was."""
    dataset = day(sizes.pods)
    kept = data / f"records-{sizes.pods}.db"
    if not kept.exists():
        with dataset.served(data) as engine:
            polled = DayPoll(engine, dataset, data / "work")
            polled.poll(engine.url)
            shutil.move(polled.database(), kept)
    return kept


def _signing(sizes: Sizes, data: Path) -> list[Figure]:
    return delivery.measure_signing(_records(sizes, data), sizes.rounds * SIGNING_SECONDS)


def _push(sizes: Sizes, data: Path) -> list[Figure]:
    copy = forget(data / "work" / "push.db")
    shutil.copy(_records(sizes, data), copy)
    return delivery.measure_push(copy)


def _destinations(sizes: Sizes, data: Path) -> list[Figure]:
    kept = backlog.prepare(data / f"backlog-{sizes.pods}.db", sizes.pods)
    (data / "work").mkdir(parents=True, exist_ok=True)
    return destinations.measure(kept, data / "work")


def _broker(sizes: Sizes, data: Path) -> list[Figure]:
    kept = backlog.prepare(data / f"backlog-{sizes.backlog}.db", sizes.backlog)
    seconds = BROKER_SECONDS * sizes.rounds
    return delivery.measure_connections(kept, data / "work" / "broker", seconds)


def _backlog(sizes: Sizes, data: Path) -> list[Figure]:
    copy = forget(data / "work" / "backlog.db")
    shutil.copy(backlog.prepare(data / f"backlog-{sizes.backlog}.db", sizes.backlog), copy)
    with broker.running(data / "work" / "broker") as addresses:
        return backlog.measure(copy, addresses)


def _api(sizes: Sizes, data: Path) -> list[Figure]:
    folder, seconds = data / "work", LOAD_SECONDS * sizes.rounds
    folder.mkdir(parents=True, exist_ok=True)
    kept = data / f"ledger-{sizes.records}.db"
    return [
        *api.measure_sqlite(kept, folder, sizes.records, seconds),
        *api.measure_postgres(folder, sizes.records, seconds),
    ]


def _pages(sizes: Sizes, data: Path) -> list[Figure]:
    folder = data / "work"
    folder.mkdir(parents=True, exist_ok=True)
    kept = data / f"ledger-{sizes.shown}.db"
    return [
        *pages.measure_sqlite(kept, folder, sizes.shown),
        *pages.measure_postgres(folder, sizes.shown),
    ]


if __name__ == "__main__":
    sys.exit(main())
