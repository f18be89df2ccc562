"""Shared by the tests of exactness."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import History
from tests.exactness.polling import Written, poll


@pytest.fixture(scope="session")
def new_ledger(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes URLs of SQLite databases that do not exist yet."""
    folder: Path = tmp_path_factory.mktemp("ledgers")
    numbers: Iterator[int] = count()
    return lambda: f"sqlite:///{folder / str(next(numbers))}.db"


@pytest.fixture(scope="session")
def polled(history: History, new_ledger: Callable[[], str]) -> Written:
    """What one poll over the whole history writes: what all other ways must write, too."""
    return poll(history.url, new_ledger(), history.end)
