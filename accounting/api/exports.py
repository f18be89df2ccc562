"""Files that are written while they are read: few at a time, whoever reads them and however slowly.

An export reads the database a page at a time and holds no connection while its reader takes the
page. Its threads are its own: polls, pushes and pages never wait for exports.
"""

import threading
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from anyio import CapacityLimiter, to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from accounting.guard.problem import Problem
from accounting.store.engine.access import Viewer

MOST = 6
MOST_OF_ONE = 2
HEAVY = 3
"""What one that needs much memory counts for."""
_THREADS = 2
_TOO_MANY = 429


class Exports:
    """The exports that are under way."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may end a dropped answer in the middle of `begin`.
        self._lock = threading.RLock()
        self._of: Counter[str] = Counter()
        self._weight = 0
        self._threads = CapacityLimiter(_THREADS)

    def begin(
        self, viewer: Viewer, pieces: Iterator[bytes], media_type: str, name: str, weight: int = 1
    ) -> StreamingResponse:
        """An answer that writes a file piece by piece.

        Args:
            viewer: who reads it.
            pieces: of the file; closed when its reader goes.
            media_type: the file's.
            name: the file's.
            weight: how much of what may be under way it takes.

        Raises:
            Problem: too many are under way, of this viewer or of all.
        """
        owner = f"{viewer.name} {viewer.user}"
        with self._lock:
            if self._of[owner] >= MOST_OF_ONE or self._weight + weight > MOST:
                whose = "of yours " if self._of[owner] else ""
                raise Problem(
                    _TOO_MANY,
                    f"other exports {whose}are under way",
                    "let one end, then ask again; or read the list page by page",
                    {"Retry-After": "30"},
                )
            self._of[owner] += 1
            self._weight += weight
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        content = self._until_gone(pieces)
        return _Export(self, owner, weight, content, media_type=media_type, headers=headers)

    def end(self, owner: str, weight: int) -> None:
        """One has ended."""
        with self._lock:
            self._weight -= weight
            self._of[owner] -= 1
            self._of += Counter()  # forgets who has none

    async def _until_gone(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        try:
            while (
                piece := await to_thread.run_sync(next, pieces, None, limiter=self._threads)
            ) is not None:
                if piece:
                    yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()


class _Export(StreamingResponse):
    def __init__(
        self,
        exports: Exports,
        owner: str,
        weight: int,
        content: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(content, media_type=media_type, headers=headers)
        # Also if the answer is dropped before it begins, such as after a long wait for a thread.
        self._ended = weakref.finalize(self, exports.end, owner, weight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()
