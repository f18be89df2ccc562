"""Shared by the tests of exactness."""

import pickle
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from accounting.store.engine.database import Database
from tests.conftest import History, frugal, once
from tests.exactness.polling import Written, poll


@pytest.fixture(scope="module", autouse=True)
def frugal_engines() -> Iterator[None]:
    """Of the modules' own engines each holds little, and answers small questions only."""
    with frugal():
        yield


@pytest.fixture(scope="session")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes empty ledgers, copies of one: the URLs of SQLite databases."""
    folder: Path = tmp_path_factory.mktemp("ledgers")
    numbers: Iterator[int] = count()
    empty = folder / "empty.db"
    with Database(f"sqlite:///{empty}") as database:
        database.ensure_current()

    def new() -> str:
        path = folder / f"{next(numbers)}.db"
        shutil.copy(empty, path)
        return f"sqlite:///{path}"

    return new


@pytest.fixture(scope="session")
def polled(history: History, new_ledger: Callable[[], str], shared: Path) -> Written:
    """What one poll over the whole history writes: what all other ways must write, too."""
    kept = shared / "polled"
    with once(kept):
        if not kept.exists():
            found = poll(history.url, new_ledger(), history.end)
            kept.write_bytes(pickle.dumps(found))
    again: Written = pickle.loads(kept.read_bytes())  # noqa: S301 - another worker of this run wrote it
    return again
