"""Parameters of questions: what they may be, and what is said when they are not."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from accounting.lookup.sums.question import By
from accounting.model.time import EARLIEST_AT, LATEST_AT, Month

_LONGEST = 300


def month(text: object) -> Month:
    """``2026-11`` → the month; ValueError with an example otherwise."""
    if isinstance(text, Month):
        return text
    try:
        return Month.parse(_plain(str(text)))
    except ValueError:
        raise ValueError("is not a month; for example 2026-11") from None


def moment(text: object) -> int:
    """ISO 8601 (UTC if it names no zone) or Unix seconds → Unix seconds."""
    said = _plain(str(text))
    try:
        at = float(said)
    except ValueError:
        try:
            found = datetime.fromisoformat(said)
            at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            raise ValueError(
                "is not a time; for example 2026-11-01, 2026-11-01T06:00Z or 1793512800"
            ) from None
    if not EARLIEST_AT <= at <= LATEST_AT:
        raise ValueError("is not a time after 2013")
    return int(at)


def _plain(text: str) -> str:
    if not text.isascii():  # other scripts' digits
        raise ValueError("is not ASCII")
    return text


def _text(value: str) -> str:
    """Anything that a name may be; a database takes neither of the others."""
    if "\0" in value:
        raise ValueError("holds a zero byte")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not Unicode text") from None
    return value


MonthType = Annotated[
    Any,
    BeforeValidator(month),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])$"}),
]
_MomentType = Annotated[Any, BeforeValidator(moment), WithJsonSchema({"type": "string"})]
_Name = Annotated[str, AfterValidator(_text)]

MonthQuery = Annotated[
    MonthType | None,
    Query(description="Only this UTC month.", examples=["2026-11"]),
]
SinceQuery = Annotated[
    _MomentType | None,
    Query(
        description="Only what ends after this time: ISO 8601 (UTC if it names no zone) or Unix "
        "seconds.",
        examples=["2026-11-01T06:00Z"],
    ),
]
UntilQuery = Annotated[
    _MomentType | None,
    Query(description="Only what begins before this time.", examples=["2026-12-01"]),
]
DestinationQuery = Annotated[
    _Name,
    Query(
        max_length=_LONGEST,
        description="Only this destination's: its name in the settings, or its address.",
        examples=["apel"],
    ),
]
UserQuery = Annotated[
    _Name, Query(max_length=_LONGEST, description="Only this user's.", examples=["ada@example.org"])
]
VoQuery = Annotated[
    _Name, Query(max_length=_LONGEST, description="Only this VO's.", examples=["vo.example.org"])
]
FlavorQuery = Annotated[
    _Name, Query(max_length=_LONGEST, description="Only this flavour's.", examples=["small"])
]
ImageQuery = Annotated[
    _Name,
    Query(
        max_length=_LONGEST,
        description="Only this image's.",
        examples=["registry.example.org/notebook:1"],
    ),
]
_PartQuery = Annotated[
    _Name,
    Query(
        max_length=_LONGEST,
        description="Only those with this text in the name, in upper or lower case.",
        examples=["example"],
    ),
]


async def _contains(
    vo_contains: _PartQuery = "",
    user_contains: _PartQuery = "",
    flavor_contains: _PartQuery = "",
    image_contains: _PartQuery = "",
) -> tuple[tuple[By, str], ...]:
    asked = {
        By.VO: vo_contains,
        By.USER: user_contains,
        By.FLAVOR: flavor_contains,
        By.IMAGE: image_contains,
    }
    return tuple((by, part) for by, part in asked.items() if part)


ContainsQuery = Annotated[tuple[tuple[By, str], ...], Depends(_contains)]
"""Parts of names: (of what, the text)."""
PodQuery = Annotated[
    _Name,
    Query(
        max_length=_LONGEST,
        description="Only this pod's: its uid, or its name as the record shows it.",
        examples=["0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10"],
    ),
]
UidPath = Annotated[
    str,
    Path(
        max_length=64,
        pattern=r"^[0-9A-Za-z-]+$",
        description="The pod's uid.",
        examples=["0b6ff5b7-7b0c-4c53-9a9e-6f3f7d3a4f10"],
    ),
]
CursorQuery = Annotated[
    _Name, Query(max_length=2000, description="``next`` of the page before.", examples=[""])
]
TotalQuery = Annotated[
    bool, Query(description="Tell how many there are in all, too; that takes longer.")
]
LimitQuery = Annotated[int, Query(ge=1, le=1000, description="At most that many.")]
