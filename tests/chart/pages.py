"""Pages of docs/ as what they tell people to write into files and to type."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.chart.helm import ROOT

_BLOCK = re.compile(
    r"(?:<!-- file: (?P<about>[^>]*) -->\n)?[ ]*```(?P<kind>yaml|console)\n(?P<text>.*?)\n[ ]*```",
    re.DOTALL,
)


class File(NamedTuple):
    """A file that a page shows.

    Attributes:
        name: what it is called.
        chart: which chart takes it as values; empty if it is something else.
        over: the values file that it is given after; empty if it stands alone.
        text: what it holds.
    """

    name: str
    chart: str
    over: str
    text: str


@dataclass(frozen=True)
class Page:
    """The files and commands of a page, in its order."""

    files: tuple[File, ...]
    commands: tuple[str, ...]


def read(name: str) -> Page:
    """Read a page; every block of YAML must say which file it is."""
    files, commands = [], []
    for block in _BLOCK.finditer((ROOT / "docs" / name).read_text()):
        if block["kind"] == "console":
            lines = [line.strip() for line in block["text"].splitlines()]
            assert all(line.startswith("$ ") for line in lines), lines
            commands += [line.removeprefix("$ ") for line in lines]
        else:
            assert block["about"], f"what file is this? {block['text'][:80]}"
            given = dict(part.split(": ") for part in f"name: {block['about']}".split(", "))
            files.append(
                File(given["name"], given.get("chart", ""), given.get("over", ""), block["text"])
            )
    return Page(tuple(files), tuple(commands))


def write(page: Page, folder: Path) -> None:
    """Put the files of a page into a folder."""
    for file in page.files:
        (folder / file.name).write_text(f"{file.text}\n")
