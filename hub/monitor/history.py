"""The results, in a small SQLite file."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hub.monitor.result import Run, State
from hub.program.failure import Failure

_TABLE = """
CREATE TABLE IF NOT EXISTS run (
    check_name TEXT NOT NULL, began_at REAL NOT NULL, state INTEGER NOT NULL,
    said TEXT NOT NULL, steps TEXT NOT NULL, PRIMARY KEY (check_name, began_at)
) WITHOUT ROWID
"""


class History:
    """Runs of checks; every call is a connection of its own, so any thread may call.

    Args:
        path: the file; made if it is not there. Its folder must exist.
        days: how long runs are kept.

    Raises:
        Failure: the file cannot be used.
    """

    def __init__(self, path: Path, days: int) -> None:
        self.path = path
        self._seconds = days * 86400
        with self._connected() as database:
            database.execute(_TABLE)

    def add(self, run: Run) -> None:
        """Store a run, and delete those that are too old."""
        row = (run.check, run.began_at, int(run.state), run.said, json.dumps(run.steps))
        with self._connected() as database:
            database.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", row)
            oldest_at = run.began_at - self._seconds
            database.execute("DELETE FROM run WHERE began_at < ?", (oldest_at,))

    def last(self, check: str, limit: int = 1) -> list[Run]:
        """The last runs of a check, the newest first."""
        with self._connected() as database:
            rows = database.execute(
                "SELECT * FROM run WHERE check_name = ? ORDER BY began_at DESC LIMIT ?",
                (check, limit),
            ).fetchall()
        return [
            Run(name, at, State(state), said, tuple((n, s) for n, s in json.loads(steps)))
            for name, at, state, said, steps in rows
        ]

    def counts(self, check: str) -> dict[State, int]:
        """How many runs that are kept ended in each state."""
        with self._connected() as database:
            rows = database.execute(
                "SELECT state, count(*) FROM run WHERE check_name = ? GROUP BY state", (check,)
            ).fetchall()
        return {State(state): count for state, count in rows}

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as database, database:
                yield database
        except sqlite3.Error as exc:
            raise Failure(
                f"the history {self.path} cannot be used: {exc}",
                "see NOTEBOOKS_MONITOR_HISTORY_FILE, the right to write there, and the space",
            ) from exc
