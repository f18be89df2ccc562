"""Settings of the running program itself."""

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field

from accounting.config.values import Group, Url


class ApiSettings(Group):
    """The service's own API."""

    token_file: Path | None = Field(
        default=None,
        description="File with the administrator's token, which the API asks for. `serve` needs "
        "it to listen on more than the loopback.",
        examples=["/etc/notebooks-accounting/token"],
    )
    url: Url | None = Field(
        default=None,
        description="Address of a running service, for `push --url` of a later version.",
        examples=["https://accounting.example.org"],
    )


class LogSettings(Group):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] | None = Field(
        default=None,
        description="Least severity that is logged; if not given, info for `serve` and warning "
        "for all other commands.",
        examples=["info"],
    )
    as_json: bool = Field(
        default=False,
        validation_alias=AliasChoices("json"),
        description="Write one JSON object per line, for log collectors.",
        examples=[True],
    )
