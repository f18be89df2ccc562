"""A short pod may be measured for the last time before it is first seen running (M5, M6)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from accounting.simulation.stores.engines import run_prometheus
from accounting.simulation.stores.history import backfill
from accounting.simulation.world.cluster import NAMESPACE
from tests.exactness.polling import poll

START = 1_762_430_400  # 2025-11-06 12:00 UTC
END = START + 1800
SPOKEN = range(START, END, 30)
UID = "6b4f0d5e-0000-4000-8000-000000000001"
STATE = f'namespace="{NAMESPACE}",pod="jupyter-a",uid="{UID}"'
USAGE = f'namespace="{NAMESPACE}",pod="jupyter-a"'
CGROUP = f',id="/kubepods/burstable/pod{UID}"'


@pytest.mark.parametrize("path", [CGROUP, ""], ids=["with id", "without id"])
@pytest.mark.parametrize("every", [300, 305, 1800])
def test_what_a_short_pod_used_is_known_however_often_one_polls(
    tmp_path: Path, new_ledger: Callable[[], str], path: str, every: int
) -> None:
    families = {
        f'kube_namespace_created{{namespace="{NAMESPACE}"}}': [(at, START - 60) for at in SPOKEN],
        f'kube_pod_status_phase{{{STATE},phase="Running"}}': [(START + 292, 0), (START + 322, 1)],
        f"kube_pod_start_time{{{STATE}}}": [(START + 292, START + 200), (START + 322, START + 200)],
        f'kube_pod_annotations{{{STATE},annotation_hub_jupyter_org_username="a"}}': [
            (START + 292, 1),
            (START + 322, 1),
        ],
        f"container_cpu_usage_seconds_total{{{USAGE}{path}}}": [(START + 260, 5), (START + 290, 7)],
    }
    lines = []
    for series, points in families.items():
        name = series.partition("{")[0]
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# TYPE {name.removesuffix('_total')} {kind}")
        lines += [f"{series} {value} {at}" for at, value in points]
    (tmp_path / "metrics").write_text("\n".join([*lines, "# EOF", ""]))
    backfill([tmp_path / "metrics"], tmp_path / "data")
    ledger = new_ledger()
    with run_prometheus(tmp_path / "data") as engine:
        poll(engine.url, ledger, START + every, since=START)
        found = poll(engine.url, ledger, *range(START + 2 * every, END, every), END)
    assert [row["cpu_seconds"] for row in found.records.values()] == [7]
