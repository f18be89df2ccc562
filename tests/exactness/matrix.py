"""Which combinations of cases, engines and schedules are measured.

``make exact`` measures all (``EXACT_FULL=1``). Otherwise each case is measured once, and each
combination of the others at least once: the ways are taken in turn, and each round of them begins
one further on, so that no case that comes every other time always meets the same way.
"""

import os
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any


def full_matrix() -> bool:
    """Whether all combinations are wanted."""
    return os.environ.get("EXACT_FULL", "") not in {"", "0"}


def combined(cases: Iterable[Any], *ways: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Parameters of a test: (case, way, …); a case that is a tuple is taken apart."""
    of_cases = [case if isinstance(case, tuple) else (case,) for case in cases]
    of_ways = list(product(*ways))
    if full_matrix():
        return [case + way for case, way in product(of_cases, of_ways)]
    most = range(max(len(of_cases), len(of_ways)))
    return [_in_turn(of_cases, n) + _in_turn(of_ways, n) for n in most]


def _in_turn(values: Sequence[tuple[Any, ...]], number: int) -> tuple[Any, ...]:
    return values[(number + number // len(values)) % len(values)]
