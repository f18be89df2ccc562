"""Static tokens: each in a file of its own, with what it may be used for.

Only hashes are kept in memory; a file is read again when it changes, so that tokens may be rotated.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from accounting.config import Settings, read_secret
from accounting.store.engine.access import Right, Viewer

_STATE = tuple[int, int, int, int]


class Purpose(NamedTuple):
    """What one of the settings' tokens is for."""

    name: str
    setting: str
    viewer: Viewer


PURPOSES = (
    Purpose("admin token", "token_file", Viewer("admin token", frozenset(Right), is_admin=True)),
    Purpose("job token", "job_token_file", Viewer("job token", frozenset({Right.OPERATE}))),
    Purpose(
        "metrics token", "metrics_token_file", Viewer("metrics token", frozenset({Right.METRICS}))
    ),
)


@dataclass
class _File:
    path: Path
    setting: str
    state: _STATE | None = None
    digest: bytes = b""

    def current(self) -> bytes:
        """The hash of the token that is in the file now.

        Raises:
            SettingsError: it cannot be read, or is empty.
        """
        try:
            found = self.path.stat()
            state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        except OSError:
            state = None
        if state is None or state != self.state:
            self.digest = digest_of(read_secret(self.path, self.setting))
            self.state = state
        return self.digest


def digest_of(token: bytes) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token).digest()


class StaticTokens:
    """The tokens that the settings name.

    Args:
        settings: the service's.
    """

    def __init__(self, settings: Settings) -> None:
        self._files: Mapping[Purpose, _File] = {
            purpose: _File(path, f"api.{purpose.setting}")
            for purpose in PURPOSES
            if (path := getattr(settings.api, purpose.setting)) is not None
        }

    def __bool__(self) -> bool:
        return bool(self._files)

    def check(self) -> None:
        """Read all files once.

        Raises:
            SettingsError: one cannot be used (``read_secret``).
        """
        for _ in self._current():
            pass

    def viewer(self, digest: bytes) -> Viewer | None:
        """Whose token has this hash; takes as long whichever it is, and if it is none.

        Raises:
            SettingsError: a file cannot be read, or is empty.
        """
        found = None
        for purpose, current in self._current():
            if hmac.compare_digest(current, digest):
                found = purpose.viewer
        return found

    def _current(self) -> Iterator[tuple[Purpose, bytes]]:
        for purpose, file in self._files.items():
            yield purpose, file.current()
