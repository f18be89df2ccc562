"""Settings of the package's own programs: the environment, and one YAML file; see ``load``."""

import difflib
import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from hub.program.failure import WrongSetting

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
# Kubernetes gives every pod such variables for the services around it.
_SERVICE_LINK = re.compile(r".*(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_\w+)?)")


class ProgramSettings(BaseSettings):
    """What the settings of each program are made of: the environment wins over the file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then what the file says (which is handed in as arguments)."""
        return env_settings, init_settings


Model = TypeVar("Model", bound=ProgramSettings)


def load(model: type[Model], path: Path | None = None) -> Model:
    """Read the file, if there is one, and the environment.

    Args:
        model: whose settings; its ``env_prefix`` names the variables.
        path: the YAML file; the variable ``…CONFIG`` if not given.

    Raises:
        WrongSetting: a file that cannot be read, an unknown name, or a wrong value.
    """
    prefix = model.model_config.get("env_prefix", "")
    if path is None and os.environ.get(f"{prefix}CONFIG"):
        path = Path(os.environ[f"{prefix}CONFIG"])
    given = read_mapping(path) if path else {}
    names = {name.upper(): name for name in os.environ if name.upper().startswith(prefix)}
    names.pop(f"{prefix}CONFIG", None)
    known = [prefix + name.upper() for name in model.model_fields]
    _refuse_unknown({n: o for n, o in names.items() if not _SERVICE_LINK.fullmatch(n)}, known)
    _refuse_unknown({str(name): str(name) for name in given}, list(model.model_fields))
    try:
        return model(**given)
    except ValidationError as exc:
        raise _wrong(model, exc) from None  # its text repeats values


def read_mapping(path: Path) -> Mapping[str, object]:
    """The values that a YAML file holds by name.

    Raises:
        WrongSetting: it cannot be read, or is no such file.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise WrongSetting(
            f"the settings file {path} cannot be read: {exc.strerror}", "correct the path"
        ) from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise WrongSetting(f"the settings file {path} is not YAML", "correct the file") from exc
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise WrongSetting(f"the settings file {path} holds no settings", "write 'name: value'")
    return given


def _refuse_unknown(names: Mapping[str, str], known: list[str]) -> None:
    for name, original in sorted(names.items()):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            cure = f"did you mean {near[0]}?" if near else "see the documentation for all names"
            raise WrongSetting(f"{original} is not a setting", cure)


def _wrong(model: type[ProgramSettings], exc: ValidationError) -> WrongSetting:
    error = exc.errors(include_url=False, include_input=False)[0]
    prefix = model.model_config.get("env_prefix", "")
    if not error["loc"]:
        return WrongSetting(error["msg"].removeprefix("Value error, "), "correct the settings")
    name = str(error["loc"][0])
    variable = prefix + name.upper()
    said = error["msg"].removeprefix("Value error, ")
    examples = model.model_fields[name].examples or [""]
    return WrongSetting(f"{variable}: {said}", f"for example {variable}={shown(examples[0])}")


def shown(value: object) -> str:
    """A value as the environment would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return "" if value is None else str(value)


def read_secret(path: Path, what: str) -> str:
    """The text of a secret's file, without white space around it.

    Args:
        path: the file.
        what: what it holds, for the error.

    Raises:
        WrongSetting: it cannot be read, or is empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise WrongSetting(
            f"{what}: {path} cannot be read", "put the file there, readable for this program"
        ) from exc
    if not secret:
        raise WrongSetting(f"{what}: {path} is empty", "put the secret into it")
    return secret


def _seconds(value: object) -> object:
    text = str(value).strip().lower()
    if _DURATION.fullmatch(text):
        return float(sum(float(n) * _UNITS[unit] for n, unit in _PART.findall(text)))
    try:
        number = float(text)
    except ValueError:
        raise ValueError("is not a duration such as 30s, 5m, 6h, 2d or a number") from None
    if not math.isfinite(number):
        raise ValueError("is not a finite duration")
    return number


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON: {exc.msg} at column {exc.colno}") from None


def _list(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return _from_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    return value


def _url(value: str) -> str:
    if not re.match(r"https?://[^/\s@]+(?:/|$)", value):
        if "@" in value:
            raise ValueError("must not hold a user or password (it would get into the logs)")
        raise ValueError("is not an http:// or https:// address")
    return value.rstrip("/")


Duration = Annotated[float, BeforeValidator(_seconds)]
Names = Annotated[tuple[str, ...], BeforeValidator(_list)]
Document = Annotated[dict[str, object], BeforeValidator(_from_json)]
Counts = Annotated[dict[str, int], BeforeValidator(_from_json)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Url = Annotated[str, AfterValidator(_url)]
