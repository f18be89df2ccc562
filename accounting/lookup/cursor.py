"""Where a page of a list ends, so that the next one begins there whatever came or went meanwhile.

A cursor holds the sort and the last row's sort values and key. It is no secret and grants nothing:
restrictions are in the queries. So it is checked, not signed, and survives a restart.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, tuple_

from accounting.errors import AccountingError

_LONGEST = 2000
_LARGEST = 2**63


class BadCursor(AccountingError):
    """A cursor that this program did not make, or made for another question."""


def encode(sort: str, values: Sequence[Any]) -> str:
    """The cursor after a row with these sort values and key."""
    packed = msgspec.json.encode([sort, *values])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(cursor: str, sort: str, kinds: Sequence[type]) -> tuple[Any, ...]:
    """The values in a cursor.

    Args:
        cursor: what ``encode`` made.
        sort: the sort that the question has now.
        kinds: what each value must be.

    Raises:
        BadCursor: it is not one of ours, or of another sort.
    """
    if len(cursor) > _LONGEST:
        raise _bad("is not one that this service gave out")
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        made_for, *values = msgspec.json.decode(packed, type=list[Any])
    except (binascii.Error, RecursionError, UnicodeError, ValueError, msgspec.MsgspecError):
        raise _bad("is not one that this service gave out") from None
    if made_for != sort:
        raise _bad("belongs to another sort")
    if len(values) != len(kinds) or not all(map(_is_of, values, kinds)):
        raise _bad("is not one that this service gave out")
    return tuple(values)


def _is_of(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str) and "\0" not in value and _is_text(value)
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _bad(what: str) -> BadCursor:
    return BadCursor(f"the cursor {what}", "leave it out to begin with the first page")


def after(
    key: Sequence[ColumnElement[Any]], values: Sequence[Any], *, descending: bool
) -> ColumnElement[bool]:
    """The condition of the rows that follow; the whole key goes one way, so an index serves it."""
    row = tuple_(*key)
    return row < tuple_(*values) if descending else row > tuple_(*values)
