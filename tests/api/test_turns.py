"""Short requests are serialised; one that waits long skips the queue."""

import asyncio
import threading
import time

import pytest

from accounting.api import turns as module
from accounting.api.turns import Turns


@pytest.mark.parametrize("at_once", [1, 2])
def test_few_are_answered_at_a_time(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 60.0)
    together: list[int] = []
    all_of_them, lock = threading.Barrier(at_once), threading.Lock()
    now = 0

    def find() -> None:
        nonlocal now
        with lock:
            now += 1
            together.append(now)
        all_of_them.wait(30)
        time.sleep(0.002)
        with lock:
            now -= 1

    async def work() -> None:
        turns = Turns(at_once)
        await asyncio.gather(*(turns.run(find) for _ in range(10)))

    asyncio.run(work())
    assert max(together) == at_once


def test_who_is_behind_a_slow_question_goes_on_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)
    release = threading.Event()

    async def work() -> bool:
        turns = Turns()
        slow = asyncio.create_task(turns.run(lambda: release.wait(30)))
        answers = await asyncio.gather(*(turns.run(lambda: "quick") for _ in range(3)))
        assert answers == ["quick"] * 3
        assert not slow.done()
        release.set()
        return await slow

    assert asyncio.run(work())


def test_a_failure_is_whose_question_it_was_and_the_next_has_its_turn() -> None:
    def fail() -> None:
        raise ValueError("as it was")

    async def work() -> str:
        turns = Turns()
        with pytest.raises(ValueError, match="as it was"):
            await turns.run(fail)
        return await turns.run(lambda: "next")

    assert asyncio.run(work()) == "next"
