"""Pods with GPUs in the demo: what they held, and the accelerator records that tell it."""

import json
from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from accounting.delivery.outlets.accelerators import Accelerators, by_model
from accounting.demo import topics
from accounting.demo.stage import GPU_TOPIC, Stage
from accounting.errors import AccountingError
from accounting.model.accelerators import Accelerator
from accounting.model.records import Record
from accounting.store.records import Records, Selection

_SHOWN = 4
_HOUR = 3600


def show(scene: Stage, console: Console) -> None:
    """Show the latest pods with GPUs, and send the records of all.

    Raises:
        AccountingError: the receiver does not hold what the records say.
    """
    held = [
        (record, devices)
        for record in Records(scene.database).find(Selection(held=False))
        for devices in by_model(record)
    ]
    held.sort(key=lambda one: one[0].created_at)
    console.print(_table([(record, one) for record, devices in held[-_SHOWN:] for one in devices]))
    ours = {
        (record.uid, str(record.month), devices[0].model): _held(devices)
        for record, devices in held
    }
    theirs = {}
    for text in topics.told(scene, Accelerators(), GPU_TOPIC, 2):
        said = json.loads(text)
        month = f"{said['MeasurementYear']}-{said['MeasurementMonth']:02d}"
        theirs[said["AssociatedRecord"], month, said["Model"]] = said["AvailableDuration"]
    if ours != theirs or not ours:
        raise AccountingError(
            f"the receiver holds {len(theirs)} accelerator records that are not our {len(ours)}",
            "this is a defect: please report it with the demo's folder",
        )
    console.print(f"  {len(theirs):,} accelerator records (JSON), to a topic of their own")


def _held(devices: Iterable[Accelerator]) -> int:
    return max(one.held_seconds for one in devices)


def _table(found: list[tuple[Record, Accelerator]]) -> Table:
    shown = Table(
        title="Notebooks with GPUs", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in ("user", "VO", "model"):
        shown.add_column(name, overflow="fold")
    for name in ("GPUs", "held h", "busy h"):
        shown.add_column(name, justify="right", no_wrap=True)
    for record, one in found:
        busy = "?" if one.active_seconds is None else f"{one.active_seconds / _HOUR:.2f}"
        count = "?" if one.count is None else f"{one.count:g}"
        held = f"{one.held_seconds / _HOUR:.2f}"
        shown.add_row(record.user[:8], record.vo.name, one.model, count, held, busy)
    return shown
