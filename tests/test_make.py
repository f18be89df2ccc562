"""What `make test` runs, in which order, and what of it fails."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"
INSTALLED = ["venv development", "venv hub5", "node", "provide"]
CHECKED = ["ruff check", "ruff format", "mypy", "lint-imports"]
COMPILED = ["python -m pytest --collect-only"]


class Checkout:
    """A folder with the Makefile, in which each program only notes its call and ends as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(MAKEFILE, folder)
        for name in ("venv", "node", "provide"):
            self.fake(f"scripts/{name}")
        for name in ("python", "ruff", "mypy", "lint-imports", "pytest"):
            self.fake(f".venv/bin/{name}")

    def fake(self, name: str, does: str = "") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{does}\necho $(basename $0) $* >> log\n")
        path.chmod(0o755)

    def test(self) -> tuple[int, list[str]]:
        """The exit code, and the calls of programs, in their order."""
        make = ["make", "-C", str(self.folder), "test"]
        done = subprocess.run(
            make, env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False, timeout=60
        )
        log = self.folder / "log"
        return done.returncode, log.read_text().splitlines() if log.exists() else []


def called_of(called: list[str], names: list[str]) -> list[str]:
    return [name for name in names if any(name in call for call in called)]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_everything_is_installed_and_checked_before_the_tests_begin(checkout: Checkout) -> None:
    code, called = checkout.test()
    assert code == 0
    before = [*INSTALLED, *CHECKED, *COMPILED]
    assert called_of(called[:-1], before) == before
    assert called[0] == "venv development"
    assert called[-1].startswith("pytest ")


@pytest.mark.parametrize(
    "failing", ["scripts/venv", "scripts/node", "scripts/provide", "ruff", "mypy", "lint-imports"]
)
def test_no_test_begins_where_one_of_them_fails(checkout: Checkout, failing: str) -> None:
    checkout.fake(failing if "/" in failing else f".venv/bin/{failing}", "exit 3")
    code, called = checkout.test()
    assert code == 2
    assert [call for call in called if call.startswith("pytest ")] == []


def test_a_failing_test_fails(checkout: Checkout) -> None:
    checkout.fake(".venv/bin/pytest", "exit 1")
    assert checkout.test()[0] == 2


def test_what_is_checked_is_checked_while_the_rest_is_installed(checkout: Checkout) -> None:
    """Each waits for the other: one after the other they would wait for ever."""
    for way in ("there", "back"):
        subprocess.run(["mkfifo", checkout.folder / way], check=True)
    checkout.fake("scripts/node", "echo > there; read < back")
    checkout.fake(".venv/bin/mypy", "read < there; echo > back")
    assert checkout.test()[0] == 0
