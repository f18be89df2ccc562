"""Energy in the demo: a day of it by VO, and what GreenDIGIT's CIM is told of all days."""

from collections import defaultdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from accounting.delivery import pusher
from accounting.delivery.cim.login import Login, Publisher
from accounting.delivery.cim.sender import CimSender
from accounting.delivery.exchange import Bounds, Exchange
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.energy import Energy
from accounting.demo import stage
from accounting.demo.stage import Stage
from accounting.errors import AccountingError
from accounting.model.energy import EnergyRules
from accounting.simulation.exporters import kepler
from accounting.simulation.judges.cim import Cim

_AT_ONCE = 100
_JOULES_PER_WH = 3600.0


def show(scene: Stage, console: Console) -> None:
    """Tell all days that are over, and show the last of them.

    Raises:
        AccountingError: the receiver does not hold each day once.
    """
    cim = scene.cim.cim
    publisher = Publisher(cim.publisher[0], lambda: cim.publisher[1])
    exchange = Exchange(scene.cim.base, Bounds())
    sender = CimSender(exchange, Login(Exchange(scene.cim.base, Bounds()), publisher))
    outbox = Outbox(scene.database, Energy(EnergyRules()))
    policy = pusher.Policy(records_per_message=_AT_ONCE)
    report = pusher.Pusher(outbox, sender, policy, position=3).push()
    if report.error is not None:
        raise report.error
    if len(cim.watt_hours()) != len(cim.events) or len(cim.events) != report.delivered:
        raise AccountingError(
            f"the CIM holds {len(cim.events)} records of {report.delivered}",
            "this is a defect: please report it with the demo's folder",
        )
    console.print(_table(scene, cim))
    console.print(f"  {len(cim.events):,} records of notebooks' days, each submitted once")


def _table(scene: Stage, cim: Cim) -> Table:
    day = max(str(one["StartExecTime"])[:10] for one in cim.events)
    told: dict[str, float] = defaultdict(float)
    really: dict[str, float] = defaultdict(float)
    since, until = stage.bounds(day)
    for one in cim.events:
        if str(one["StartExecTime"]).startswith(day):
            pod = scene.cluster.pods_by_uid[one["ExecUnitID"]]
            told[one["Owner"]] += one["EnergyWh"]
            really[one["Owner"]] += kepler.joules_between(pod, since, until) / _JOULES_PER_WH
    shown = Table(
        title=f"{day} at GreenDIGIT's CIM, Wh",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column("VO", overflow="fold")
    for name in ("really", "at the CIM", "g of CO2"):
        shown.add_column(name, justify="right", no_wrap=True)
    for vo, watt_hours in sorted(told.items()):
        grams = watt_hours / 1000 * stage.GRAMS_PER_KWH
        shown.add_row(vo, f"{really[vo]:,.2f}", f"{watt_hours:,.2f}", f"{grams:,.2f}")
    return shown
