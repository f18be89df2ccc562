"""All settings, as docs/settings.md shows them and as names are checked against them."""

from collections.abc import Iterator

from pydantic import BaseModel

from accounting.config.model import Settings
from accounting.config.setting import Setting


def settings(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Setting]:
    """All settings, in the order of the reference."""
    for name, field in model.model_fields.items():
        key = "json" if field.validation_alias else name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{key}.")
        else:
            yield Setting(prefix + key, field)


KNOWN = {setting.path: setting for setting in settings()}
