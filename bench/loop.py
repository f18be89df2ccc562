"""How long an event loop stands still, and whether hub/ was at work then."""

import asyncio
import json
import sys
import threading
import time
from pathlib import Path
from types import FrameType

BEAT_SECONDS = 0.002
SHORTEST_SECONDS = 0.005
"""Shorter stops are not told from a busy machine's."""

_STATISTICS = Path("/proc/thread-self/schedstat")
_DATABASE = "/sqlalchemy/"
_OURS = str(Path(__file__).parent.parent / "hub")


class Watch:
    """Beats in the running loop, and looks from a thread at what the loop does between beats.

    Time in which the loop's thread could have run, but the machine had no processor for it, does
    not count: others cause that.

    Args:
        path: Gets a JSON line for each stop: how many `seconds`, and how many of them `ours`, by
            how often hub/ was seen on the stack. JupyterHub's database is not ours.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beat = time.monotonic()
        self._looked = self._seen = 0
        self._waited = 0.0
        self._loop_thread = threading.get_ident()
        self._task = asyncio.get_running_loop().create_task(self._beats())
        self._is_over = threading.Event()
        threading.Thread(target=self._looks, daemon=True).start()

    def end(self) -> None:
        """Watch no more."""
        self._task.cancel()
        self._is_over.set()

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            waited = _waited_for_a_processor()
            stood = time.monotonic() - self._beat - BEAT_SECONDS - (waited - self._waited)
            self._waited = waited
            if stood > SHORTEST_SECONDS:
                share = self._seen / self._looked if self._looked else 0
                line = json.dumps({"seconds": stood, "ours": stood * share})
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            self._looked = self._seen = 0
            self._beat = time.monotonic()

    def _looks(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            if time.monotonic() - self._beat > SHORTEST_SECONDS:
                frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - for this
                self._looked += 1
                self._seen += _is_ours(frame)


def _waited_for_a_processor() -> float:
    """How long this thread did so in its life, in seconds (Linux, Documentation/scheduler)."""
    return int(_STATISTICS.read_text(encoding="ascii").split()[1]) / 1e9


def _is_ours(frame: FrameType | None) -> bool:
    ours = False
    while frame is not None:
        name = frame.f_code.co_filename
        if _DATABASE in name:
            return False
        ours = ours or name.startswith(_OURS)
        frame = frame.f_back
    return ours


def stops(path: Path) -> tuple[float, float]:
    """The longest stops in seconds: by hub/, and by anything; at least `SHORTEST_SECONDS`."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    ours = max((stop["ours"] for stop in found), default=0.0)
    every = max((stop["seconds"] for stop in found), default=0.0)
    return max(ours, SHORTEST_SECONDS), max(every, SHORTEST_SECONDS)
