"""What a setting of the accounting may be: names, labels, maps; refusals say what is wrong."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from accounting.records.identity import Privacy
from accounting.records.validation import MAX_BENCHMARK_TYPE, MAX_TEXT
from notebooks_settings.values import Pattern, from_json, listed

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
