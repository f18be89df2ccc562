"""Builds stages of the Dockerfile without a container engine: its own steps, under bubblewrap.

The machine's programs stand in for the base images, read-only; what the steps make lies in folders
of the test. Steps that change the base system itself (a user, Debian's packages) are left out.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.images.dockerfile import Dockerfile, Instruction

ROOT = Path(__file__).parent.parent.parent
_MADE = ("src", "dist", "opt")
_SYSTEM = re.compile(r"(groupadd|apt-get) ")
_OF_ETC = ["alternatives", "group", "hosts", "ld.so.cache", "nsswitch.conf", "passwd", "pip.conf"]
_OF_ETC += ["resolv.conf", "ssl", "uv"]


def machine() -> Iterator[str]:
    """bubblewrap's arguments for the machine's programs, read-only, and empty folders beside."""
    for name in ("bin", "lib", "lib64", "sbin", "usr"):
        entry = Path("/", name)
        if entry.is_symlink():
            yield from ("--symlink", str(entry.readlink()), str(entry))
        elif entry.exists():
            yield from ("--ro-bind", str(entry), str(entry))
    yield from ("--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp")  # noqa: S108 - of its own
    for name in _OF_ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from ("--ro-bind", sys.base_prefix, sys.base_prefix)
    yield from ("--unshare-pid", "--die-with-parent", "--new-session")


class StepFailed(Exception):
    """A step of a stage failed; the text says which, and what it printed."""


class Builder:
    """Builds stages once each, into folders of their own.

    Args:
        dockerfile: the stages.
        folder: for what they make.
        arguments: values of ``ARG``, as with ``--build-arg``.
    """

    def __init__(self, dockerfile: Dockerfile, folder: Path, **arguments: str) -> None:
        self._dockerfile = dockerfile
        self._folder = folder
        self._arguments = arguments
        self._built: set[str] = set()

    def other(self, folder: Path, **arguments: str) -> "Builder":
        """One that builds the same with other arguments beside these, into another folder."""
        return Builder(self._dockerfile, folder, **{**self._arguments, **arguments})

    def root(self, stage: str) -> Path:
        """The folder with what a stage made: ``src``, ``dist`` and ``opt``."""
        return self._folder / stage

    def build(self, name: str) -> Path:
        """Build a stage, and first those that it needs: its folder."""
        if name in self._built:
            return self.root(name)
        try:
            self._steps(
                name, {"UV_OFFLINE": "1"}
            )  # what earlier runs fetched, without asking again
        except StepFailed:
            shutil.rmtree(self.root(name))
            self._steps(name, {})
        self._built.add(name)
        return self.root(name)

    def _steps(self, name: str, more: dict[str, str]) -> None:
        stage = self._dockerfile.stages[name]
        for made in _MADE:
            (self.root(name) / made).mkdir(parents=True)
        if stage.base in self._dockerfile.stages:
            below = self.build(stage.base)
            shutil.copytree(
                below, self.root(name), symlinks=True, dirs_exist_ok=True, copy_function=os.link
            )
        environment = self._environment(name) | more
        for instruction in stage.instructions:
            if instruction.name == "COPY":
                self._copy(instruction, self.root(name))
            elif instruction.name == "RUN" and not _SYSTEM.match(instruction.text):
                self._run(instruction, name, environment)

    def _environment(self, name: str) -> dict[str, str]:
        known = {
            key: value
            for i in self._dockerfile.instructions(name)
            if i.name == "ARG"
            for key, _, value in [i.text.partition("=")]
        }
        known |= {key: self._arguments[key] for key in known if key in self._arguments}
        found = {k: v for k, v in os.environ.items() if k.startswith(("UV_", "PIP_", "SSL_"))}
        found |= known
        for i in self._dockerfile.instructions(name):
            if i.name == "ENV":
                for key, value in re.findall(r"(\w+)=(\S+)", i.text):
                    found[key] = re.sub(r"\$\{?(\w+)\}?", lambda m: known.get(m[1], ""), value)
        programs = f"/tools:{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        return found | {"PATH": programs, "HOME": "/root", "UV_CACHE_DIR": "/root/.cache/uv"}

    def _copy(self, instruction: Instruction, root: Path) -> None:
        origin = ROOT
        take: Callable[..., object] = shutil.copy2
        for flag in instruction.flags:
            if flag.startswith("--from="):
                origin, take = self.build(flag.removeprefix("--from=")), os.link
        *sources, target = instruction.text.split()
        place = root / target.lstrip("/") if target.startswith("/") else root / "src" / target
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(found, place, True, ignored, copy_function=take, dirs_exist_ok=True)
            else:
                shutil.copy(found, place)

    def _run(self, instruction: Instruction, name: str, environment: dict[str, str]) -> None:
        mounts = [m for flag in instruction.flags for m in self._mount(flag)]
        for made in _MADE:
            if f"/{made}" not in mounts:
                mounts += ["--bind", str(self.root(name) / made), f"/{made}"]
        # What the base image calls its system is a virtual environment here.
        command = instruction.text.replace("--system --break-system-packages", "--python /opt/base")
        if "/opt/base" in command and not (self.root(name) / "opt" / "base").exists():
            command = f"uv venv --quiet /opt/base && {command}"
        arguments = [*machine(), *mounts, "--chdir", "/src"]
        done = subprocess.run(
            ["bwrap", *arguments, "--", "/bin/sh", "-ec", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StepFailed(f"{name}: {command}\n{done.stdout}\n{done.stderr}")

    def _mount(self, flag: str) -> list[str]:
        given = dict(part.partition("=")[::2] for part in flag.removeprefix("--mount=").split(","))
        target = given["target"]
        if given["type"] == "cache":
            return ["--bind", str(cache()), target]
        origin = given.get("from")
        if origin == "uv":
            return ["--ro-bind", str(Path(sys.executable).with_name("uv")), "/tools/uv"]
        source = (self.build(origin) if origin else ROOT) / given["source"].lstrip("/")
        return ["--ro-bind", str(source), target]


def cache() -> Path:
    """Where uv keeps what it fetched; with ``LINK_MODE=symlink`` what was installed lies there."""
    found = Path(os.environ.get("UV_CACHE_DIR", Path.home() / ".cache" / "uv"))
    found.mkdir(parents=True, exist_ok=True)
    return found


def confined(root: Path, *writable: tuple[Path, str], path: str) -> list[str]:
    """bubblewrap's arguments to run what was built: another user, no rights, a read-only root.

    Args:
        root: what a stage made.
        writable: folders of the machine, and where the process may write them.
        path: where programs are looked for.
    """
    mounts = [argument for place, target in writable for argument in ("--bind", place, target)]
    return [
        *("bwrap", *machine(), "--ro-bind", str(root / "opt"), "/opt"),
        *("--ro-bind", str(cache()), "/root/.cache/uv"),
        *map(str, mounts),
        *("--unshare-user", "--uid", "10001", "--gid", "10001", "--cap-drop", "ALL"),
        *("--clearenv", "--setenv", "PATH", f"{path}:/usr/bin:/bin", "--setenv", "HOME", "/"),
        *("--remount-ro", "/"),
    ]
