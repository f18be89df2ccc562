"""Home volumes in the demo: measured, beside what is really in them, and sent as StAR records."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from accounting.delivery.outlets.storage import Storage
from accounting.demo import topics
from accounting.demo.stage import HOME_TOPIC, Stage
from accounting.errors import AccountingError
from accounting.model.volumes import DAY_SECONDS, Volume
from accounting.records.formats import star
from accounting.store.tables import volumes
from accounting.store.volumes import volume_of

_SHOWN = 6
_GIB = 2**30


def show(scene: Stage, until: int, console: Console) -> None:
    """Show the homes of yesterday, and send all days that are over.

    Args:
        scene: where everything is.
        until: how far the ledger has come, Unix seconds.
        console: where to show it.

    Raises:
        AccountingError: the receiver does not hold what the ledger says.
    """
    today = until // DAY_SECONDS
    with scene.database.begin(reading=True) as connection:
        over = select(volumes).where(volumes.c.day < today).order_by(volumes.c.name)
        homes = list(map(volume_of, connection.execute(over)))
    console.print(_table([one for one in homes if one.day == today - 1], scene))
    held = {star.parsed(text)["recordId"] for text in topics.told(scene, Storage(), HOME_TOPIC, 1)}
    sendable = {one.uid for one in homes if not one.held}
    if held != sendable:
        raise AccountingError(
            f"the receiver holds {len(held)} storage records that are not our {len(sendable)}",
            "this is a defect: please report it with the demo's folder",
        )
    console.print(f"  {len(held):,} storage records (StAR) of days that are over, to {HOME_TOPIC}")


def _told(one: Volume) -> str:
    """How its bytes are known, in few words."""
    return one.quality.value.removeprefix("measured by ")


def _table(homes: list[Volume], scene: Stage) -> Table:
    shown = Table(
        title="Homes, yesterday, GiB", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for name in ("user", "VO", "used", "really", "size", "how it is known"):
        is_figure = name in {"used", "really", "size"}
        shown.add_column(name, justify="right" if is_figure else "left", overflow="fold")
    really = {volume.claim.name: volume for volume in scene.cluster.volumes}
    for one in homes[:_SHOWN]:
        truth = really[one.name].used_at((one.day + 1) * DAY_SECONDS)
        size = "?" if one.allocated_bytes is None else f"{one.allocated_bytes / _GIB:g}"
        used = f"{one.used_bytes / _GIB:.3f}"
        shown.add_row(one.user[:8], one.vo, used, f"{truth / _GIB:.3f}", size, _told(one))
    return shown
