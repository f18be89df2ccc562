"""Two hours of a quiet cluster in a real Prometheus, and ledgers of them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from accounting.simulation.world.cluster import Cluster
from accounting.store.engine.database import Database
from accounting.store.tables import metadata
from tests.measure.answers import Params

START = datetime(2025, 11, 5, 8, tzinfo=UTC)
END = datetime(2025, 11, 5, 10, tzinfo=UTC)
MIDDLE, LAST = int(START.timestamp()) + 3600, int(END.timestamp())


@dataclass(frozen=True)
class Good:
    """A real Prometheus with two hours of a quiet cluster."""

    url: str
    cluster: Cluster = field(repr=False)
    client: httpx.Client = field(repr=False)

    def answer(self, path: str, params: Params) -> httpx.Response:
        return self.client.post(f"{self.url}{path}", data=params)


def everything(database: Database) -> dict[str, list[Any]]:
    with database.begin(reading=True) as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in metadata.sorted_tables
        }


def opened(file: Path) -> Database:
    return Database(f"sqlite:///{file}")
