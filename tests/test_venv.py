"""What `scripts/venv` asks of pip and of uv."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOG = 'echo "$(basename "$0") $*" >> log\n'
PINNED = (
    "uv==1.2.3 \\\n    --hash=sha256:ab\n    # via a test\nzipp==1.0 \\\n    --hash=sha256:cd\n"
)
CONFIGURED = """:env:.index-url='https://mine.example.org/simple'
global.cert='/etc/own.pem'
global.index-url='https://all.example.org/simple'
"""


class Checkout:
    """A folder with the script, in which pip and uv only note their calls and end as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "requirements").mkdir()
        for name in ("development", "hub5"):
            (folder / "requirements" / f"{name}.lock").write_text(PINNED)
        (folder / "pyproject.toml").touch()
        self.fake("scripts/provide", "exit 0")
        shutil.copy(ROOT / "scripts" / "venv", folder / "scripts" / "venv")
        for venv in (".venv", ".venv-hub5"):
            self.fake(f"{venv}/bin/python", "exit 0")
            self.pip(venv, "")
        self.uv("")

    def fake(self, name: str, does: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{does}\n")
        path.chmod(0o755)

    def pip(self, venv: str, configured: str, does: str = "exit 0") -> None:
        told = f"[ $1 != config ] || {{ cat <<'END'\n{configured}END\nexit; }}"
        self.fake(f"{venv}/bin/pip", f"{told}\n[ $1 != freeze ] || exit 0\n{LOG}{does}")

    def uv(self, does: str) -> None:
        shown = "${UV_DEFAULT_INDEX:+ of $UV_DEFAULT_INDEX}${SSL_CERT_FILE:+ by $SSL_CERT_FILE}"
        self.fake(".venv/bin/uv", f'echo "uv $*{shown}" >> log\n{does}')

    def run(self, what: str) -> tuple[int, list[str]]:
        """The exit code, and the calls of pip and uv."""
        done = subprocess.run(
            [self.folder / "scripts" / "venv", what],
            env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(self.folder)},
            capture_output=True,
            check=False,
        )
        return done.returncode, (self.folder / "log").read_text().splitlines()


OURS = "--no-deps --no-build-isolation -e ."
LOCKED = "--no-deps --require-hashes -r requirements/development.lock"
OLDER = "--no-deps --require-hashes -r requirements/hub5.lock"
BY_UV = "uv pip install --python .venv"
BY_PIP = "pip install --no-compile"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_pip_brings_the_pinned_uv_which_installs_the_rest(checkout: Checkout) -> None:
    checkout.pip(".venv", "", '[ ! -r "${6:-}" ] || cat "$6" >> log')
    code, called = checkout.run("development")
    assert code == 0
    assert called[0].startswith(f"{BY_PIP} --no-deps --require-hashes -r /dev/fd/")
    assert called[1:] == [
        *(line for line in PINNED.splitlines()[:3]),
        f"{BY_UV} {LOCKED}",
        f"{BY_UV} {OURS}",
    ]


def test_uv_asks_the_index_that_pip_is_told_of(checkout: Checkout) -> None:
    checkout.pip(".venv", CONFIGURED)
    code, called = checkout.run("development")
    told = " of https://mine.example.org/simple by /etc/own.pem"
    assert (code, called[1:]) == (0, [f"{BY_UV} {LOCKED}{told}", f"{BY_UV} {OURS}{told}"])


def test_where_uv_fails_pip_installs(checkout: Checkout) -> None:
    checkout.uv("exit 2")
    code, called = checkout.run("development")
    assert (code, called[2], called[4]) == (0, f"{BY_PIP} {LOCKED}", f"{BY_PIP} {OURS}")


def test_without_uv_the_older_hub_is_installed_by_pip(checkout: Checkout) -> None:
    (checkout.folder / ".venv" / "bin" / "uv").unlink()
    assert checkout.run("hub5") == (0, [f"{BY_PIP} {OLDER}"])


def test_where_both_fail_it_fails_and_begins_anew_the_next_time(checkout: Checkout) -> None:
    checkout.uv("exit 2")
    checkout.pip(".venv", "", 'case "$*" in *.lock) exit 1; esac')
    first, called = checkout.run("development")
    second, again = checkout.run("development")
    assert (first, second) == (1, 1)
    assert len(again) == 2 * len(called)


def test_what_is_installed_is_not_installed_again(checkout: Checkout) -> None:
    _, called = checkout.run("development")
    assert checkout.run("development") == (0, called)
