"""Who else on this machine may read our files: secrets, and the database, which names people."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from notebooks_settings.exposure import is_open

_BESIDE = ("", "-wal", "-shm", "-journal")
"""SQLite's files, by what is added to the database's name; new ones get the database's mode."""


def keep_private(_dialect: Any, _record: Any, args: Any, _options: Any) -> None:
    """Before SQLite opens a database: make a missing file for this user only; close an open one."""
    path = str(args[0]) if args else ""
    if not path or path.startswith((":memory:", "file:")):
        return
    with suppress(OSError):  # there it is, or SQLite says why not
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    for end in _BESIDE:
        _close(Path(path + end))


def _close(file: Path) -> None:
    import structlog  # noqa: PLC0415 - the settings need only `is_open`

    log = structlog.get_logger(__name__)
    try:
        if is_open(file.stat()):
            file.chmod(0o600)
            log.info("the database was readable for everybody; now it is not", file=str(file))
    except FileNotFoundError:
        pass
    except OSError as exc:
        log.warning(
            "the database names people, and everybody on this machine can read it",
            file=str(file),
            problem=exc.strerror,
            cure=f"as the file's owner: chmod o-rw {file}",
        )
