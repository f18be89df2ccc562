"""What a setting of the accounting may be: names, labels, maps; refusals say what is wrong."""

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from accounting.records.identity import Privacy
from accounting.records.validation import MAX_BENCHMARK_TYPE, MAX_TEXT
from notebooks_settings.values import Pattern, from_json, listed

V = TypeVar("V", str, Path)
_SITE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VO = re.compile(r"/?[^/\s;:]+(?:/[^/\s;:]+)*")
_LABEL = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?)=([A-Za-z0-9._-]*)")


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


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset({"authorization", "host", "content-length", "content-type", "accept-encoding"})


def _headers(value: dict[str, V]) -> dict[str, V]:
    for name, content in value.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _OURS:
            raise ValueError(f"the header {name} is set by this program: see token_file and user")
        text = str(content)
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError(f"the header {name} must have one line of plain text")
    return value


_MATCHER = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*")\s*')


def _matchers(value: str) -> str:
    """PromQL's own syntax, in one spelling; the pods' own labels have settings of their own."""
    found: list[str] = []
    at = 0
    text = value.strip().removeprefix("{").removesuffix("}").strip().rstrip(",")
    while at < len(text):
        matcher = _MATCHER.match(text, at)
        if not matcher or (found and text[at - 1] != ","):
            raise ValueError('is not a list of matchers such as cluster="production"')
        if matcher[1] in {"namespace", "pod", "container", "uid", "__name__"}:
            raise ValueError(f"{matcher[1]} has a setting of its own")
        found.append("".join(matcher.groups()))
        at = matcher.end() + 1
        if matcher.end() < len(text) and text[matcher.end()] != ",":
            raise ValueError('is not a list of matchers such as cluster="production"')
    return ",".join(found)


Headers = Annotated[dict[str, str], BeforeValidator(from_json), AfterValidator(_headers)]
HeaderFiles = Annotated[dict[str, Path], BeforeValidator(from_json), AfterValidator(_headers)]
Parameters = Annotated[dict[str, str], BeforeValidator(from_json)]
Matchers = Annotated[str, AfterValidator(_matchers)]
VoName = Annotated[str, AfterValidator(_vo)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_one_line)]
SiteName = Annotated[Text, AfterValidator(_site_name)]
Label = Annotated[str, AfterValidator(_label)]
Benchmark = Annotated[str, Field(max_length=MAX_BENCHMARK_TYPE), AfterValidator(_one_line)]


class AcceleratorKind(BaseModel):
    """What a resource is, in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["GPU", "FPGA", "Other", "none"] = "GPU"
    model: Text = ""
    share: Annotated[float, Field(gt=0, le=1)] | None = None


AcceleratorMap = Annotated[dict[str, AcceleratorKind], BeforeValidator(from_json)]
VoMap = Annotated[dict[str, VoName], BeforeValidator(from_json)]
PrivacyMap = Annotated[dict[Pattern, Privacy], BeforeValidator(from_json)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Names = Annotated[frozenset[str], BeforeValidator(listed)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Group(BaseModel):
    """Settings that belong together: one section of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
