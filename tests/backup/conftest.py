"""Shared by the backup's tests: repositories behind restic's backends."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from accounting.simulation.stores.engines import free_port
from hub.backup.snapshots.repository import Access, Repository
from tests.hub.process import program
from tests.private import secret

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
PASSWORD = "the password of the repository"


def secrets_in(folder: Path, **files: str) -> Path:
    """A mounted Secret."""
    folder.mkdir(exist_ok=True)
    for name, text in {"password": PASSWORD, **files}.items():
        secret(folder / name, text)
    return folder


@contextmanager
def rest_server(folder: Path, *options: str) -> Iterator[str]:
    """restic's REST protocol, served by rclone: the repository's address."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    command = [
        "rclone",
        "serve",
        "restic",
        "--addr",
        f"127.0.0.1:{port}",
        "--config",
        str(folder.parent / "rclone.conf"),
        *options,
        str(folder),
    ]
    url = f"http://127.0.0.1:{port}/"
    with program(
        "rclone",
        command,
        folder.parent / "rclone.log",
        ready=lambda: httpx.get(url, timeout=5).status_code > 0,
    ):
        yield f"rest:{url}"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTIC_CACHE_DIR", str(tmp_path / "restic-cache"))
    for name in list(os.environ):
        if name.startswith("NOTEBOOKS_BACKUP_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository to be copied: making one takes restic a second or two."""
    folder = tmp_path_factory.mktemp("empty-repository")
    access = Access(str(folder / "repository"), secrets_in(folder / "secrets"))
    assert Repository(access).initialize()
    assert not Repository(access).initialize()
    return folder / "repository"


@pytest.fixture
def local(tmp_path: Path, empty_repository: Path) -> Repository:
    """A new repository in a folder."""
    secrets = secrets_in(tmp_path / "secrets")
    shutil.copytree(empty_repository, tmp_path / "repository")
    return Repository(Access(str(tmp_path / "repository"), secrets))
