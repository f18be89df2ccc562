"""Reading the file and the environment; whatever is wrong becomes one ``SettingsError``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from accounting.config.model import Settings
from accounting.config.reference import KNOWN
from accounting.config.setting import PREFIX, Setting
from accounting.errors import SettingsError
from notebooks_settings.document import SERVICE_LINK, Refused, nearest, read_mapping

CONFIG = f"{PREFIX}CONFIG"
REFERENCE = "docs/settings.md"
_SHOWN = 60


def load(path: Path | None = None) -> Settings:
    """Read the file, if there is one, and the environment.

    Args:
        path: the YAML file; ``ACCOUNTING_CONFIG`` if not given.

    Raises:
        SettingsError: a file that cannot be read, an unknown name, or a wrong value.
    """
    if path is None and os.environ.get(CONFIG):
        path = Path(os.environ[CONFIG])
    _refuse_unknown_names(os.environ)
    given = _read(path) if path else {}
    try:
        return Settings(**given)
    except ValidationError as exc:
        raise _wrong(exc) from None  # its text repeats values, secret ones too


def _refuse_unknown_names(names: Mapping[str, str]) -> None:
    known = [setting.env for setting in KNOWN.values()]
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in {*known, CONFIG}:
            continue
        if not SERVICE_LINK.fullmatch(upper.removeprefix(PREFIX)):
            raise SettingsError(f"{name} is not a setting", nearest(upper, known, REFERENCE))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_mapping(path)
    except Refused as exc:
        raise SettingsError(exc.message, exc.cure) from exc.__cause__
    return _known_only(content, path)


def _known_only(content: dict[Any, Any], path: Path) -> dict[str, Any]:
    """The file's values without those that are left empty."""
    groups = {known.partition(".")[0] for known in KNOWN if "." in known}
    for name, value in content.items():
        if name in groups and isinstance(value, dict):
            for inner in value:
                _refuse_unknown_key(f"{name}.{inner}", path)
        elif name in groups and value is not None:
            example = next(s for s in KNOWN.values() if s.path.startswith(f"{name}."))
            raise SettingsError(
                f"'{name}' in the settings file {path} is not a mapping",
                f"write its settings below it, such as '{example.path.split('.')[1]}: …'",
            )
        elif name not in groups:
            _refuse_unknown_key(str(name), path)
    return {
        name: {k: v for k, v in value.items() if v is not None} if name in groups else value
        for name, value in content.items()
        if value is not None
    }


def _refuse_unknown_key(key: str, path: Path) -> None:
    if key not in KNOWN:
        raise SettingsError(
            f"'{key}' in the settings file {path} is not a setting", nearest(key, KNOWN, REFERENCE)
        )


def _wrong(exc: ValidationError) -> SettingsError:
    """The first wrong value in full, the others by name; secrets are never repeated."""
    problems = exc.errors(include_url=False, include_context=False)
    first, *others = problems
    setting = _setting_at(first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if setting is None:  # a group's own rule names its settings itself
        return SettingsError(message, f"see {REFERENCE}")
    what = message[0].lower() + message[1:]
    value = "" if setting.is_secret else f"{_short(first['input'])} "
    if "://" in value and "@" in value:  # an address with a password
        value = ""
    if not what.startswith(("is ", "must ", "holds ")):
        what = f"is wrong: {what}"
    more = sorted({s.env for other in others if (s := _setting_at(other["loc"]))} - {setting.env})
    return SettingsError(
        f"{setting.env}: {value}{what}" + (f" (and see {', '.join(more)})" if more else ""),
        f"for example {setting.env}={setting.example}",
    )


def _setting_at(location: tuple[int | str, ...]) -> Setting | None:
    parts = [str(part) for part in location]
    return KNOWN.get(".".join(parts[:2])) or KNOWN.get(parts[0] if parts else "")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
