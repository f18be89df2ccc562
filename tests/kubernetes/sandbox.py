"""Runs a pod's first container as a process: its command, environment and volumes, by bubblewrap.

The process sees the machine's programs read-only and the network of the machine, listens on the
pod's own loopback address, and finds its volumes where the manifest mounts them.
"""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.store import Document, Store

ROOT = Path(__file__).resolve().parents[2]
_OWN = ("dev", "home", "mnt", "proc", "run", "sys", "tmp")


class Sandbox:
    """The process of one pod. `folder` holds its log and its volumes without a claim."""

    def __init__(self, pod: Document, store: Store, claims: Path, folder: Path) -> None:
        self.pod = pod
        self._store = store
        self._claims = claims
        self._folder = folder
        folder.mkdir(parents=True)
        self.log = folder / "log"
        self.last_words = folder / "termination-log"
        self.last_words.touch()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, address: str) -> None:
        container = self.pod["spec"]["containers"][0]
        command = [*(container.get("command") or []), *(container.get("args") or [])]
        environment = self._environment(container, address)
        arguments = [*_machine(), *self._mounts(container), "--", *command]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["bwrap", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def ended(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)  # and with it all that it started
            self._process.wait()

    def refresh(self) -> None:
        """Write the files of the secrets anew, as the kubelet does after a change."""
        for volume in self.pod["spec"].get("volumes") or []:
            if "secret" in volume:
                self._secret(volume)

    def _environment(self, container: Document, address: str) -> dict[str, str]:
        programs = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        found = {"PATH": programs, "HOME": "/home/jovyan", "LANG": "C.UTF-8"}
        for entry in container.get("env") or []:
            found[entry["name"]] = self._value(entry)
        # all the machine's addresses would be too many: a pod has one
        return {key: value.replace("//0.0.0.0", f"//{address}") for key, value in found.items()}

    def _value(self, entry: Document) -> str:
        source = (entry.get("valueFrom") or {}).get("secretKeyRef")
        if not source:
            return entry.get("value") or ""
        namespace = self.pod["metadata"]["namespace"]
        data = self._store.get("secrets", namespace, source["name"])["data"]
        return base64.b64decode(data[source["key"]]).decode()

    def _mounts(self, container: Document) -> Iterator[str]:
        volumes = {volume["name"]: volume for volume in self.pod["spec"].get("volumes") or []}
        mounts = container.get("volumeMounts") or []
        for mount in sorted(mounts, key=lambda mount: str(mount["mountPath"])):
            place = os.path.realpath(mount["mountPath"])
            source = self._source(volumes[mount["name"]]) / (mount.get("subPath") or "")
            source.mkdir(parents=True, exist_ok=True)
            yield from ("--ro-bind" if mount.get("readOnly") else "--bind", str(source), place)
        yield from ("--bind", str(self.last_words), "/dev/termination-log")
        workdir = container.get("workingDir") or "/home/jovyan"
        yield from ("--dir", workdir, "--chdir", workdir)

    def _source(self, volume: Document) -> Path:
        claim = volume.get("persistentVolumeClaim")
        if claim:
            return Path(self._claims, self.pod["metadata"]["namespace"], claim["claimName"])
        if "secret" in volume:
            self._secret(volume)
        return Path(self._folder, "volumes", volume["name"])

    def _secret(self, volume: Document) -> None:
        folder = self._folder / "volumes" / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        found = self._store.find(
            "secrets", self.pod["metadata"]["namespace"], volume["secret"]["secretName"]
        )
        data = (found or {}).get("data") or {}
        for gone in {path.name for path in folder.iterdir()} - set(data):
            (folder / gone).unlink()
        for key, value in data.items():
            fresh = folder.parent / f".{volume['name']}-{key}"
            fresh.write_bytes(base64.b64decode(value))
            fresh.chmod(volume["secret"].get("defaultMode", 0o644))  # Kubernetes' own default
            fresh.rename(folder / key)


def _machine() -> Iterator[str]:
    """Everything of the machine that is no one's data, read-only; fresh folders for the rest."""
    for entry in sorted(Path("/").iterdir()):
        if entry.is_symlink():
            yield from ("--symlink", str(entry.readlink()), str(entry))
        elif entry.is_dir() and entry.name not in _OWN:
            yield from ("--ro-bind", str(entry), str(entry))
    yield from ("--dev", "/dev", "--proc", "/proc")
    for folder in ("/home", "/mnt", "/run", "/tmp"):  # noqa: S108 - empty ones inside
        yield from ("--tmpfs", folder)
    for needed in dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix)):
        yield from ("--ro-bind", needed, needed)
    yield from ("--unshare-pid", "--die-with-parent")
