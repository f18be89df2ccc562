"""What every file of the project keeps to, beside the linter's rules."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("accounting", "hub", "notebooks_settings", "ssm")
CHECKED = (*PACKAGES, "bench", "docs", "legacy", "migrations", "tests")
MOST_MODULES = 14
MOST_LINES = 530
FILES = sorted(file for folder in CHECKED for file in (ROOT / folder).rglob("*.py"))
FILES = [file for file in FILES if "node_modules" not in file.parts]


def test_what_is_silenced_says_why() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"# noqa: [A-Z0-9, ]*[A-Z0-9]\s*$", line)
    ]
    assert silent == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_holds_more_modules_than_one_can_survey(package: str) -> None:
    rooms = [ROOT / package, *(p for p in (ROOT / package).rglob("*") if p.is_dir())]
    counts = {str(room.relative_to(ROOT)): len(list(room.glob("*.py"))) for room in rooms}
    assert {room: count for room, count in counts.items() if count > MOST_MODULES + 1} == {}


def test_the_map_names_every_room_and_nothing_that_is_gone() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    layout = text.partition("## Layout")[2].partition("## How it measures")[0]
    named = re.findall(r"`([a-z]\w*(?:/\w+)*)(?:\.py|/)?`", layout)
    rooms = {room.parent for package in PACKAGES for room in (ROOT / package).rglob("__init__.py")}
    words = {part for name in named for part in name.split("/")}
    assert {str(room.relative_to(ROOT)) for room in rooms if room.name not in words} == set()
    there = [f"/{file.relative_to(ROOT).with_suffix('')}/" for file in FILES]
    gone = [name for name in named if "/" in name and not any(f"/{name}/" in p for p in there)]
    assert gone == []


def test_no_package_turns_its_formatter_off() -> None:
    marks = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in FILES
        if file.relative_to(ROOT).parts[0] in PACKAGES
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"# fmt: (skip|off)", line)
    ]
    assert marks == []


def test_no_module_is_longer_than_one_can_read_at_once() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in FILES}
    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


def test_no_test_gives_an_answer_only_httpx_s_five_seconds() -> None:
    """On a busy machine they are too few; a request without its own timeout gets them."""
    tests = [file for file in FILES if file.is_relative_to(ROOT / "tests")]
    hasty = [f"{file.relative_to(ROOT)}:{line}" for file in tests for line in _hasty(file)]
    assert hasty == []


def _hasty(file: Path) -> Iterator[int]:
    """The lines on which httpx is called without a timeout."""
    verbs = {"get", "post", "put", "delete", "request", "stream", "Client", "AsyncClient"}
    for call in ast.walk(ast.parse(file.read_text())):
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="httpx"), attr=verb), keywords=given
            ):
                if verb in verbs and not any(word.arg in ("timeout", None) for word in given):
                    yield call.lineno
