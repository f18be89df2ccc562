"""The cluster's programs are built, or it is said what is missing for that."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.programs import GROUPS, UNAVAILABLE, Unavailable, build, main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is built yet, and no module can be fetched."""
    monkeypatch.setenv("CLUSTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """A Go of this version that says and does these things."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go").write_text("\n".join(("#!/bin/sh", *lines)))
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin")


def test_without_go_or_with_an_old_one_it_is_said_which_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path / "old", monkeypatch, "echo go1.25.4")
    with pytest.raises(Unavailable, match=r"Go 1\.26 or newer .* here is go1\.25\.4"):
        build()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="not on PATH"):
        build()
    assert main() == UNAVAILABLE


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed")
def test_without_the_modules_it_is_not_the_project_s_fault(tmp_path: Path) -> None:
    try:
        with pytest.raises(Unavailable, match="modules could not be fetched"):
            build()
    finally:
        subprocess.run(["chmod", "--recursive", "u+w", tmp_path], check=True)


def test_what_does_not_build_is_the_project_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ('[ "$1" = build ] || exec echo go1.99.0', "echo main.go:1: undefined: x >&2", "exit 1")
    go(tmp_path / "new", monkeypatch, *lines)
    with pytest.raises(subprocess.CalledProcessError):
        build()
    assert main() == 1
    assert [programs.find(name) for name in GROUPS[0].packages] == [None] * len(GROUPS[0].packages)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("link: mapping output file failed: no space left on device", "more memory, or disk"),
        ("compile: signal: killed", "more memory, or disk"),
        ("k8s.io/api@v0.37.2: reading http://proxy/v0.37.2.zip: 404 Not Found", "be fetched"),
    ],
)
def test_a_machine_that_is_too_small_or_cut_off_is_not_the_project_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, why: str
) -> None:
    lines = ('[ "$1" = build ] || exec echo go1.99.0', f"echo '{told}' >&2", "exit 1")
    go(tmp_path / "small", monkeypatch, *lines)
    with pytest.raises(Unavailable, match=why):
        build()
