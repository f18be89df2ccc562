"""The real programs of a cluster, built from pinned Go modules into a cache.

``modules/`` holds a go.mod and a go.sum for each group of programs that fit together. A build
goes into a folder that is named by its go.sum, so a changed pin builds anew. The first build takes
13 minutes of processor time; the programs take 490 MB.
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

UNAVAILABLE = 75
"""Exit code where what this machine or its network lacks is the cause, not the project."""

# What Go says when modules cannot be fetched. A wrong checksum is no such thing.
_NETWORK = re.compile(
    r"dial tcp|no such host|i/o timeout|TLS handshake|connection re(fused|set)|unexpected EOF"
    r"|proxyconnect|: [45]\d\d |module lookup disabled|Client\.Timeout|stream error"
)
# What Go says where the machine is too small.
_ROOM = re.compile(r"no space left on device|cannot allocate memory|signal: killed")

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


class Unavailable(Exception):
    """A program cannot be built here; the text says what is missing, and what to do."""


def build() -> None:
    """Build what is missing; one builder at a time.

    Raises:
        Unavailable: Go or the network is missing.
        subprocess.CalledProcessError: Go refused to build; it has said why.
    """
    for group in GROUPS:
        home = _home(group)
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name, package in group.packages.items():
                if not (home / name).exists():
                    _build(group, package, home / name)


def _build(group: Group, package: str, target: Path) -> None:
    go = _go(group)
    sys.stdout.write(f"Building {target.name}\n")
    sys.stdout.flush()
    unfinished = target.with_suffix(".unfinished")
    command = [go, "build", "-p", PARALLEL, "-trimpath", "-mod=readonly", f"-tags={group.tags}"]
    flags = f"-ldflags=-s -w {_stamp()}" if "k8s.io/kubernetes/" in package else "-ldflags=-s -w"
    done = subprocess.run(
        [*command, flags, "-o", str(unfinished), package],
        cwd=MODULES / group.folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        if _NETWORK.search(done.stderr):
            msg = f"{target.name} is not built: modules could not be fetched. Try again later."
            raise Unavailable(msg)
        if _ROOM.search(done.stderr):
            msg = f"{target.name} is not built: it needs more memory, or disk (about 8 GB in all)."
            raise Unavailable(msg)
        done.check_returncode()
    unfinished.rename(target)


def _go(group: Group) -> str:
    """Go's path, if it is there and new enough for a group."""
    needed = re.search(
        r"^go (\d+)\.(\d+)", (MODULES / group.folder / "go.mod").read_text(), re.MULTILINE
    )
    assert needed
    wanted = ".".join(needed.groups())
    go = shutil.which("go")
    if go is None:
        msg = f"Go {wanted} or newer builds the cluster's programs; it is not on PATH."
        raise Unavailable(msg)
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True)
    found = re.match(r"go(\d+)\.(\d+)", said.stdout)
    if found is None or tuple(map(int, found.groups())) < tuple(map(int, needed.groups())):
        msg = f"Go {wanted} or newer builds the cluster's programs; here is {said.stdout.strip()}."
        raise Unavailable(msg)
    return go


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


def main() -> int:
    """Build what is missing; the exit code."""
    try:
        build()
    except Unavailable as exc:
        sys.stderr.write(f"{exc}\n")
        return UNAVAILABLE
    except subprocess.CalledProcessError as exc:
        return exc.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
