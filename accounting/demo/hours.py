"""A day at EOSC: what its accounting is told of each flavour, beside what was really used."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from accounting.delivery import pusher
from accounting.delivery.eosc.access import Access
from accounting.delivery.eosc.login import Client
from accounting.delivery.exchange import Bounds
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.hours import Hours
from accounting.demo import stage
from accounting.demo.stage import Stage
from accounting.errors import AccountingError
from accounting.simulation.judges.eosc import SCOPES

_HOUR = 3600
_AT_ONCE = 100


def show(scene: Stage, until: int, console: Console) -> None:
    """Tell all days that are over, and show the last of them.

    Args:
        scene: the demo's parts.
        until: how far was measured, Unix seconds.
        console: where to show it.

    Raises:
        AccountingError: the receiver does not hold what it was told.
    """
    standin = scene.eosc
    client = Client(standin.eosc.client[0], lambda: standin.eosc.client[1], SCOPES)
    sender = Access(standin.url, standin.token_url, client, Bounds()).sender(scene.database)
    outbox = Outbox(scene.database, Hours(stage.metrics()))
    report = pusher.Pusher(outbox, sender, pusher.Policy(records_per_message=_AT_ONCE)).push()
    if report.error is not None:
        raise report.error
    told: dict[tuple[str, str], float] = defaultdict(float)
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (definition, user, _, day), hours in standin.eosc.hours().items():
        told[day, definition] += hours
        users[day, definition].add(user)
    if len(standin.eosc.metrics) != report.delivered or not told:
        raise AccountingError(
            f"EOSC's accounting holds {len(standin.eosc.metrics)} metrics of {report.delivered}",
            "this is a defect: please report it with the demo's folder",
        )
    day = max(told)[0]
    really = {f"{flavor}-hours": hours for flavor, hours in _really(scene, day, until).items()}
    shown = Table(
        title=f"{day} at EOSC, hours", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    shown.add_column("metric", no_wrap=True)
    for name in ("users", "really", "at EOSC"):
        shown.add_column(name, justify="right", no_wrap=True)
    for definition in sorted({name for at, name in told if at == day}):
        pair = (really.get(definition, 0.0), told[day, definition])
        numbers = (f"{one:,.2f}" for one in pair)
        shown.add_row(definition, f"{len(users[day, definition])}", *numbers)
    console.print(shown)
    days = len({at for at, _ in told})
    console.print(f"  {report.delivered:,} metrics of {days} days, each made once")


def _really(scene: Stage, day: str, until: int) -> Mapping[str, float]:
    """Hours that the cluster's notebooks ran on a day, by flavour."""
    found: dict[str, float] = defaultdict(float)
    first, last = stage.bounds(day)
    for flavor, start, end in _lives(scene, until):
        seconds = min(end, last) - max(start, first)
        found[flavor] += max(0.0, seconds) / _HOUR
    return found


def _lives(scene: Stage, until: int) -> Iterator[tuple[str, float, float]]:
    for pod in scene.cluster.counted_pods:
        if pod.annotated and pod.started is not None and pod.ran_by(until):
            yield pod.flavor, pod.started, min(pod.run_until, until)
