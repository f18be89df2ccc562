import math

import pytest

from accounting.delivery.backoff import Backoff

BACKOFF = Backoff(first_seconds=30, longest_seconds=3600)


def test_the_wait_doubles_with_each_failure_up_to_the_longest() -> None:
    waits = [BACKOFF.delay_seconds(attempts, lambda: 0.999999) for attempts in range(1, 10)]
    expected = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert waits == [pytest.approx(seconds, rel=1e-5) for seconds in expected]


@pytest.mark.parametrize("attempts", [1, 5, 8, 1000, 10**9])
def test_half_of_the_wait_is_chance(attempts: int) -> None:
    least = BACKOFF.delay_seconds(attempts, lambda: 0.0)
    most = BACKOFF.delay_seconds(attempts, lambda: math.nextafter(1, 0))
    assert most == pytest.approx(2 * least)
    assert most <= BACKOFF.longest_seconds


def test_no_failure_at_all_counts_as_the_first() -> None:
    assert BACKOFF.delay_seconds(0, lambda: 0.5) == BACKOFF.delay_seconds(1, lambda: 0.5) == 22.5
