"""Compares a restored tree with the living one, by checksums."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

_BLOCK_BYTES = 1 << 20


@dataclass
class Compared:
    """What was found, in files: links are compared by where they point.

    Attributes:
        same: SHA-256 is the same.
        different: same size and time of change, but another SHA-256.
        changed: changed or removed by the user since the snapshot: nothing to compare with.
        size_bytes: of those that are the same.
    """

    same: int = 0
    different: int = 0
    changed: int = 0
    size_bytes: int = 0


def compare(restored: Path, living: Path) -> Compared:
    """Compare every file of the restored tree with its place in the living one."""
    found = Compared()
    top, other = os.fsencode(restored), os.fsencode(living)
    for root, folders, names in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        for name in (*names, *links):
            path = os.path.join(root, name)
            _compare(path, other + path[len(top) :], found)
    return found


def _compare(restored: bytes, living: bytes, found: Compared) -> None:
    then = os.lstat(restored)
    try:
        now = os.lstat(living)
        if _changed(then, now):
            found.changed += 1
            return
        same = _digest(restored, then) == _digest(living, now)
    except (FileNotFoundError, NotADirectoryError):
        found.changed += 1
        return
    if same:
        found.same += 1
        found.size_bytes += then.st_size
    else:
        found.different += 1


def _changed(then: os.stat_result, now: os.stat_result) -> bool:
    kinds = stat.S_IFMT(then.st_mode) != stat.S_IFMT(now.st_mode)
    return kinds or (then.st_size, then.st_mtime_ns) != (now.st_size, now.st_mtime_ns)


def _digest(path: bytes, status: os.stat_result) -> bytes:
    if stat.S_ISLNK(status.st_mode):
        return os.fsencode(os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return b""  # a pipe or socket has no content
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
