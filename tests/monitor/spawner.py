"""A spawner that can be told, by a file, to be slow, to fail, to hang, or to stop slowly."""

import asyncio
import os
from pathlib import Path
from typing import Any

from tests.hub.keptport import KeptPortSpawner


class MoodySpawner(KeptPortSpawner):
    """Reads its mood from the file that MOOD names when it starts and when it stops."""

    @property
    def mood(self) -> str:
        return Path(os.environ["MOOD"]).read_text(encoding="utf-8").strip()

    async def start(self) -> Any:
        """Start, as the mood is."""
        mood = self.mood
        if mood == "slow":
            await asyncio.sleep(3)
        if mood in {"fail", "fail later"}:
            await asyncio.sleep(4 if mood == "fail later" else 0)
            msg = "no node has room"
            raise RuntimeError(msg)
        if mood == "hang":
            await asyncio.sleep(15)
            msg = "it hung"
            raise RuntimeError(msg)
        return await super().start()

    async def stop(self, now: bool = False) -> None:
        """Stop, as the mood is."""
        if self.mood == "stay":
            await asyncio.sleep(12)
        await super().stop(now)
