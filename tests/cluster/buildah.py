"""Images as buildah makes them: over a Debian that the test makes, without a daemon, as root.

The bases of the Dockerfile lie in registries. A Debian with Python and the machine's authorities
stands in their place; every step of the Dockerfile is then the real one. Layers are kept as
overlays where the kernel mounts them, otherwise as copies, which need far more room and time.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NEEDED = ("buildah", "mmdebstrap", "bwrap")
_BASE, _UV = "localhost/base:1", "localhost/uv:1"
_AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_TRUST = ("SSL_CERT_FILE", "PIP_CERT")


@dataclass(frozen=True)
class Image:
    """A built image: its unpacked files, and how a container engine would run it."""

    root: Path
    config: dict[str, Any]

    @cached_property
    def user(self) -> list[str]:
        """Number of the user, and of the group (the user's own if the image names none)."""
        user, _, group = str(self.config["User"]).partition(":")
        return [user, group or user]

    @cached_property
    def program(self) -> list[str]:
        """What runs, before arguments."""
        return list(self.config.get("Entrypoint") or [])

    def inside(self, *command: str, data: Path | None = None, **environment: str) -> list[str]:
        """A command as process 1 in the image: its user, its environment, a read-only root.

        Args:
            command: what runs.
            data: a folder that may be written, where the image works; beside it only /tmp can.
            environment: more of it.
        """
        place = self.config.get("WorkingDir") or "/"
        user, group = self.user
        given = dict(line.split("=", 1) for line in self.config["Env"]) | environment
        names = [argument for name in given for argument in ("--setenv", name, given[name])]
        writable = ["--bind", str(data), place] if data else []
        return [
            *("bwrap", "--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", *writable, "--remount-ro", "/"),  # noqa: S108 - of its own
            *("--unshare-user", "--uid", user, "--gid", group, "--cap-drop", "ALL"),
            *("--unshare-pid", "--as-pid-1", "--die-with-parent", "--clearenv", *names),
            *("--setenv", "HOME", "/tmp", "--chdir", place, "--", *command),  # noqa: S108 - inside the image
        ]

    def contents(self, *below: str) -> dict[str, str]:
        """Each file below some folders, by its path: its mode and its content's digest."""
        found = {}
        for path in (path for folder in below for path in (self.root / folder).rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_file():
                digest = sha256(path.read_bytes()).hexdigest()
                found[name] = f"{path.stat().st_mode:o} {digest}"
        return found

    def megabytes(self, below: str = ".") -> int:
        """How large the files of a folder are; a file with two names counts once."""
        found = (path.lstat() for path in (self.root / below).rglob("*"))
        return sum({one.st_ino: one.st_size for one in found}.values()) // 10**6


@dataclass(frozen=True)
class Store:
    """Images in a folder of a test's own."""

    folder: Path

    @cached_property
    def driver(self) -> str:
        """How layers are kept."""
        try:
            self._buildah(
                "mount", self._buildah("from", "scratch", driver="overlay"), driver="overlay"
            )
        except AssertionError:
            return "vfs"
        return "overlay"

    def make_bases(self) -> None:
        """A Debian with Python, of the machine's release, and an image that holds uv."""
        tree = self.folder / "debian"
        command = ["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", "--quiet"]
        self._run([*command, _codename(), tree])
        shutil.copy("/" + _AUTHORITIES, tree / _AUTHORITIES)
        self._make(_BASE, tree, "/")
        shutil.rmtree(tree)
        self._make(_UV, Path(sys.executable).with_name("uv"), "/uv")

    def build(self, target: str, tag: str, *options: str) -> Image:
        """Build a target of the Dockerfile as ``localhost/TAG``, and unpack it."""
        bases = {"PYTHON_IMAGE": _BASE, "UV_IMAGE": _UV, "HUB_IMAGE": _BASE}
        given = [a for key, value in bases.items() for a in ("--build-arg", f"{key}={value}")]
        named = ["--target", target, "--tag", f"localhost/{tag}", "--format", "oci"]
        # Without layers of its own cache: a stage from there is empty to `RUN --mount=from=`.
        self._buildah("bud", "--pull-never", *named, *given, *options, ROOT)
        container = self._buildah("from", "--pull-never", f"localhost/{tag}")
        about = json.loads(self._buildah("inspect", "--type", "image", f"localhost/{tag}"))
        return Image(Path(self._buildah("mount", container)), about["OCIv1"]["config"])

    def base(self) -> Image:
        """What all images stand on here."""
        return Image(Path(self._buildah("mount", self._buildah("from", _BASE))), {})

    def _make(self, name: str, content: Path, place: str) -> None:
        container = self._buildah("from", "scratch")
        self._buildah("add", "--quiet", container, content, place)
        for key in _TRUST:
            self._buildah("config", "--env", f"{key}=/{_AUTHORITIES}", container)
        self._buildah("commit", "--quiet", "--rm", container, name)

    def remove(self) -> None:
        """Unmount and delete all of it."""
        self._buildah("umount", "--all")
        self._buildah("rm", "--all")
        shutil.rmtree(self.folder)

    def _buildah(self, *arguments: str | Path, driver: str = "") -> str:
        places: list[str | Path] = ["--root", self.folder / "images"]
        places += ["--runroot", self.folder / "run", "--storage-driver", driver or self.driver]
        return self._run(["buildah", *places, *arguments])

    def _run(self, command: list[str | Path]) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)},
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout.strip()


def _codename() -> str:
    lines = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return next(value.strip('"') for key, _, value in lines if key == "VERSION_CODENAME")
