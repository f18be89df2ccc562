"""Secrets: files whose paths are set."""

import os
from pathlib import Path

from accounting.config.setting import variable
from accounting.errors import SettingsError
from notebooks_settings.exposure import is_open


def read_secret(path: Path, setting: str) -> bytes:
    """The content of a secret's file, without white space around it.

    Args:
        path: the file.
        setting: the setting that names it, such as ``api.token_file``.

    Raises:
        SettingsError: it cannot be read, is empty, or everybody on this machine may read it.
    """
    name = variable(setting)
    try:
        with path.open("rb") as file:
            is_exposed = is_open(os.fstat(file.fileno()))
            content = file.read().strip()
    except OSError as exc:
        raise SettingsError(
            f"{name}: {path} cannot be read: {exc.strerror}",
            "put the file there, readable for this program",
        ) from exc
    if is_exposed:
        raise SettingsError(
            f"{name}: {path} can be read by everybody on this machine",
            f"chmod 400 {path}, or mode 0440 for the group of the program's user; if somebody may"
            " have read it, put another secret into it",
        )
    if not content:
        raise SettingsError(f"{name}: {path} is empty", "put the secret into it")
    return content
