"""Short requests are serialised; one that waits long skips the queue."""

import asyncio
import threading
import time

import pytest

from accounting.api import turns as module
from accounting.api.turns import Turns


def test_one_is_answered_at_a_time() -> None:
    together: list[int] = []
    now = 0

    def find() -> None:
        nonlocal now
        now += 1
        together.append(now)
        time.sleep(0.002)
        now -= 1

    async def work() -> None:
        turns = Turns()
        await asyncio.gather(*(turns.run(find) for _ in range(10)))

    asyncio.run(work())
    assert together == [1] * 10


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
