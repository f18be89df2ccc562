"""Home volumes in the demo: measured, beside what is really in them, and sent as StAR records."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.storage import Storage
from accounting.demo.stage import Stage
from accounting.errors import AccountingError
from accounting.model.volumes import DAY_SECONDS, Volume
from accounting.records.formats import star
from accounting.store.tables import volumes
from accounting.store.volumes import volume_of
from ssm.ams import AmsSettings
from ssm.certificate import HostCertificate
from ssm.sender import AmsSender
from ssm.smime import verify
from ssm.testing.standin import AmsStandin

TOPIC = "eu-egi-storage-accounting"
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
    held = _delivered(scene)
    sendable = {one.uid for one in homes if not one.held}
    if held != sendable:
        raise AccountingError(
            f"the receiver holds {len(held)} storage records that are not our {len(sendable)}",
            "this is a defect: please report it with the demo's folder",
        )
    console.print(f"  {len(held):,} storage records (StAR) of days that are over, to {TOPIC}")


def _table(homes: list[Volume], scene: Stage) -> Table:
    shown = Table(title="Homes, yesterday", title_style="bold", box=SIMPLE_HEAD)
    for name in ("user", "VO", "used GiB", "really", "size GiB", "how it is known"):
        shown.add_column(name, justify="left" if name in {"user", "VO"} else "right")
    really = {volume.claim.name: volume for volume in scene.cluster.volumes}
    for one in homes[:_SHOWN]:
        truth = really[one.name].used_at((one.day + 1) * DAY_SECONDS)
        size = "?" if one.allocated_bytes is None else f"{one.allocated_bytes / _GIB:g}"
        used = f"{one.used_bytes / _GIB:.3f}"
        shown.add_row(one.user[:8], one.vo, used, f"{truth / _GIB:.3f}", size, one.quality.value)
    return shown


def _delivered(scene: Stage) -> set[str]:
    """Sign and push them; the ids of the records that the receiver's topic has afterwards."""
    certificate = HostCertificate.load(*scene.host)
    with AmsStandin(scene.authority, registered=[certificate.dn], topic=TOPIC) as broker:
        address = AmsSettings(
            host=broker.host,
            project="accounting",
            topic=TOPIC,
            port=broker.port,
            authn_port=broker.authn_port,
            ca_file=scene.authority.ca_file,
        )
        sender = AmsSender(address, *scene.host)
        try:
            report = pusher.Pusher(Outbox(scene.database, Storage()), sender, position=1).push()
        finally:
            sender.close()
        if report.error is not None:
            raise report.error
        bodies = [verify(stored.data, certificate.certificate) for stored in broker.log]
    return {star.parsed(text)["recordId"] for body in bodies for text in star.texts(body)}
