"""A pod's own cgroup falls silent while others tell of it: nothing is lost, on any schedule."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.exactness.matrix import combined
from tests.exactness.notebooks import (
    ENGINES,
    START,
    Notebook,
    every,
    heartbeat,
    merged,
    served,
)
from tests.exactness.polling import poll

END = 5400
SCHEDULES = {"in one window": [END], "every seven minutes": [*range(60, END, 420), END]}


def used(at: float) -> float:
    return at / 4


def to_containers(notebook: Notebook) -> None:
    """From a scrape on, cAdvisor is asked for containers only."""
    notebook.cgroup(30, 1800, used)
    notebook.container(1, 30, notebook.until, used)


def to_opentelemetry(notebook: Notebook) -> None:
    notebook.cgroup(30, 1800, used)
    notebook.otel(1830, notebook.until, used)


SWITCHES: dict[str, Callable[[Notebook], None]] = {
    "containers only": to_containers,
    "OpenTelemetry": to_opentelemetry,
}


@pytest.mark.parametrize(
    ("until", "switch", "schedule", "engine"),
    combined(product([1860, 1950, 3600], SWITCHES), SCHEDULES, ENGINES),
)
def test_a_pod_that_is_alone_on_its_node_is_followed_through_a_switch(  # noqa: PLR0917 - parameters of the test
    tmp_path: Path,
    new_ledger: Callable[[], str],
    until: int,
    switch: str,
    schedule: str,
    engine: str,
) -> None:
    notebook = Notebook(until=until)
    notebook.run()
    SWITCHES[switch](notebook)
    last = max(v for s, p in notebook.seen.items() if "cpu" in s.split("{")[0] for _, v in p)
    with served(tmp_path, merged(heartbeat(END), notebook.seen), engine) as url:
        cuts = [START + at for at in SCHEDULES[schedule]]
        found = poll(url, new_ledger(), *cuts, since=START - 600)
    told = [row["cpu_seconds"] for row in found.records.values()]
    # What another source tells for no longer than two scrapes is left out on every schedule.
    assert told == [int(last) if until > 1860 else 450]


@pytest.mark.parametrize("step", [340, 6 * 3600])
def test_a_pod_that_completes_at_a_window_s_end_is_followed_too(
    tmp_path: Path, new_ledger: Callable[[], str], step: int
) -> None:
    """It is listed as completed at once: the next window does not read its counters any more."""
    notebook = Notebook(until=1980)
    notebook.run()
    to_opentelemetry(notebook)
    last = max(v for s, p in notebook.seen.items() if "cpu" in s.split("{")[0] for _, v in p)
    running = f'kube_pod_status_phase{{{notebook.state},phase="Running"}}'
    notebook.say(running, every(2010, END, lambda _: 0))
    with served(tmp_path, merged(heartbeat(END), notebook.seen), "prometheus") as url:
        # Of 340 s: a window ends at 2040, two scrapes after the last one that saw it run.
        found = poll(url, new_ledger(), START + END, since=START - 680, step=step)
    assert [row["cpu_seconds"] for row in found.records.values()] == [int(last)]
