"""Pods, pages and records as rows of the tables, and back.

A column has the name of its field; the exceptions are listed here. So a new figure needs a field
in ``Record``, a column in ``tables`` and a migration, but no change here.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from accounting.model.accelerators import ALONE, Accelerator, Amounts, Surroundings, Use, UseKey
from accounting.model.energy import EnergyQuality
from accounting.model.pods import (
    Account,
    Counter,
    CounterKind,
    DayReading,
    Owner,
    Pod,
    Reading,
    Resets,
    Resizes,
    Resources,
    SeriesKey,
)
from accounting.model.records import Held, Record, Span, Status, Vo
from accounting.model.time import Month
from accounting.store import tables

RECORD_COLUMNS = tuple(c.name for c in tables.records.columns if c.name != "apart")
"""Of a record's row what the record says; ``totals`` keeps the rest."""
RECORD_FIGURES = (
    "created_at",
    "wall_seconds",
    "cpu_seconds",
    "received_gb",
    "sent_gb",
    "digest",
    "used_wall_seconds",
    "used_cpu_seconds",
    "core_seconds",
    "memory_mb_seconds",
    "gpu_seconds",
    "joules",
    "energy_quality",
)
"""What moves of a record while its pod runs on."""

POD_COLUMNS = tuple(column.name for column in tables.pods.columns)
FIGURE_COLUMNS = tuple(column.name for column in tables.figures.columns)

_RECORD_PATHS = {
    "year": "month.year",
    "month": "month.month",
    "vo": "vo.name",
    "fqan": "vo.fqan",
    "vo_rule": "vo.rule",
    "vo_source": "vo.source",
    "status": "status.value",
    "held": "held.value",
    "energy_quality": "energy_quality.value",
}
_COLUMN_OF = {path: name for name, path in _RECORD_PATHS.items()}
_encode_flags = json.dumps
_encode = msgspec.json.Encoder().encode
_decode_flags = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_spans = msgspec.json.Decoder(tuple[Span, ...]).decode
_decode_accelerators = msgspec.json.Decoder(tuple[Accelerator, ...]).decode


def _of_record(names: Sequence[str]) -> Callable[[Record], tuple[Any, ...]]:
    return attrgetter(*(_RECORD_PATHS.get(name, name) for name in names))


def column_of(path: str) -> Any:
    """The column of what a ``Record`` has at a path, such as ``vo.fqan``."""
    return tables.records.c[_COLUMN_OF.get(path, path)]


_FLAGS_AT = RECORD_COLUMNS.index("flags")
_before_flags = _of_record(RECORD_COLUMNS[:_FLAGS_AT])
_ENCODED_AT = RECORD_COLUMNS.index("accelerators")
_after_flags = _of_record(RECORD_COLUMNS[_FLAGS_AT + 1 : _ENCODED_AT])
record_figures = _of_record((*RECORD_FIGURES, "year", "month", "uid"))
"""Of a record: ``RECORD_FIGURES``, then its key."""


def record_row(record: Record) -> tuple[Any, ...]:
    """A record as ``RECORD_COLUMNS``."""
    held = record.accelerators
    return (
        *_before_flags(record),
        _encode_flags(record.flags),
        *_after_flags(record),
        _encode(held).decode() if held else "[]",
        _encode(record.spans).decode() if record.spans else "[]",
        record.joules,
        record.energy_quality.value,
    )


_COLUMN_AT = {column.name: n for n, column in enumerate(tables.records.columns)}
_FIELDS = tuple(field.name for field in fields(Record))
_FIELD_AT = {name: n for n, name in enumerate(_FIELDS)}
_plain = itemgetter(*(_COLUMN_AT[name] for name in _FIELDS))
_MONTH = slice(_COLUMN_AT["year"], _COLUMN_AT["month"] + 1)
_VO = slice(_COLUMN_AT["vo"], _COLUMN_AT["vo_source"] + 1)


_STATUSES = {status.value: status for status in Status}
_HOLDS = {held.value: held for held in Held}
_QUALITIES = {quality.value: quality for quality in EnergyQuality}


def record_of(row: Sequence[Any]) -> Record:
    """A record from its row, which begins with the columns of ``tables.records``.

    Reads by position: lists and exports read many rows, and by name takes several times as long.
    """
    values = list(_plain(row))
    values[_MONTH_AT] = Month(*row[_MONTH])
    values[_VO_AT] = Vo(*row[_VO])
    values[_STATUS_AT] = _STATUSES[values[_STATUS_AT]]
    flags = values[_TOLD_AT]
    values[_TOLD_AT] = _decode_flags(flags) if flags != "[]" else ()
    values[_HELD_AT] = _HOLDS[values[_HELD_AT]]
    accelerators = values[_ACCELERATORS_AT]
    values[_ACCELERATORS_AT] = _decode_accelerators(accelerators) if accelerators != "[]" else ()
    values[_SPANS_AT] = spans_of(values[_SPANS_AT])
    values[_QUALITY_AT] = _QUALITIES[values[_QUALITY_AT]]
    return Record(*values)


def spans_of(kept: str) -> tuple[Span, ...]:
    """A record's spans from their column; nearly all have none."""
    return _decode_spans(kept) if kept != "[]" else ()


_MONTH_AT, _VO_AT, _STATUS_AT, _TOLD_AT, _HELD_AT, _ACCELERATORS_AT, _SPANS_AT = (
    _FIELD_AT[name] for name in ("month", "vo", "status", "flags", "held", "accelerators", "spans")
)
_QUALITY_AT = _FIELD_AT["energy_quality"]


def account_of(row: Sequence[Any]) -> Account:
    """A page from its row, by position: a poll reads tens of thousands."""
    *described, counters, readings, resizes, accelerators, lost_at, days = row
    kept = _NONE_KEPT if accelerators == "[]" else _decode_kept(accelerators)
    pod = _pod(described, lost_at, resizes, kept)
    return Account(pod, _counters(counters), _readings(readings), _uses(kept), _days(days))


class _Accelerators(msgspec.Struct, array_like=True, gc=False):
    """What a page has of accelerators, as it is kept: most have none."""

    held: Amounts = ()
    labels: tuple[tuple[str, str], ...] = ()
    claims: tuple[str, ...] = ()
    uses: tuple[tuple[int, str, float | None, float | None, str], ...] = ()


_NONE_KEPT = _Accelerators()
_decode_kept = msgspec.json.Decoder(_Accelerators).decode


def _uses(kept: _Accelerators) -> dict[UseKey, Use]:
    return {
        UseKey(day, profile): Use(active, joules, model)
        for day, profile, active, joules, model in kept.uses
    }


def _kept_accelerators(account: Account) -> str:
    pod = account.pod
    around, held = pod.surroundings, pod.resources.accelerators if pod.resources else ()
    uses = tuple((*key, *use) for key, use in account.uses.items())
    kept = _Accelerators(held, around.labels, around.claims, uses)
    return "[]" if kept == _NONE_KEPT else _encode(kept).decode()


class _Counter(msgspec.Struct, array_like=True, gc=False):
    """A counter as it is kept: most lack the last three."""

    kind: CounterKind
    series: str
    at: int
    value: float
    resets: Resets
    first: tuple[float, float] | None = None
    seen_at: float | None = None
    fell_at: float | None = None


# Counters and readings are a pod's own and never searched: they are JSON lists of ``_Counter`` and
# of (year, month, at, cpu, received, sent); days of (day, at, cpu, ((zone, joules), …)).
_Counters = list[_Counter]
_Readings = list[tuple[int, int, int, float | None, float | None, float | None]]
_Days = list[tuple[int, int, float | None, tuple[tuple[str, float], ...]]]
_decode_days = msgspec.json.Decoder(_Days).decode
_decode_counters = msgspec.json.Decoder(_Counters).decode
_decode_readings = msgspec.json.Decoder(_Readings).decode


def _counters(stored: str) -> dict[SeriesKey, Counter]:
    return {
        SeriesKey(c.kind, c.series): Counter(c.at, c.value, c.resets, c.first, c.seen_at, c.fell_at)
        for c in _decode_counters(stored)
    }


def _readings(stored: str) -> dict[Month, Reading]:
    return {
        Month(year, month): Reading(at, cpu, received, sent)
        for year, month, at, cpu, received, sent in _decode_readings(stored)
    }


def _days(stored: str) -> dict[int, DayReading]:
    if stored == "[]":  # all, where energy is not measured
        return {}
    return {day: DayReading(at, cpu, zones) for day, at, cpu, zones in _decode_days(stored)}


def _kept_days(account: Account) -> str:
    days = account.days
    return _encode([(day, *days[day]) for day in sorted(days)]).decode() if days else "[]"


def account_row(account: Account) -> tuple[Any, ...]:
    """A page as ``POD_COLUMNS``."""
    return (
        *_pod_row(account.pod),
        *_kept(account),
        _kept_resizes(account.pod.resizes),
        _kept_accelerators(account),
        account.pod.lost_at,
        _kept_days(account),
    )


def account_figures(account: Account) -> tuple[Any, ...]:
    """What of a page moves while its pod runs on, as ``FIGURE_COLUMNS``."""
    pod = account.pod
    return (pod.uid, pod.last_running_at, pod.last_listed_at, *_kept(account), _kept_days(account))


_of_counter = attrgetter(*(field.name for field in fields(Counter)))


def _kept(account: Account) -> tuple[str, str]:
    """Counters and readings as they are kept."""
    counters = [
        (*key, counter.at, counter.value, counter.resets)
        if counter.first is None and counter.seen_at is None
        else (*key, *_of_counter(counter))
        for key, counter in account.counters.items()
    ]
    readings = [(*month, *reading) for month, reading in account.readings.items()]
    return _encode(counters).decode(), _encode(readings).decode()


def _pod(row: Sequence[Any], lost_at: float | None, resizes: str, kept: _Accelerators) -> Pod:
    cpu, cpu_limit, memory, memory_limit = row[_RESOURCES]
    resources = Resources(cpu, cpu_limit, memory, memory_limit, kept.held)
    fields = [
        *row[: _OWNER.start],
        Owner(*row[_OWNER]),
        None if resources == _NO_RESOURCES else resources,
        *row[_RESOURCES.stop :],
        lost_at,
        _resizes(resizes),
        Surroundings(kept.labels, kept.claims) if kept.labels or kept.claims else ALONE,
    ]
    return Pod(*fields)


_Sizes = tuple[float | None, float | None, float | None, float | None, Amounts]
# A pod's resizes are a JSON list of (time, [the fields of ``Resources``]).
_decode_resizes = msgspec.json.Decoder(list[tuple[float, _Sizes]]).decode


def _resizes(stored: str) -> Resizes:
    if stored == "[]":  # nearly all
        return ()
    return tuple((at, Resources(*sizes)) for at, sizes in _decode_resizes(stored))


def _kept_resizes(resizes: Resizes) -> str:
    return _encode([(at, astuple(sizes)) for at, sizes in resizes]).decode() if resizes else "[]"


_NO_RESOURCES = Resources()
_OWNER = slice(POD_COLUMNS.index("user"), POD_COLUMNS.index("flavor") + 1)
_RESOURCES = slice(POD_COLUMNS.index("cpu_request"), POD_COLUMNS.index("memory_limit_bytes") + 1)
_OWNER_PATHS = {field.name: f"owner.{field.name}" for field in fields(Owner)}
_KEPT_APART = {"resizes", "counters", "readings", "accelerators", "lost_at", "days"}


def _of_pod(names: Sequence[str]) -> Callable[[Pod], tuple[Any, ...]]:
    return attrgetter(*(_OWNER_PATHS.get(name, name) for name in names if name not in _KEPT_APART))


_before_resources = _of_pod(POD_COLUMNS[: _RESOURCES.start])
_sizes: Callable[[Resources], tuple[Any, ...]] = attrgetter(*POD_COLUMNS[_RESOURCES])
_after_resources = _of_pod(POD_COLUMNS[_RESOURCES.stop :])


def _pod_row(pod: Pod) -> tuple[Any, ...]:
    sizes = _sizes(pod.resources or _NO_RESOURCES)
    return (*_before_resources(pod), *sizes, *_after_resources(pod))
