"""Small inputs with what is right of each: moved to a month's end, polled in any steps."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from accounting.measure.promql.scope import Scope
from accounting.measure.source.prometheus import Source
from accounting.store.engine.database import Database
from tests.exactness.notebooks import month_end
from tests.exactness.polling import HOUR, poller, written
from tests.exactness.test_exact_cases import END, LIFE, START, Case, usual

FIRST = "ab" * 32
"""The id of a notebook's first container."""


@dataclass
class Expected:
    """What is right of a case: the pod's last figures, and those of all its months together."""

    case: Case
    last: dict[str, Any] = field(default_factory=dict)
    months: dict[str, float] = field(default_factory=dict)
    scope: dict[str, Any] = field(default_factory=dict)
    month_end: int = 3600
    """When a month ends, in one of the two runs, seconds after the start."""
    is_in_one: bool = False
    """All of it is in one month, even then."""


def own(case: Case) -> str:
    return case.cgroup(f"/kubepods/burstable/pod{case.uid}")


def half(at: float) -> float:
    return at / 2


def without_own(number: int) -> Case:
    """A notebook of which nobody has told CPU yet."""
    case = usual(f"varied-{number}", number)
    del case.seen[own(case)]
    return case


def otel(case: Case, container: str = "") -> str:
    place = f'k8s_namespace_name="{case.name}",k8s_pod_name="jupyter-a",k8s_pod_uid="{case.uid}"'
    if container:
        return f'container_cpu_time_seconds_total{{{place},k8s_container_name="{container}"}}'
    return f"k8s_pod_cpu_time_seconds_total{{{place}}}"


def to_month_end(expected: Expected) -> int:
    """How much later a month ends when the case wants it, seconds."""
    return month_end(START) - START - expected.month_end


def moved(case: Case, seconds: int) -> Case:
    """The same in a namespace of its own, so much later."""
    name = f"{case.name}-{seconds}"
    seen = {
        series.replace(f'"{case.name}"', f'"{name}"').replace('node="n-', f'node="n-{seconds}-'): [
            (
                at + seconds,
                value + seconds if "_time{" in series or "_created{" in series else value,
            )
            for at, value in points
        ]
        for series, points in case.seen.items()
    }
    return replace(case, name=name, seen=seen)


def both(cases: Iterable[Expected]) -> list[Case]:
    """Each case as it is, and where a month ends within it."""
    return [
        moved(expected.case, seconds)
        for expected in cases
        for seconds in (0, to_month_end(expected))
    ]


def hold_to(
    expected: Expected,
    url: str,
    new_ledger: Callable[[], str],
    *,
    is_at_month_s_end: bool,
    every: int = 600,
    step: int = 430,
) -> None:
    """Poll every so often; once, in windows of a step; and once: each finds what is right."""
    shift = to_month_end(expected) if is_at_month_s_end else 0
    scope = Scope(f"{expected.case.name}-{shift}", "jupyter-.*", **expected.scope)
    digests = []
    start, end = START + shift, END + shift
    for cuts, length in ((range(start + every, end, every), 6 * HOUR), ((), step), ((), 6 * HOUR)):
        with Database(new_ledger()) as database, Source(url) as source:
            database.ensure_current()
            one = poller(database, source, step=length, scope=scope)
            for until in [*cuts, end]:
                one.poll(until)
            found = written(database).records
        rows = [found[key] for key in sorted(found)]
        check(expected, rows)
        goes_on = rows[-1]["wall_seconds"] > expected.month_end and not expected.is_in_one
        assert len(rows) == 1 + (is_at_month_s_end and goes_on)
        digests.append([row["digest"] for row in rows])
    assert digests[1:] == digests[:-1]


def check(expected: Expected, rows: list[dict[str, Any]]) -> None:
    right = {"cpu_seconds": LIFE // 2, "user": "a@example.org", "held": "", **expected.last}
    wall, flag = right.pop("wall", LIFE), right.pop("flag", "")
    last = rows[-1]
    assert {name: last[name] for name in right} == right
    assert wall - 120 <= last["wall_seconds"] <= wall
    assert flag in {"", *json.loads(last["flags"])}
    for name, total in expected.months.items():
        assert sum(row[name] for row in rows) == pytest.approx(total, abs=6 * 60 + 60 * 2)
