"""One setting: its names in the environment and in the file, and its example."""

import json
from typing import NamedTuple

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from notebooks_settings.values import seconds

PREFIX = "ACCOUNTING_"


def variable(path: str) -> str:
    """The environment variable of a setting, from its place in the file."""
    return PREFIX + path.replace(".", "__").upper()


class Setting(NamedTuple):
    """One setting as the reference shows it; ``path`` is its place in the file."""

    path: str
    field: FieldInfo

    @property
    def env(self) -> str:
        """Its environment variable."""
        return variable(self.path)

    @property
    def example(self) -> str:
        """An example as the environment would have it."""
        example = (self.field.examples or [""])[0]
        return shown(example)

    @property
    def is_duration(self) -> bool:
        """Whether it is a span of time."""
        checks = (check for check in self.field.metadata if isinstance(check, BeforeValidator))
        return any(check.func is seconds for check in checks)

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be repeated."""
        extra = self.field.json_schema_extra
        return isinstance(extra, dict) and bool(extra.get("secret"))


def shown(value: object) -> str:
    """A value as the environment would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return "" if value is None else str(value)
