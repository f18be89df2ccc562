"""The service adds up again what was asked lately, soon after records have changed."""

import threading

import pytest

from accounting.errors import DatabaseError
from accounting.service.loops import SumsLoop


@pytest.mark.parametrize(
    "failure",
    [DatabaseError("it does not answer", "see whether it hangs"), ValueError("alice@example.org")],
)
def test_the_loop_looks_again_and_again_whatever_goes_wrong(failure: Exception) -> None:
    looks, looked_thrice = [0], threading.Event()

    def refresh() -> None:
        looks[0] += 1
        if looks[0] == 3:
            looked_thrice.set()
        raise failure

    loop = SumsLoop(refresh, interval_seconds=0.001)
    thread = threading.Thread(target=loop.run)
    thread.start()
    assert looked_thrice.wait(30)
    loop.stop()
    thread.join(30)
    assert not thread.is_alive()
