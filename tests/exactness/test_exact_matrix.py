"""What of all combinations is measured, by which command."""

from itertools import product
from pathlib import Path

import pytest

from tests.exactness.matrix import combined

MAKEFILE = Path(__file__).parents[2] / "Makefile"
ENGINES, STEPS = ("one", "other"), (1, 2)


@pytest.mark.parametrize("count", [1, 3, 4, 6, 33])
def test_each_case_is_measured_and_on_each_way_some(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.delenv("EXACT_FULL", raising=False)
    found = combined(range(count), ENGINES, STEPS)
    assert {case for case, *_ in found} == set(range(count))
    assert {tuple(way) for _, *way in found} == set(product(ENGINES, STEPS))
    assert len(found) == max(count, len(ENGINES) * len(STEPS))


def test_cases_that_come_in_turn_do_not_always_meet_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("EXACT_FULL", raising=False)
    found = combined(product(range(3), ("a", "b")), ENGINES)
    assert {(kind, engine) for _, kind, engine in found} == set(product("ab", ENGINES))


def test_make_exact_measures_all_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXACT_FULL", "1")
    assert combined("ab", ENGINES, STEPS) == list(product("ab", ENGINES, STEPS))
    recipe = MAKEFILE.read_text().partition("\nexact:")[2].partition("\n\n")[0]
    assert "EXACT_FULL=1" in recipe
    assert "pytest tests/exactness -n" in recipe
