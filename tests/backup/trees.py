"""Trees of files that users might have."""

import hashlib
import os
import random
import stat
from pathlib import Path

ODD_NAMES = [
    b"a b",
    b" ",
    b"-rf",
    b"--exclude=x",
    b"line\nbreak",
    b"tab\t",
    b"quote'\"`$(id)",
    b"star*?[x]{y}",
    b"back\\slash",
    b"#hash",
    b"!negated",
    b"%41",
    b"caf\xc3\xa9",
    b"cafe\xcc\x81",
    b"latin-\xe9-1",
    b"\xff\xfe",
    b"x" * 255,
    "\N{SNOWMAN}".encode(),
    b".hidden",
    b"...",
]


def odd_tree(root: Path, files: int) -> None:
    """So many files below a folder, with odd names, links, rights and times."""
    os.makedirs(root, exist_ok=True)
    folders = [os.fsencode(root)]
    for name in ODD_NAMES:
        folder = os.path.join(folders[0], b"d" + name[:200])
        os.mkdir(folder)
        folders.append(folder)
        for inner in ODD_NAMES:
            write(os.path.join(folder, inner), inner)
    for number in range(files - len(ODD_NAMES) ** 2):
        folder = folders[number % len(folders)]
        write(os.path.join(folder, b"n%d.ipynb" % number), b"%d" % number * (number % 50))
    top = os.fsencode(root)
    content = random.Random(7).randbytes(3_000_000)  # noqa: S311 - the same in every run
    write(os.path.join(top, b"big"), content)
    os.symlink(b"/etc/passwd", os.path.join(top, b"outside"))
    os.symlink(b"nowhere\n", os.path.join(top, b"dangling"))
    os.link(os.path.join(top, b"big"), os.path.join(top, b"big too"))
    with open(os.path.join(top, b"sparse"), "wb") as sparse:
        sparse.truncate(16_000_000)
        sparse.write(b"end")
    os.makedirs(os.path.join(top, *([b"deep down"] * 60)))
    write(os.path.join(top, *([b"deep down"] * 60), b"inside"), b"deep")
    os.mkfifo(os.path.join(top, b"pipe"))
    os.mkdir(os.path.join(top, b"empty"))
    for mode, name in ((0o555, b"read-only"), (0o700, b"private")):
        os.mkdir(os.path.join(top, name))
        write(os.path.join(top, name, b"inside"), name)
        os.utime(os.path.join(top, name), ns=(10**18, 10**18 + 1))
        os.chmod(os.path.join(top, name), mode)


def write(path: bytes, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))


def picture(root: Path) -> dict[bytes, tuple[int, int | None, object]]:
    """Path → kind, rights, time and content of everything below a folder."""
    top = os.fsencode(root)
    found: dict[bytes, tuple[int, int | None, object]] = {}
    for folder, folders, names in os.walk(top):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            at = None if stat.S_ISLNK(status.st_mode) else status.st_mtime_ns
            found[path[len(top) + 1 :]] = (status.st_mode, at, content)
    return found
