"""A counter that restarts while nobody looks: what was counted before is not lost (M5)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import backfill
from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.polling import HOUR, poll

MINUTE = 60
START = 1_762_430_400  # 2025-11-06 12:00 UTC
END = START + 9 * HOUR
UID = "6b4f0d5e-0000-4000-8000-000000000001"
CGROUP = f"/kubepods/burstable/pod{UID}"
STATE = f'namespace="{NAMESPACE}",pod="jupyter-a",uid="{UID}"'
FAMILIES = {
    f'kube_namespace_created{{namespace="{NAMESPACE}"}}': START - HOUR,
    f'kube_pod_status_phase{{{STATE},phase="Running"}}': 1,
    f"kube_pod_start_time{{{STATE}}}": START,
    f'kube_pod_annotations{{{STATE},annotation_hub_jupyter_org_username="a"}}': 1,
}
USED = f'container_cpu_usage_seconds_total{{namespace="{NAMESPACE}",pod="jupyter-a",id="{CGROUP}"}}'
OF_CONTAINER = USED.replace(f'id="{CGROUP}"', f'id="{CGROUP}/{"c" * 64}",container="notebook"')
RECEIVED = USED.replace(CGROUP, f"{CGROUP}/BOX").replace(
    "cpu_usage_seconds_total{", 'network_receive_bytes_total{interface="eth0",'
)


class Silence(NamedTuple):
    """When the counter says nothing; it restarts meanwhile.

    Attributes:
        since, until: Unix seconds.
        of_all: whether all other metrics are silent, too.
        has_network: whether its network is counted; it is a new one afterwards.
    """

    since: int
    until: int
    of_all: bool
    has_network: bool = True


# The counter comes back just after a window of five minutes has begun. The six-hour windows of one
# poll meet at START + 6 h.
SILENCES = {
    "all are silent in a window": Silence(START + 3 * HOUR, START + 3 * HOUR + 2460, of_all=True),
    "all are silent where windows meet": Silence(
        START + 6 * HOUR - 1200, START + 6 * HOUR + 1260, of_all=True
    ),
    "the counter is, in a window": Silence(START + 3 * HOUR, START + 3 * HOUR + 2460, of_all=False),
    "the counter is, where windows meet": Silence(
        START + 6 * HOUR - 1200, START + 6 * HOUR + 1260, of_all=False
    ),
    "the counter is, for a moment": Silence(START + 3 * HOUR, START + 3 * HOUR + 60, of_all=False),
    "for a moment, without a network": Silence(
        START + 3 * HOUR, START + 3 * HOUR + 60, of_all=False, has_network=False
    ),
}


def counted(at: int, silence: Silence) -> int:
    """Next to nothing before the restart, a whole core after it: its trace is soon gone."""
    return (at - START) // 100 if at < silence.since else at - silence.until + 1


def write(silence: Silence, path: Path) -> int:
    """The history as OpenMetrics; what the counter had counted in all at its end."""
    times = range(START, END, MINUTE)
    spoken = [at for at in times if not silence.since <= at < silence.until]
    lines = []
    for series, value in FAMILIES.items():
        lines.append(f"# TYPE {series.partition('{')[0]} gauge")
        lines += [f"{series} {value} {at}" for at in (spoken if silence.of_all else times)]
    lines.append("# TYPE container_cpu_usage_seconds counter")
    lines += [f"{USED} {counted(at, silence)} {at}" for at in spoken]
    # What a container says is of another level, and must never be taken for what the pod used.
    lines += [f"{OF_CONTAINER} {2 * counted(at, silence)} {at}" for at in spoken]
    if silence.has_network:
        lines.append("# TYPE container_network_receive_bytes counter")
        for box, first, last in (("a", START, silence.since), ("b", silence.until, END)):
            series = RECEIVED.replace("BOX", box * 64)
            lines += [f"{series} {at - first} {at}" for at in spoken if first <= at < last]
    path.write_text("\n".join([*lines, "# EOF", ""]))
    before = max(counted(at, silence) for at in spoken if at < silence.since)
    return before + counted(spoken[-1], silence)


@pytest.fixture(params=SILENCES, scope="module")
def past(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int, Silence]]:
    """(URL of a Prometheus, CPU seconds that the pod used, when it says nothing)."""
    silence, folder = SILENCES[request.param], tmp_path_factory.mktemp("past")
    used = write(silence, folder / "metrics")
    backfill([folder / "metrics"], folder / "data")
    with run_prometheus(folder / "data") as engine:
        yield engine.url, used, silence


def moments(silence: Silence, every: int) -> Iterator[int]:
    """When one polls: every so often, but hours from the silence no more often than hourly."""
    for at in range(START + every, END, every):
        is_near = silence.since - HOUR <= at <= silence.until + HOUR
        if is_near or (at - START) % max(every, HOUR) == 0:
            yield at
    yield END


@pytest.mark.parametrize("every", [5 * MINUTE, HOUR, 6 * HOUR, 9 * HOUR])
def test_a_restart_in_a_silence_is_counted_however_often_one_polls(
    past: tuple[str, int, Silence], new_ledger: Callable[[], str], every: int
) -> None:
    url, used, silence = past
    ledger = new_ledger()
    first, *others = moments(silence, every)
    poll(url, ledger, first, since=START)
    found = poll(url, ledger, *others)
    assert [row["cpu_seconds"] for row in found.records.values()] == [used]
