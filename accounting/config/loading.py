"""Reading the file and the environment; whatever is wrong becomes one ``SettingsError``."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from accounting.config.model import Settings
from accounting.config.reference import KNOWN
from accounting.config.setting import PREFIX, Setting
from accounting.errors import SettingsError

CONFIG = f"{PREFIX}CONFIG"
_SHOWN = 60

# Kubernetes gives every pod such variables for the services around it: one that is called
# "accounting" must not stop this program.
_SERVICE_LINK = re.compile(
    rf"{PREFIX}(?!.*__)(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?"
    r"|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)"
)


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


def _nearest(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else "see docs/settings.md for all names"


def _refuse_unknown_names(names: Mapping[str, str]) -> None:
    known = [setting.env for setting in KNOWN.values()]
    for name in sorted(names):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in {*known, CONFIG}:
            continue
        if not _SERVICE_LINK.fullmatch(upper):
            raise SettingsError(f"{name} is not a setting", _nearest(upper, known))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise SettingsError(
            f"the settings file {path} cannot be read: {exc.strerror}",
            f"correct --config or {CONFIG}, or the file's permissions",
        ) from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(
            f"the settings file {path} is not UTF-8 at byte {exc.start}", "save it as UTF-8"
        ) from exc
    try:
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(
            f"the settings file {path} is not YAML{where}: {exc.problem}",
            "correct that line; indentation and ': ' matter",
        ) from None
    except yaml.YAMLError as exc:
        raise SettingsError(
            f"the settings file {path} is not YAML: {str(exc).splitlines()[0]}",
            "remove that character",
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            f"the settings file {path} is not a mapping of names to values",
            "for example 'site_name: EGI-NOTEBOOKS'",
        )
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
            f"'{key}' in the settings file {path} is not a setting", _nearest(key, list(KNOWN))
        )


def _wrong(exc: ValidationError) -> SettingsError:
    """The first wrong value in full, the others by name; secrets are never repeated."""
    problems = exc.errors(include_url=False, include_context=False)
    first, *others = problems
    setting = _setting_at(first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if setting is None:  # a group's own rule names its settings itself
        return SettingsError(message, "see docs/settings.md")
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
