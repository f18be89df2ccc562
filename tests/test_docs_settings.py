import subprocess
import sys
from pathlib import Path

from accounting import config

ROOT = Path(__file__).parent.parent


def test_the_references_of_settings_and_commands_are_those_of_the_code() -> None:
    script = ROOT / "docs" / "generate.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for setting in config.settings():
        assert f"### `{setting.env}`\n" in page
