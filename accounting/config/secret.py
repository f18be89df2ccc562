"""Secrets: files whose paths are set."""

from pathlib import Path

from accounting.config.setting import variable
from accounting.errors import SettingsError


def read_secret(path: Path, setting: str) -> bytes:
    """The content of a secret's file, without white space around it.

    Args:
        path: the file.
        setting: the setting that names it, such as ``api.token_file``.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    name = variable(setting)
    try:
        content = path.read_bytes().strip()
    except OSError as exc:
        raise SettingsError(
            f"{name}: {path} cannot be read: {exc.strerror}",
            "put the file there, readable for this program",
        ) from exc
    if not content:
        raise SettingsError(f"{name}: {path} is empty", "put the secret into it")
    return content
