"""What a poller knows without asking again."""

from dataclasses import dataclass, field

from accounting.measure.usage.samples import SeriesNames
from accounting.model.pods import Account
from accounting.model.time import Window
from accounting.records.incremental import RunningRecord
from accounting.store.ledger import Progress


@dataclass(slots=True)
class Cache:
    """What a poller keeps from window to window, instead of asking the ledger or the source again.

    Attributes:
        left: how far the ledger had come when this poller left it. If it has moved since, the pods
            and records kept here are stale.
        running: the pages of the running pods, by uid, as they are in the ledger.
        written: their latest records, by uid: only their figures move (``RunningRecord``).
        previous: the window before.
        series: which pod and counter each series of the window before belongs to.
        many_new: whether the window before had many new pods; None: not known yet.
        among_many: whether the namespace holds many other pods; None: not asked yet.
        at_once: how many pods to ask about at a time, where the source refuses to answer about all
            of the shortest window's; None: about all.
    """

    left: Progress | None = None
    running: dict[str, Account] = field(default_factory=dict)
    written: dict[str, RunningRecord] = field(default_factory=dict)
    previous: Window | None = None
    series: SeriesNames = field(default_factory=dict)
    many_new: bool | None = None
    among_many: bool | None = None
    at_once: int | None = None
