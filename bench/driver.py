"""Polls inside one process, as ``serve`` does it.

``python -m bench.driver URL DATABASE_URL UNTIL…`` polls up to each UNTIL (Unix seconds) in turn and
prints the seconds that each poll took, as a JSON list.
"""

import json
import sys
import time

from accounting.measure.poller import Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.records.builder import Site
from accounting.records.identity import VoRules
from accounting.simulation.world.cluster import NAMESPACE
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger
from bench.dataset import POD_PATTERN


def main(url: str, database_url: str, *untils: str) -> None:
    """Poll up to each of ``untils``."""
    seconds = []
    with Database(database_url) as database, Source(url) as source:
        database.ensure_current()
        poller = Poller(
            Ledger(database),
            source,
            Scope(NAMESPACE, POD_PATTERN),
            Site("BENCH"),
            VoRules(default="vo.example.org"),
        )
        for until in untils:
            begun = time.monotonic()
            poller.poll(int(until))
            seconds.append(time.monotonic() - begun)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
