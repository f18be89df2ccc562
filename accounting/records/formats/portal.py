"""The EGI Accounting Portal's open data, JSON or CSV. Pure.

Source: EGI's documentation of the portal's open data (June 2026): ``{"results": [{"series": [{
"columns": […], "values": [[…]], "partial": true?}]}]}``, all series joined; or CSV with the same
columns. Units are not stated.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from accounting.errors import PortalError
from accounting.model.reconciliation import Answer, Shown
from accounting.model.time import Month

COLUMNS = ("time", "infrastructure", "site", "vo", "number_of_jobs", "raw_wc_time", "raw_cpu_time")
"""What is needed of a row; ``ce`` is used where it is there."""
_CLOUD = "cloud"
_MILLISECONDS_FROM = 1e11
"""Larger times are in milliseconds: in seconds they would be after the year 5000."""


def read(content: bytes, is_wanted: Callable[[Shown], bool] = lambda _: True) -> Answer:
    """The rows of clouds.

    Args:
        content: as the portal sent it.
        is_wanted: which rows to keep; the portal has those of all sites.

    Raises:
        PortalError: it is not the portal's data; says what, and in which row.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _unreadable("it is not UTF-8 text") from exc
    if text.lstrip().startswith("{"):
        series = _series(text)
        is_partial = any(bool(one.get("partial")) for one in series)
        rows: Iterable[Mapping[str, Any]] = (row for one in series for row in _rows(one))
    else:
        is_partial, rows = False, _lines(text)
    found = (_shown(number, row) for number, row in enumerate(rows, 1) if _is_cloud(row))
    return Answer([one for one in found if is_wanted(one)], is_partial)


def _series(text: str) -> list[Mapping[str, Any]]:
    try:
        given = json.loads(text)
        return [
            {**one, "columns": list(one["columns"]), "values": list(one.get("values") or ())}
            for result in given["results"]
            for one in result.get("series") or ()
        ]
    except json.JSONDecodeError as exc:
        raise _unreadable(f"its JSON is broken or cut off in line {exc.lineno}") from exc
    except (KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise _unreadable("its JSON has no results with series of columns and values") from exc


def _rows(series: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    columns = _known([str(name) for name in series["columns"]])
    for values in series["values"]:
        if not isinstance(values, list) or len(values) != len(columns):
            raise _unreadable(f"a row does not have the {len(columns)} values of its columns")
        yield dict(zip(columns, values, strict=True))


def _lines(text: str) -> Iterable[Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        _known(list(reader.fieldnames or ()))
        yield from reader
    except csv.Error as exc:
        raise _unreadable(f"its CSV is broken in line {reader.line_num}") from exc


def _known(columns: Sequence[str]) -> Sequence[str]:
    if missing := [name for name in COLUMNS if name not in columns]:
        raise _unreadable(f"it has no column {', '.join(missing)}")
    return columns


def _is_cloud(row: Mapping[str, Any]) -> bool:
    return str(row["infrastructure"]).strip().casefold() == _CLOUD


def _shown(number: int, row: Mapping[str, Any]) -> Shown:
    try:
        return Shown(
            _month(row["time"]),
            _name(row["site"]),
            _name(row["vo"]),
            _name(row.get("ce")),
            *(_number(row[name]) for name in COLUMNS[-3:]),
        )
    except (ValueError, TypeError, OverflowError) as exc:
        raise _unreadable(f"row {number} has a time or figure that is none") from exc


def _name(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _month(value: Any) -> Month:
    """ISO 8601, or Unix seconds or milliseconds."""
    try:
        at = float(value)
    except ValueError:
        moment = datetime.fromisoformat(value.strip())
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return Month.of(at / 1000 if abs(at) > _MILLISECONDS_FROM else at)


def _number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _unreadable(what: str) -> PortalError:
    return PortalError(
        f"the accounting portal's data cannot be read: {what}",
        "fetch it again from the portal's /json or /csv, whole and as it is",
    )
