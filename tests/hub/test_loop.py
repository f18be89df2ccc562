"""The benchmark's watch over the event loop sees what it is there for."""

import asyncio
import time
from pathlib import Path

from bench.loop import Watch, stops
from tests.hub.rig import ROOT

SECONDS = 0.5


def blocking(file: Path) -> None:
    """Block as code of this file would."""
    names: dict[str, object] = {"time": time}
    code = compile(f"def block():\n    time.sleep({SECONDS})\n", str(file), "exec")
    exec(code, names)  # noqa: S102 - code of ours, under another file's name
    block = names["block"]
    assert callable(block)
    block()


def watched(path: Path, file: Path) -> tuple[float, float]:
    async def work() -> None:
        watch = Watch(path)
        await asyncio.sleep(0.1)
        blocking(file)
        await asyncio.sleep(0.1)
        watch.end()

    asyncio.run(work())
    return stops(path)


def test_a_stop_by_hub_is_told_from_a_stop_by_others(tmp_path: Path) -> None:
    ours, every = watched(tmp_path / "ours", ROOT / "hub" / "authenticator" / "x.py")
    assert ours > SECONDS / 2
    assert every >= ours
    ours, every = watched(tmp_path / "theirs", ROOT / "elsewhere" / "x.py")
    assert ours < SECONDS / 2
    assert every > SECONDS / 2
