"""Settings of the package's own programs: the environment, and one YAML file; see ``load``."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from hub.program.failure import WrongSetting
from notebooks_settings import document
from notebooks_settings.exposure import is_open
from notebooks_settings.values import from_json, listed


class ProgramSettings(BaseSettings):
    """What the settings of each program are made of: the environment wins over the file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
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
    is_link = document.SERVICE_LINK.fullmatch  # never refused
    _refuse_unknown({n: o for n, o in names.items() if not is_link(n.removeprefix(prefix))}, known)
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
        return document.read_mapping(path)
    except document.Refused as exc:
        raise WrongSetting(exc.message, exc.cure) from exc.__cause__


def _refuse_unknown(names: Mapping[str, str], known: list[str]) -> None:
    for name, original in sorted(names.items()):
        if name not in known:
            cure = document.nearest(name, known, "the documentation")
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
        WrongSetting: it cannot be read, is empty, or everybody on this machine may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            is_exposed = is_open(os.fstat(file.fileno()))
            secret = file.read().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise WrongSetting(
            f"{what}: {path} cannot be read", "put the file there, readable for this program"
        ) from exc
    if is_exposed:
        raise WrongSetting(
            f"{what}: {path} can be read by everybody on this machine",
            f"chmod 400 {path}, or mode 0440 for the group of the program's user (a pod's fsGroup);"
            " if somebody may have read it, put another secret into it",
        )
    if not secret:
        raise WrongSetting(f"{what}: {path} is empty", "put the secret into it")
    return secret


Names = Annotated[tuple[str, ...], BeforeValidator(listed)]
Document = Annotated[dict[str, object], BeforeValidator(from_json)]
Counts = Annotated[dict[str, int], BeforeValidator(from_json)]
