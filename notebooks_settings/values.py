"""What any setting's value may be: durations, addresses, lists; each refusal says what is wrong."""

import json
import math
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def seconds(value: object) -> object:
    """``6h``, ``1h30m``, ``30s`` or a number of seconds; anything else fails with an example."""
    if isinstance(value, bool):
        raise ValueError("is not a duration")  # noqa: TRY004 - pydantic reports ValueError
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


def from_json(value: object) -> object:
    """A mapping that the environment gives as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON: {exc.msg} at column {exc.colno}") from None


def listed(value: object) -> object:
    """A list that the environment gives as JSON, or as names with commas between them."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return from_json(value)
    return [part.strip() for part in value.split(",") if part.strip()]


def _url(value: str) -> str:
    if not re.match(r"https?://[^/\s@]+(?:/|$)", value):
        if "@" in value:
            raise ValueError("must not hold a user or password (it would get into the logs)")
        raise ValueError("is not an http:// or https:// address")
    return value.rstrip("/")


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"is not a regular expression: {exc}") from None
    return value


Duration = Annotated[float, BeforeValidator(seconds)]
Url = Annotated[str, AfterValidator(_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]
