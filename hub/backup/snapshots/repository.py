"""The restic repository: restic's commands, and its complaints as errors.

::

    Failure
    ├── RepositoryMissing      nothing is there: 'init' makes it, nothing else does
    ├── RepositoryLocked       another run works, or died less than 30 minutes ago
    ├── RepositoryDamaged      content is not what was written
    └── RepositoryUnavailable  no connection, no right, wrong password, and the rest
"""

import json
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hub.program.failure import Failure, WrongSetting
from hub.program.settings import read_secret

PASSWORD, ADDRESS = "password", "repository"
SSH_KEY, KNOWN_HOSTS = "ssh-privatekey", "known_hosts"
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SFTP = re.compile(r"sftp:(?://)?(?:(?P<user>[^@/]+)@)?(?P<host>[^:/]+)(?::(?P<port>\d+)(?=/))?")
_NO_REPOSITORY = ("no such file", "does not exist", "not exist", "404", "NoSuchKey")
_DAMAGE = (
    "repository contains errors",
    "verification failed",
    "does not match",
    "invalid data returned",
    "not found in repository",
    "not found in index",
    "unable to load tree",
    "error loading tree",
    "There were",  # … errors, while restoring
)
INCOMPLETE = 3  # restic: the snapshot was made, but some files could not be read
_LOCKED, _NONE_THERE, _WRONG_PASSWORD = 11, 10, 12  # restic 0.17 and newer tell by exit code
_RETRY_SECONDS = 10.0


class RepositoryMissing(Failure):
    """There is no repository at the address."""


class RepositoryLocked(Failure):
    """Another run holds the lock, longer than was waited for."""


class RepositoryDamaged(Failure):
    """Some content is missing or not what was written."""


class RepositoryUnavailable(Failure):
    """No connection, no permission, a wrong password, or an unknown complaint."""


@dataclass(frozen=True)
class Access:
    """How to reach a repository.

    Attributes:
        repository: restic's address; empty if the secret's file `repository` holds it.
        secrets: the folder of the mounted Secret, see ``BackupSettings.secrets_dir``.
        options: for restic's ``-o``.
        lock_wait_seconds: how long to wait for another's lock.
    """

    repository: str
    secrets: Path
    options: tuple[str, ...] = ()
    lock_wait_seconds: float = 0.0

    def environment(self) -> dict[str, str]:
        """What restic finds in its environment: paths of secrets, and the backend's keys.

        Raises:
            WrongSetting: no password, or no address.
        """
        read_secret(self.secrets / PASSWORD, "the repository's password")
        found = {"RESTIC_PASSWORD_FILE": str(self.secrets / PASSWORD)}
        if (self.secrets / ADDRESS).exists():
            read_secret(self.secrets / ADDRESS, "the repository's address")  # may hold a password
            found["RESTIC_REPOSITORY_FILE"] = str(self.secrets / ADDRESS)
        elif self.repository:
            found["RESTIC_REPOSITORY"] = self.repository
        else:
            raise WrongSetting(
                "NOTEBOOKS_BACKUP_REPOSITORY is not set",
                "for example NOTEBOOKS_BACKUP_REPOSITORY=sftp:backup@backup.example.org:notebooks",
            )
        for path in sorted(self.secrets.iterdir()):
            if _VARIABLE.fullmatch(path.name):
                found[path.name] = read_secret(path, path.name)
        return found

    def backend_options(self) -> list[str]:
        """The options; for sftp also how ssh finds its key and the known hosts."""
        options = list(self.options)
        key = self.secrets / SSH_KEY
        address = _SFTP.match(self.repository)
        if address and key.exists() and not any(o.startswith("sftp.command") for o in options):
            ssh = [
                "ssh",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                f"UserKnownHostsFile={self.secrets / KNOWN_HOSTS}",
                "-i",
                str(key),
            ]
            if address["port"]:
                ssh += ["-p", address["port"]]
            host = address["host"]
            ssh += [f"{address['user']}@{host}" if address["user"] else host, "-s", "sftp"]
            options.append(f"sftp.command={shlex.join(ssh)}")
        return [part for option in options for part in ("-o", option)]


@dataclass(frozen=True)
class Snapshot:
    """A volume at a time.

    Attributes:
        id: restic's.
        at: when it was made.
        host: the namespace.
        tags: what it is a snapshot of.
        paths: the absolute paths in it.
    """

    id: str
    at: datetime
    host: str
    tags: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """What restic said: exit code, data, complaints."""

    code: int
    out: bytes
    complaints: str


@dataclass
class Repository:
    """Runs restic; each method is one of its commands, and waits for locks of others.

    Args:
        access: how to reach it.
        clock: tells Unix time.
        sleep: waits so many seconds.
    """

    access: Access
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def initialize(self) -> bool:
        """Make it unless it is there: whether it was made."""
        try:
            self._restic(["cat", "config"])
        except RepositoryMissing:
            self._restic(["init"])
            return True
        return False

    def unlock(self) -> None:
        """Remove the locks of the dead: of no process, or silent for 30 minutes; no other's."""
        self._restic(["unlock"])

    def snapshots(self, host: str, tag: str = "") -> list[Snapshot]:
        """Those of one namespace, oldest first; with a tag, only those that have it."""
        wanted = ["--tag", tag] if tag else []
        said = self._restic(["snapshots", "--json", "--no-lock", "--host", host, *wanted])
        found = [_snapshot(item) for item in json.loads(said.out) or []]
        return sorted(found, key=lambda snapshot: snapshot.at)

    def backup(
        self, paths: Sequence[bytes], *, host: str, tags: Sequence[str], exclude: Sequence[str]
    ) -> tuple[dict[str, Any], bool]:
        """Make a snapshot.

        Returns:
            restic's summary, and whether every file could be read.
        """
        with tempfile.NamedTemporaryFile() as names:  # any bytes, and no end of them
            names.write(b"".join(path + b"\0" for path in paths))
            names.flush()
            said = self._restic(
                [
                    "backup",
                    "--json",
                    "--host",
                    host,
                    *_tagged(tags),
                    "--one-file-system",
                    "--files-from-raw",
                    names.name,
                    *(f"--exclude={e}" for e in exclude),
                ],
                accepted=(INCOMPLETE,),
            )
        return _summary(said), said.code == 0

    def store(self, content: bytes, name: str, *, host: str, tags: Sequence[str]) -> None:
        """Keep a document."""
        command = [
            "backup",
            "--json",
            "--host",
            host,
            *_tagged(tags),
            "--stdin",
            "--stdin-filename",
            name,
        ]
        self._restic(command, content=content)

    def document(self, snapshot: Snapshot) -> bytes:
        """A document that was kept."""
        return self._restic(["dump", "--no-lock", snapshot.id, snapshot.paths[0]]).out

    def restore(self, snapshot: str, target: Path, include: Sequence[str] = ()) -> None:
        """Write a snapshot's files below a folder, and read them again.

        Args:
            snapshot: its id.
            target: the folder; the absolute paths of the snapshot begin there.
            include: absolute paths, restic's patterns; everything if empty.
        """
        wanted = [f"--include={pattern}" for pattern in include]
        self._restic(["restore", snapshot, "--target", str(target), "--verify", *wanted])

    def forget(self, host: str, policy: Sequence[str]) -> int:
        """Forget and prune by policy, for each claim of a namespace: how many were forgotten."""
        said = self._restic(
            ["forget", "--json", "--host", host, "--group-by", "host,tags", "--prune", *policy]
        )
        groups, _ = json.JSONDecoder().raw_decode(said.out.decode() or "[]")
        return sum(len(group["remove"] or []) for group in groups)

    def check(self, part: int, parts: int) -> None:
        """Check the structure, and read one part of the data."""
        self._restic(["check", f"--read-data-subset={part}/{parts}"])

    def stored_bytes(self) -> int:
        """What everything takes in the repository."""
        said = self._restic(["stats", "--json", "--no-lock", "--mode", "raw-data"])
        return int(json.loads(said.out)["total_size"])

    def _restic(
        self, command: list[str], *, content: bytes | None = None, accepted: tuple[int, ...] = ()
    ) -> Said:
        """Run it until no lock of another is in the way, or the wait is over."""
        until = self.clock() + self.access.lock_wait_seconds
        while True:
            try:
                return self._tried(command, content, accepted)
            except RepositoryLocked:
                self._run(["unlock"], None)  # the holder may have died
            try:
                return self._tried(command, content, accepted)
            except RepositoryLocked:
                if self.clock() >= until:
                    raise
            self.sleep(_RETRY_SECONDS)

    def _tried(self, command: list[str], content: bytes | None, accepted: tuple[int, ...]) -> Said:
        said = self._run(command, content)
        if said.code == 0 or said.code in accepted:
            return said
        raise failure_of(said, self.access.environment())

    def _run(self, command: list[str], content: bytes | None) -> Said:
        try:
            done = subprocess.run(  # noqa: S603 - no shell
                ["restic", "--quiet", "--cleanup-cache", *self.access.backend_options(), *command],  # noqa: S607 - found on PATH
                env={**os.environ, **self.access.environment()},
                input=content if content is not None else b"",
                capture_output=True,
                check=False,
            )
        except FileNotFoundError as exc:
            raise Failure("restic is not installed", "install the package restic") from exc
        return Said(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def failure_of(said: Said, secrets: dict[str, str]) -> Failure:
    """Restic's complaint as an error that tells the operator what to do.

    Args:
        said: what it said.
        secrets: its environment; no value of it gets into the error.
    """
    text = said.complaints
    if said.code == _LOCKED or "already locked" in text:
        return RepositoryLocked(
            f"the repository is locked: {_line(text, 'locked', secrets)}",
            "wait for the other run; if there is none, 30 minutes after its end the lock is"
            " removed by itself",
        )
    if said.code == _WRONG_PASSWORD or "wrong password" in text:
        return RepositoryUnavailable(
            "the repository's password is wrong", "put the right one into the secret's 'password'"
        )
    is_missing = "Is there a repository" in text and any(sign in text for sign in _NO_REPOSITORY)
    if said.code == _NONE_THERE or is_missing:
        return RepositoryMissing(
            "there is no repository at the address",
            "correct the address, or run 'notebooks-backup init' to make a new one",
        )
    if any(sign in text for sign in _DAMAGE):
        return RepositoryDamaged(
            f"the repository is damaged: {_line(text, '', secrets)}",
            "see 'A damaged repository' in docs/backup.md; older snapshots may be whole",
        )
    return RepositoryUnavailable(
        f"restic failed: {_line(text, 'Fatal', secrets)}",
        "see whether the repository can be reached, and its keys and space",
    )


def _line(text: str, sign: str, secrets: dict[str, str]) -> str:
    """The first line with a sign, else the last one, without secrets."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    line = next((line for line in lines if sign and sign in line), lines[-1])
    line = _CREDENTIALS.sub("…@", line).removeprefix("Fatal: ")
    for value in secrets.values():
        line = line.replace(value, "…")
    return line[:300]


def _tagged(tags: Sequence[str]) -> list[str]:
    return [part for tag in tags for part in ("--tag", tag)]


def _summary(said: Said) -> dict[str, Any]:
    for line in reversed(said.out.splitlines()):
        message = json.loads(line)
        if message.get("message_type") == "summary":
            return dict(message)
    raise RepositoryUnavailable(
        "restic made a backup but said nothing about it", "use restic 0.14 or newer"
    )


def _snapshot(item: dict[str, Any]) -> Snapshot:
    at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", item["time"]))
    return Snapshot(
        item["id"], at, item["hostname"], tuple(item.get("tags") or ()), tuple(item["paths"])
    )
