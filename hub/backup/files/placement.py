"""Moves restored files to their places: whole files only, and nothing is replaced unasked.

Files are restored into a folder on the same volume first and then renamed, so that an interrupted
restore leaves no half-written file in place, and the free space is needed once.
"""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STAGING = ".notebooks-restore"


@dataclass
class Placed:
    """How many entries were put in place, replaced, kept as they were; and what was in the way."""

    new: int = 0
    replaced: int = 0
    kept: int = 0
    blocked: int = 0


def place(source: Path, target: Path, *, overwrite: bool) -> Placed:
    """Move what lies in one folder into another one of the same file system.

    A file that exists in the target is kept, or replaced if ``overwrite``. Where one side has a
    folder and the other has not, or a link stands where a folder is needed, nothing is moved:
    links are never followed out of the volume.

    Raises:
        OSError: the volume is full or read-only.
    """
    placed = Placed()
    _merge(os.fsencode(source), os.fsencode(target), overwrite, placed)
    return placed


def _merge(source: bytes, target: bytes, overwrite: bool, placed: Placed) -> None:
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        place_at = os.path.join(target, entry.name)
        if entry.is_dir(follow_symlinks=False):
            _place_folder(entry.path, place_at, overwrite, placed)
        else:
            _place_file(entry.path, place_at, overwrite, placed)


def _place_folder(source: bytes, target: bytes, overwrite: bool, placed: Placed) -> None:
    if not os.path.lexists(target):
        files = sum(len(names) for _, _, names in os.walk(source))
        _with_write(source, lambda: os.rename(source, target))
        placed.new += files
    elif _is_folder(target):
        _merge(source, target, overwrite, placed)
    else:
        placed.blocked += 1


def _place_file(source: bytes, target: bytes, overwrite: bool, placed: Placed) -> None:
    try:
        os.link(source, target, follow_symlinks=False)  # unlike rename, it replaces nothing
    except FileExistsError:
        if _is_folder(target):
            placed.blocked += 1
        elif overwrite:
            os.replace(source, target)
            placed.replaced += 1
        else:
            placed.kept += 1
    else:
        os.unlink(source)
        placed.new += 1


def _is_folder(path: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _with_write(folder: bytes, move: Callable[[], None]) -> None:
    """Moving a folder writes to it; users have read-only ones."""
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    if mode & stat.S_IRWXU == stat.S_IRWXU:
        move()
        return
    os.chmod(folder, mode | stat.S_IRWXU)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        move()
    finally:
        os.fchmod(descriptor, mode)
        os.close(descriptor)


def clear(folder: Path) -> None:
    """Remove a folder with everything in it, also what is read-only; none there is fine."""
    if not os.path.lexists(folder):
        return
    for root, names, _ in os.walk(os.fsencode(folder)):
        for name in (*names, b"."):
            path = os.path.join(root, name)
            if not os.path.islink(path):
                os.chmod(path, stat.S_IRWXU)
    shutil.rmtree(os.fsencode(folder))
