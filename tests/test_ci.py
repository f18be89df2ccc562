"""What `.ci/run` makes of what `make`, Go and the builder of the cluster's programs answer."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "run"
LOG = 'echo "$(basename "$0") $*" >> "$LOG"\n'


class Checkout:
    """A folder with the script, in which each program only notes its call and ends as told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        shutil.copy(SCRIPT, folder / ".ci" / "run")
        self.programs = folder / "programs"
        for name in ("bash", "dirname", "basename", "timeout", "sleep"):
            self.programs.mkdir(exist_ok=True)
            (self.programs / name).symlink_to(str(shutil.which(name)))
        self.fake("make")
        self.fake("go")
        self.fake("../.venv/bin/python")

    def fake(self, name: str, does: str = "exit 0") -> None:
        path = self.programs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{shutil.which('bash')}\n{LOG}{does}\n")
        path.chmod(0o755)

    def run(self, **environment: str) -> tuple[int, str, list[str]]:
        """The exit code, what was said, and which programs were called."""
        log = self.folder / "log"
        log.touch()
        done = subprocess.run(
            ["bash", self.folder / ".ci" / "run"],
            env={"PATH": str(self.programs), "LOG": str(log), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, log.read_text().splitlines()


BUILDS = "python -m tests.cluster.programs"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_cluster_s_tests_run_after_the_others_once_the_programs_are_built(
    checkout: Checkout,
) -> None:
    assert checkout.run() == (0, "", ["make test", BUILDS, "make cluster-test"])


@pytest.mark.parametrize("what", ["test", "cluster-test"])
@pytest.mark.parametrize("status", [1, 2, 75, 124, 137])
def test_a_failure_of_the_tests_is_the_script_s_own(
    checkout: Checkout, what: str, status: int
) -> None:
    """Also where the tests end as the builder does when it is not the project's fault."""
    checkout.fake("make", f'[ "$1" != {what} ] || exit {status}')
    code, _, called = checkout.run()
    assert code == status
    assert called[-1] == f"make {what}"


def test_without_go_it_says_so_in_one_line_and_passes(checkout: Checkout) -> None:
    (checkout.programs / "go").unlink()
    code, said, called = checkout.run()
    assert (code, called) == (0, ["make test"])
    assert said == "tests/cluster did not run: Go, which builds its programs, is not here.\n"


def test_where_the_programs_cannot_be_built_it_passes_on_why_and_passes(checkout: Checkout) -> None:
    checkout.fake("../.venv/bin/python", "echo 'Go is too old.' >&2; exit 75")
    code, said, called = checkout.run()
    assert (code, called) == (0, ["make test", BUILDS])
    assert said.startswith("Go is too old.\ntests/cluster did not run")


@pytest.mark.parametrize("does", ["exec sleep 60", "exit 137"])
def test_a_build_that_takes_too_long_is_said_and_passes(checkout: Checkout, does: str) -> None:
    checkout.fake("../.venv/bin/python", does)
    code, said, called = checkout.run(CLUSTER_BUILD_TIMEOUT="0.5s")
    assert (code, called) == (0, ["make test", BUILDS])
    assert "took too long" in said


def test_what_does_not_build_fails(checkout: Checkout) -> None:
    checkout.fake("../.venv/bin/python", "exit 1")
    code, said, called = checkout.run()
    assert (code, called) == (1, ["make test", BUILDS])
    assert "failed" in said
