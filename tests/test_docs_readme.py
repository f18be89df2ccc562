"""What README and docs tell people to type or to open is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README = (ROOT / "README.md").read_text()
TYPED = re.compile(r"^\$ (notebooks-[a-z]+)((?: [a-z]+)*)(.*?)(?:\s+#.*)?$", re.MULTILINE)
COMMANDS = sorted({found for page in PAGES for found in TYPED.findall(page.read_text())})


@pytest.mark.parametrize(("program", "command", "rest"), COMMANDS, ids="".join)
def test_every_command_in_the_pages_exists(program: str, command: str, rest: str) -> None:
    path = Path(sys.executable).with_name(program)
    shown = subprocess.run(
        [path, *command.split(), "--help"], capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage:" in shown.stdout
    assert [one for one in re.findall(r"--[a-z-]+", rest) if one not in shown.stdout] == []


def test_the_pages_name_the_commands_of_all_programs() -> None:
    assert len(COMMANDS) >= 20
    assert {program for program, _, _ in COMMANDS} > {"notebooks-accounting", "notebooks-backup"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_make_target_is_there(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    unknown = [name for name in re.findall(r"`make ([a-z]+)[^`]*`", text) if name not in targets]
    assert (missing, unknown) == ([], [])


def test_the_settings_file_in_the_readme_is_a_good_one(tmp_path: Path) -> None:
    from accounting.config import load  # noqa: PLC0415 - slow, and only used here

    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "settings.yaml"
    file.write_text(block)
    settings = load(file)
    assert settings.site_name == "EXAMPLE-NOTEBOOKS"
    assert settings.scope().namespace == "jupyterhub"


def test_the_flags_in_the_documentation_are_those_that_records_carry() -> None:
    documented = (ROOT / "docs" / "units.md").read_text()
    source = (ROOT / "accounting" / "records" / "builder.py").read_text()
    for flag in ("CPU time unknown", "default VO", "no user", "ended in a gap"):
        assert f"`{flag}`" in documented
        assert f'"{flag}"' in source


def test_nothing_names_a_package_registry() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    hosts = re.compile("files.python" + "hosted|registry.npm" + "js|--index" + "-url")
    found = [
        name
        for name in tracked
        if (ROOT / name).is_file() and hosts.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []
