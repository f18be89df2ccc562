"""What a test claims of alerts (its marks) is held against what promtool said in it."""

from collections.abc import Iterator

import pytest

from tests.monitoring.tape import Heard, heard


@pytest.fixture(autouse=True)
def claims(request: pytest.FixtureRequest) -> Iterator[None]:
    """`fires(*alerts)`: they did. `silent(part)`: no alert of the part did, nor waits to."""
    heard.clear()
    yield
    found = Heard().joined(heard)
    for mark in request.node.iter_markers("fires"):
        assert set(mark.args) - found.fired == set(), "claimed, and did not fire"
    for mark in request.node.iter_markers("silent"):
        assert set(mark.args) - found.parts == set(), "claimed, and its alerts were not asked for"
        assert found.fired | found.pending == set()
