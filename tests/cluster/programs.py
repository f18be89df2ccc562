"""The real programs of a cluster, built from pinned Go modules into a cache.

``modules/`` holds a go.mod and a go.sum for each group of programs that fit together. A build
goes into a folder that is named by its go.sum, so a changed pin builds anew. On two cores the
first build takes about 15 minutes; the programs take about 600 MB.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).parent / "modules"
PARALLEL = os.environ.get("CLUSTER_BUILD_JOBS", "2")


@dataclass(frozen=True)
class Group:
    """Programs that are built from one go.mod: its folder, package by program, build tags."""

    folder: str
    packages: dict[str, str]
    tags: str = ""


KUBERNETES = Group(
    "kubernetes",
    {
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-state-metrics": "k8s.io/kube-state-metrics/v2",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    },
)
GROUPS = (
    KUBERNETES,
    Group(
        "prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        tags="remove_all_sd",  # no clouds' service discovery: static targets do
    ),
    Group("actionlint", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"}),
)


def cache() -> Path:
    """Where built programs are kept: ``CLUSTER_CACHE``, or below the user's cache folder."""
    if given := os.environ.get("CLUSTER_CACHE"):
        return Path(given)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "notebooks-accounting" / "cluster"


def find(name: str) -> Path | None:
    """A program's path; None if it was not built."""
    path = _home(_group_of(name)) / name
    return path if path.exists() else None


def program(name: str) -> Path:
    """A program's path.

    Raises:
        FileNotFoundError: It was not built.
    """
    path = find(name)
    if path is None:
        msg = f"{name} is not built: run `make cluster-programs`"
        raise FileNotFoundError(msg)
    return path


def version(module: str, group: str = "kubernetes") -> str:
    """The pinned version of a Go module, such as ``v1.37.2``."""
    text = (MODULES / group / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        msg = f"{group}/go.mod does not require {module}"
        raise LookupError(msg)
    return found[1]


def build() -> None:
    """Build what is missing; one builder at a time."""
    for group in GROUPS:
        home = _home(group)
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name, package in group.packages.items():
                if not (home / name).exists():
                    _build(group, package, home / name)


def _build(group: Group, package: str, target: Path) -> None:
    go = shutil.which("go")
    if go is None:
        sys.exit("Go 1.26 or newer is needed to build the cluster's programs; it is not on PATH.")
    sys.stdout.write(f"Building {target.name}\n")
    sys.stdout.flush()
    unfinished = target.with_suffix(".unfinished")
    command = [go, "build", "-p", PARALLEL, "-trimpath", "-mod=readonly", f"-tags={group.tags}"]
    flags = f"-ldflags=-s -w {_stamp()}" if "k8s.io/kubernetes/" in package else "-ldflags=-s -w"
    subprocess.run(
        [*command, flags, "-o", str(unfinished), package],
        cwd=MODULES / group.folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        check=True,
    )
    unfinished.rename(target)


def _stamp() -> str:
    """Kubernetes' programs ask the linker for their own version; Helm compares it."""
    release = version("k8s.io/kubernetes")
    major, minor, _ = release.removeprefix("v").split(".")
    values = {"gitVersion": release, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(
        f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()
    )


def _group_of(name: str) -> Group:
    return next(group for group in GROUPS if name in group.packages)


def _home(group: Group) -> Path:
    folder = MODULES / group.folder
    pins = (folder / "go.mod").read_bytes() + (folder / "go.sum").read_bytes()
    return cache() / f"{group.folder}-{hashlib.sha256(pins).hexdigest()[:16]}"


if __name__ == "__main__":
    build()
