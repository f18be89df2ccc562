"""Databases for the store's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of empty databases, of either kind."""
    if request.param == "postgresql":
        made: Callable[[], str] = request.getfixturevalue("postgres")
        return made
    names = iter(range(100))
    return lambda: f"sqlite:///{tmp_path / str(next(names))}.db"
