"""The tests that docs/rules.md names are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULES = [*(f"M{n}" for n in range(1, 13)), *(f"I{n}" for n in range(1, 4))]
RULES += [*(f"D{n}" for n in range(1, 7)), *(f"O{n}" for n in range(1, 9))]
PAGE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_rule_has_its_line_with_a_proof() -> None:
    lines = re.findall(r"^\| ([MIDO]\d+) [^|]+ \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert [rule for rule, _ in lines] == RULES
    assert all("tests/" in proof for _, proof in lines)


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 30
    missing = {f"{file}::{test}" for file, test in named if test not in functions_of(file)}
    assert missing == set()
