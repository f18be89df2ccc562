"""What the repository would refuse, found before a record leaves (D2, apel.md rule 8). Pure."""

import unicodedata
from collections.abc import Sequence

from accounting.model.records import Record, Status
from accounting.records.formats.apel import SEPARATOR, Fields, fields

MAX_TEXT = 255
MAX_BENCHMARK_TYPE = 50


def is_plain(lines: Sequence[str]) -> bool:
    """Fast path: whether no value needs the field-by-field check."""
    joined = "".join(lines)
    return (
        joined.isprintable()
        and SEPARATOR not in joined
        and ": -" not in joined
        and max(map(len, lines)) <= MAX_TEXT
    )


def refusal(record: Record) -> str:
    """Why the repository would refuse the record: field and reason; empty if it would not (D2).

    One bad record would make it refuse the whole message (apel.md, rule 8).
    """
    return _refused_values(fields(record)) or refused_record(record)


def _refused_values(values: Fields) -> str:
    for key, value in values.items():
        if isinstance(value, str):
            plain = value.isprintable() and "%%" not in value and len(value) <= MAX_TEXT
            if not plain and (reason := _refused_text(value)):
                return f"{key}: {reason}"
        elif value is not None and value < 0:
            return f"{key}: negative"
    return ""


def refused_record(record: Record) -> str:
    """As ``refusal``, for a record whose texts and signs are known to be fine."""
    if not record.uid:
        return "VMUUID: missing"
    if not record.site:
        return "SiteName: missing"
    if (record.cpu_count or 0) < 0 or (record.benchmark or 0) < 0:
        return f"{'CpuCount' if (record.cpu_count or 0) < 0 else 'Benchmark'}: negative"
    if len(record.benchmark_type) > MAX_BENCHMARK_TYPE:
        return f"BenchmarkType: longer than {MAX_BENCHMARK_TYPE} characters"
    if record.status is Status.COMPLETED and not record.end_at:
        return "EndTime: missing for a completed record"
    return ""


def _refused_text(value: str) -> str:
    if len(value) > MAX_TEXT:
        return f"longer than {MAX_TEXT} characters"
    if SEPARATOR in value:
        return f"contains {SEPARATOR}"
    if len(f"{value}.".splitlines()) > 1:
        return "contains a line break"
    if any(unicodedata.category(character) == "Cc" for character in value):
        return "contains a control character"
    return ""
