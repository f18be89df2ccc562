"""What a setting's value may be: durations, addresses, names; each refusal says what is wrong."""

import json
import math
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from accounting.records.identity import Privacy
from accounting.records.validation import MAX_BENCHMARK_TYPE, MAX_TEXT

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VO = re.compile(r"/?[^/\s;:]+(?:/[^/\s;:]+)*")
_LABEL = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)=([A-Za-z0-9._-]*)")


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


def _list(value: object) -> object:
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


def _site_name(value: str) -> str:
    if value and not _SITE_NAME.fullmatch(value):
        raise ValueError("is not a GOCDB site name (letters, digits, '.', '_' and '-')")
    return value


def _vo(value: str) -> str:
    if value and not _VO.fullmatch(value):
        raise ValueError("is neither a VO's name nor an FQAN such as /vo/group/Role=role")
    return value


def _label(value: str) -> str:
    if value and not _LABEL.fullmatch(value):
        raise ValueError("is not a label as name=value")
    return value


def _prefix(value: str) -> str:
    if value and not re.fullmatch(r"/(?:[A-Za-z0-9._~@%-]+/?)*", value):
        raise ValueError("is not a path such as /services/accounting/")
    return value.rstrip("/")


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a line break or a control character")
    return value


Duration = Annotated[float, BeforeValidator(seconds)]
Url = Annotated[str, AfterValidator(_url)]
Pattern = Annotated[str, AfterValidator(_pattern)]
VoName = Annotated[str, AfterValidator(_vo)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_one_line)]
SiteName = Annotated[Text, AfterValidator(_site_name)]
Label = Annotated[str, AfterValidator(_label)]
Benchmark = Annotated[str, Field(max_length=MAX_BENCHMARK_TYPE), AfterValidator(_one_line)]
VoMap = Annotated[dict[str, VoName], BeforeValidator(from_json)]
PrivacyMap = Annotated[dict[Pattern, Privacy], BeforeValidator(from_json)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Names = Annotated[frozenset[str], BeforeValidator(_list)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Group(BaseModel):
    """Settings that belong together: one section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
