"""Pods that are listed only after their end: within a silence, or between two scrapes (M6)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from accounting.model.time import Month
from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.matrix import combined
from tests.exactness.notebooks import ENGINES, START, Notebook, Seen, every, merged, served
from tests.exactness.polling import poll

DECEMBER = Month(2025, 12).start - START
CASES = {
    # (started, completed, listed from, listed until, silence), seconds after START
    "within a silence": (1000, 1455, 2400, 3600, (900, 2400)),
    "between two scrapes": (1001, 1025, 1030, 2400, None),
    "across a month's end": (
        DECEMBER - 300,
        DECEMBER + 155,
        DECEMBER + 600,
        DECEMBER + 1800,
        (DECEMBER - 600, DECEMBER + 600),
    ),
}


def beats(since: int, until: int, silence: tuple[int, int] | None) -> Seen:
    series = f'kube_namespace_created{{namespace="{NAMESPACE}"}}'
    points = every(since, until, lambda _: START - 3600)
    first, last = silence or (0, 0)
    return {series: [p for p in points if not first < p[0] - START < last]}


@pytest.mark.parametrize(
    ("name", "phase", "engine"), combined(CASES, ["Failed", "Succeeded"], ENGINES)
)
def test_a_pod_that_is_listed_only_after_its_end_has_its_wall_time(
    tmp_path: Path, new_ledger: Callable[[], str], name: str, phase: str, engine: str
) -> None:
    started, completed, since, until, silence = CASES[name]
    pod = Notebook(since=since, until=until)
    pod.keep("kube_pod_status_phase", f',phase="{phase}"', 1)
    pod.keep("kube_pod_status_phase", ',phase="Running"', 0)
    pod.keep("kube_pod_start_time", "", START + started)
    pod.keep("kube_pod_completion_time", "", START + completed)
    pod.keep("kube_pod_annotations", ',annotation_hub_jupyter_org_username="a"', 1)
    end = until + 1200
    seen = merged(beats(started - 1200, end, silence), pod.seen)
    with served(tmp_path, seen, engine) as url:
        ledgers = [new_ledger(), new_ledger()]
        first = START + started - 1200
        once = poll(url, ledgers[0], START + end, since=first)
        poll(url, ledgers[1], first + 300, since=first)
        often = poll(url, ledgers[1], *range(first + 600, START + end, 300), START + end)
    assert often.records == once.records
    rows = [once.records[key] for key in sorted(once.records)]
    assert rows[-1]["wall_seconds"] == completed - started
    assert sum(row["used_wall_seconds"] for row in rows) == completed - started
    assert [row["month"] for row in rows] == ([11, 12] if started < DECEMBER < completed else [11])
    for row in rows:
        assert row["cpu_seconds"] is None
        assert {"known only from after its end", "CPU time unknown"} <= set(
            json.loads(row["flags"])
        )
    assert rows[-1]["status"] == "completed"
