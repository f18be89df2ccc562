"""How these tests poll: in this process, or as a program of its own that can be killed.

As a program it takes the source's URL, the database's URL, the longest window in seconds and the
end (Unix seconds), and writes a line when it is about to begin and one after each window.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from sqlalchemy import Row, select

from accounting.measure.poller import Options, Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.simulation.world.cluster import NAMESPACE
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from accounting.store.tables import gaps, records

HOUR = 3600
SCOPE = Scope(NAMESPACE, "jupyter-.*")
SITE = Site("EXAMPLE-SITE", "notebooks.example.org", default_cpu_count=1.0)
RULES = VoRules(default="default.example.org")
OPTIONS = Options()

Key = tuple[str, int, int]
"""(pod uid, year, month)"""


@dataclass(frozen=True)
class Written:
    """What is in the database that matters to others: all columns of the records, and the gaps."""

    records: dict[Key, dict[str, Any]] = field(repr=False)
    gaps: list[tuple[float, float | None]]

    @property
    def pods(self) -> dict[str, dict[str, Any]]:
        """The last record of every pod."""
        return {key[0]: self.records[key] for key in sorted(self.records)}


def written(database: Database) -> Written:
    with database.begin(reading=True) as connection:
        rows = connection.execute(select(records).order_by(records.c.uid)).mappings()
        found = {(row["uid"], row["year"], row["month"]): dict(row) for row in rows}
        silences: Iterable[Row[tuple[float, float | None]]] = connection.execute(
            select(gaps.c.start_at, gaps.c.end_at).order_by(gaps.c.start_at)
        )
        return Written(found, [(row.start_at, row.end_at) for row in silences])


def poller(
    database: Database, source: Source, *, step: int = 6 * HOUR, scope: Scope = SCOPE
) -> Poller:
    options = Options(step_seconds=step)
    site = replace(SITE, cpu_from_limits=scope.limits_first)  # as one setting says for both
    return Poller(Ledger(database), source, scope, site, RULES, options=options)


def poll(
    url: str,
    database_url: str,
    *cuts: int,
    since: int | None = None,
    step: int = 6 * HOUR,
    scope: Scope = SCOPE,
) -> Written:
    """Poll up to each of ``cuts``, as often as there are any; what is written afterwards."""
    with Database(database_url) as database, Source(url) as source:
        database.ensure_current()
        for cut in cuts:
            poller(database, source, step=step, scope=scope).poll(cut, since)
        return written(database)


def main(arguments: list[str], out: TextIO) -> None:
    url, database_url, step, until = arguments

    def say(report: Report | None) -> None:
        out.write(f"{report.end if report else 'begin'}\n")
        out.flush()

    with Database(database_url) as database, Source(url) as source:
        database.ensure_current()
        say(None)
        poller(database, source, step=int(step)).poll(int(until), notice=say)


if __name__ == "__main__":
    main(sys.argv[1:], sys.stdout)
