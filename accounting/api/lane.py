"""Takes turns with questions that are quick to answer."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

_T = TypeVar("_T")

PATIENCE_SECONDS = 0.25


class Lane:
    """One thread at a time for what is mostly Python's work.

    Several threads would only wait for each other's interpreter lock: twenty at once take twice the
    processor time for the same answers. Who has waited a while is behind a slow question, and goes
    on beside it.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(1)

    async def run(self, find: Callable[[], _T]) -> _T:
        """What ``find`` returns or raises; it runs in a thread."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            return await run_in_threadpool(find)
        try:
            return await run_in_threadpool(find)
        finally:
            self._turn.release()
