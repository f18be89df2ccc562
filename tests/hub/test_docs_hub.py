"""The pages about hub/ are those of the code, and the tests that they name are there."""

import importlib
import re
import sys
from typing import Any

import pytest

from tests.hub.rig import ROOT
from tests.test_docs_rules import functions_of

sys.path.insert(0, str(ROOT / "docs"))
traits: Any = importlib.import_module("traits")

TRAPS = (ROOT / "docs" / "hub-traps.md").read_text(encoding="utf-8")
CHECKIN = traits.PAGE.read_text(encoding="utf-8")


def test_each_of_the_fourteen_traps_names_its_tests() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", TRAPS, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 15))
    for _, named in rows:
        tests = re.findall(r"`(tests/hub/\w+\.py)::(\w+)`", named)
        assert tests
        assert {test for file, test in tests if test not in functions_of(file)} == set()


def test_every_setting_is_described_on_the_page() -> None:
    assert traits.page() == CHECKIN
    for kind in traits.CLASSES:
        for name, trait in traits.settings(kind).items():
            assert str(trait.help).strip(), f"{kind.__name__}.{name} has no help"
            assert re.search(rf"### `c\.\w+\.{name}`\n", CHECKIN)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "docs/hub").glob("*.py")))
def test_every_piece_of_configuration_is_named_and_used_by_a_test(name: str) -> None:
    pages = (ROOT / "docs").glob("*.md")
    assert any(f"(hub/{name}.py)" in page.read_text("utf-8") for page in pages)
    using = [
        path for path in (ROOT / "tests").rglob("*.py") if f'"{name}"' in path.read_text("utf-8")
    ]
    assert using
